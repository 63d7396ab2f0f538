"""Folds the state of every entity up to the cut, in full or onto the states of the run before.

Reads:  Delta silver.events, silver.states; conf/attributes
Writes: Delta silver.states; PostgreSQL serving.batch_runs
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters import silver
from paxtrail.adapters.silver_states import fold_states
from paxtrail.settings import Settings


def main() -> int:
    """Arguments and settings; prints the counts as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="id of the batch run; the same id has the same effect")
    parser.add_argument("--full", action="store_true", help="from all events, whatever was made before")
    arguments = parser.parse_args()
    settings = Settings.load()
    with silver.opened(settings, arguments.run, "states-" + arguments.run) as job:
        print(json.dumps(fold_states(job, full=arguments.full), sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
