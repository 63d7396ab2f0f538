"""Publishes a run to the serving store, range by range; exit 3 if anything drifted.

Reads:  Delta silver.states, silver.edges, silver.links, silver.relations, silver.corrections
Writes: PostgreSQL serving.states, edges, links, relations, versions, outbox, publications, publication_counts
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters.batch import publish
from paxtrail.adapters.programs import begin
from paxtrail.errors import reported


def main() -> int:
    """Arguments and settings; prints the counts as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="id of the batch run; the same id has the same effect")
    arguments = parser.parse_args()
    settings = begin("publications")
    counts = publish(settings, arguments.run)
    print(json.dumps(counts, sort_keys=True))
    if counts["drifted"]:
        print(f"error: {counts['drifted']} values drifted: batch and speed layer disagree; see serving.publication_counts", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
