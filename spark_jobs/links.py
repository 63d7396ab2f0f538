"""Finds who is one customer and what belongs together, up to the cut.

Reads:  Delta silver.events
Writes: Delta silver.edges, silver.links, silver.relations
"""

from __future__ import annotations

import sys

from paxtrail.adapters.silver import run_step
from paxtrail.adapters.silver_links import connect


def main() -> int:
    """0 once the step is done, now or before."""
    return run_step(str(__doc__), connect, can_be_full=True)


if __name__ == "__main__":
    sys.exit(main())
