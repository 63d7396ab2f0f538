"""Asks whether a run may be published: exit 1 and the names of what failed if not.

Reads:  Delta silver.events, silver.states; PostgreSQL serving.stream_commit, cuts, batch_runs
Writes: PostgreSQL serving.batch_runs (gate); <home>/quality (results and pages)
"""

from __future__ import annotations

import sys

from paxtrail.adapters.quality import ask
from paxtrail.adapters.silver import run_step


def main() -> int:
    """0 if the gate is green."""
    return run_step(str(__doc__), ask)


if __name__ == "__main__":
    sys.exit(main())
