"""Takes the events up to the cut into silver, each once, at its highest revision.

Reads:  Delta bronze.events, bronze.revisions, silver.events (ids)
Writes: Delta silver.events, silver.corrections
"""

from __future__ import annotations

import sys

from paxtrail.adapters.silver import run_step
from paxtrail.adapters.silver_events import take_in


def main() -> int:
    """0 once the step is done, now or before."""
    return run_step(str(__doc__), take_in)


if __name__ == "__main__":
    sys.exit(main())
