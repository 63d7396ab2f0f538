"""Finds who is one customer and what belongs together, up to the cut.

Reads:  Delta silver.events
Writes: Delta silver.edges, silver.links, silver.relations
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters import silver
from paxtrail.adapters.silver_links import connect
from paxtrail.settings import Settings


def main() -> int:
    """Arguments and settings; prints the counts as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="id of the batch run; the same id has the same effect")
    parser.add_argument("--full", action="store_true", help="from all events, whatever was made before")
    arguments = parser.parse_args()
    settings = Settings.load()
    with silver.opened(settings, arguments.run, "links-" + arguments.run) as job:
        print(json.dumps(connect(job, full=arguments.full), sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
