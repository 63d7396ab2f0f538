"""Takes the events up to the cut into silver, each once, at its highest revision.

Reads:  Delta bronze.events, bronze.revisions, silver.events (ids)
Writes: Delta silver.events, silver.corrections
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters import silver
from paxtrail.adapters.silver_events import take_in
from paxtrail.settings import Settings


def main() -> int:
    """Arguments and settings; prints the counts as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="id of the batch run; the same id has the same effect")
    arguments = parser.parse_args()
    settings = Settings.load()
    with silver.opened(settings, arguments.run, "events-" + arguments.run) as job:
        print(json.dumps(take_in(job), sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
