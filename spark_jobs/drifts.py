"""Reports what publishing a run found to differ between batch and speed layer; exit 3 if anything drifted.

Reads:  PostgreSQL serving.cuts, publication_counts
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters.batch import differences
from paxtrail.adapters.programs import begin
from paxtrail.errors import reported


def main() -> int:
    """Arguments and settings; prints the counts as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="id of the batch run")
    arguments = parser.parse_args()
    counts = differences(begin("drifts"), arguments.run)
    print(json.dumps(counts, sort_keys=True))
    return 3 if counts["drifted"] else 0


if __name__ == "__main__":
    sys.exit(reported(main))
