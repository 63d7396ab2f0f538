"""Concludes every journey from its flight and bags, and every person's history, up to the cut.

Reads:  Delta silver.states, silver.relations
Writes: Delta silver.states (outcome, history); PostgreSQL serving.batch_runs
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters import silver
from paxtrail.adapters.silver_outcomes import conclude
from paxtrail.settings import Settings


def main() -> int:
    """Arguments and settings; prints the counts as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="id of the batch run; the same id has the same effect")
    arguments = parser.parse_args()
    settings = Settings.load()
    with silver.opened(settings, arguments.run, "outcomes-" + arguments.run) as job:
        print(json.dumps(conclude(job), sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
