"""Concludes every journey from its flight and bags, and every person's history, up to the cut.

Reads:  Delta silver.states, silver.relations
Writes: Delta silver.states (outcome, history); PostgreSQL serving.batch_runs
"""

from __future__ import annotations

import sys

from paxtrail.adapters.silver import run_step
from paxtrail.adapters.silver_outcomes import conclude


def main() -> int:
    """0 once the step is done, now or before."""
    return run_step(str(__doc__), conclude)


if __name__ == "__main__":
    sys.exit(main())
