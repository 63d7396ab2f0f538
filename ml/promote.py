"""Promotes a version if it was compared with today's champion and found better; prints whether as one line of JSON.

Reads:  MLflow
Writes: MLflow (aliases); the folder of the champion
"""

from __future__ import annotations

import argparse
import json
import sys

from paxtrail.adapters.registry import Registry
from paxtrail.errors import reported
from paxtrail.ml import champions
from paxtrail.settings import Settings


def main() -> int:
    """Arguments and settings; 0 also when the champion stays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", required=True, type=int, help="version to promote")
    arguments = parser.parse_args()
    registry = Registry(Settings.load())
    promoted = champions.promote_if_better(registry, registry.version(arguments.version))
    print(json.dumps({"version": arguments.version, "promoted": promoted}))
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
