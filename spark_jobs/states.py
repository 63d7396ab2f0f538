"""Folds the state of every entity up to the cut, in full or onto the states of the run before.

Reads:  Delta silver.events, silver.states; conf/attributes
Writes: Delta silver.states; PostgreSQL serving.batch_runs
"""

from __future__ import annotations

import sys

from paxtrail.adapters.silver import run_step
from paxtrail.adapters.silver_states import fold_states


def main() -> int:
    """0 once the step is done, now or before."""
    return run_step(str(__doc__), fold_states, can_be_full=True)


if __name__ == "__main__":
    sys.exit(main())
