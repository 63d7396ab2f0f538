"""Decodes again what is in bronze, with today's decoder: revision n+1, effective at the next cut.

Reads:  Delta bronze.events, bronze.revisions; PostgreSQL serving.stream_commit, seqs, vault
Writes: Delta bronze.revisions; PostgreSQL vault.identifier (tokens of identifiers that were not seen before)
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters.programs import begin
from paxtrail.adapters.reprocessing import reprocess
from paxtrail.errors import reported


def main() -> int:
    """Arguments and settings; prints the counts as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="source whose records are decoded again")
    parser.add_argument("--type", help="only records that hold an event of this type")
    parser.add_argument("--since", type=int, help="only records that arrived at this moment (µs UTC) or later")
    parser.add_argument("--until", type=int, help="only records that arrived before this moment (µs UTC)")
    arguments = parser.parse_args()
    counts = reprocess(begin("reprocess"), arguments.source, type_=arguments.type, since=arguments.since, until=arguments.until)
    print(json.dumps(counts, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
