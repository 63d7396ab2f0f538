"""Closes the current epoch for a batch run: what it covers is decided here, once.

Reads:  PostgreSQL serving.epochs, stream_commit, seqs; versions of Delta bronze
Writes: PostgreSQL serving.epochs, cuts
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters.batch import cut_open
from paxtrail.adapters.programs import begin
from paxtrail.errors import reported


def main() -> int:
    """Arguments and settings; prints the counts as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="id of the batch run; the same id has the same effect")
    parser.add_argument("--cut-time", type=int, help="moment of the cut in µs UTC (default: the clock of the database)")
    arguments = parser.parse_args()
    settings = begin("cuts")
    print(json.dumps(cut_open(settings, arguments.run, cut_time=arguments.cut_time), sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
