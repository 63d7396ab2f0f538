"""Takes events that are past their time out of silver: their fold is frozen as the base of full runs, their ids are kept.

Reads:  Delta silver.events, silver.frozen, silver.expired; PostgreSQL serving.batch_runs, cuts; conf/retention.toml, conf/attributes
Writes: Delta silver.frozen, silver.expired, silver.events
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters.programs import begin
from paxtrail.adapters.retention import expire_silver
from paxtrail.errors import reported


def main() -> int:
    """Arguments and settings; prints the counts as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--as-of", type=int, required=True, help="the moment that ages are counted from, µs UTC")
    arguments = parser.parse_args()
    print(json.dumps(expire_silver(begin("retention"), arguments.as_of), sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
