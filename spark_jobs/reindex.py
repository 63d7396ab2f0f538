"""Makes closed hours of Druid exact: facts of silver.events in place of what came by the stream; exit 3 if queries do not find them all.

Reads:  Delta silver.events, bronze.events (how far the stream must be)
Writes: Druid operations, exactly these hours
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters.programs import begin
from paxtrail.adapters.reindexing import run
from paxtrail.errors import reported


def main() -> int:
    """Arguments and settings; prints the counts as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="since", required=True, help="first hour, UTC: 2026-11-22T10")
    parser.add_argument("--to", dest="until", required=True, help="the hour after the last one; over at the newest cut")
    arguments = parser.parse_args()
    counts = run(begin("reindex"), arguments.since, arguments.until)
    print(json.dumps(counts, sort_keys=True))
    return 3 if counts["served"] < counts["facts"] else 0


if __name__ == "__main__":
    sys.exit(reported(main))
