"""Compares a version with the champion on the texts held back; prints the difference in macro-F1 and its interval as one line of JSON.

Reads:  a CSV file with texts and labels; MLflow
Writes: MLflow (tags of the version)
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from paxtrail.adapters.registry import Registry
from paxtrail.errors import reported
from paxtrail.ml import champions, labelled
from paxtrail.settings import Settings


def main() -> int:
    """Arguments and settings; prints the difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="CSV file")
    parser.add_argument("--text", default="text", help="column of the texts")
    parser.add_argument("--label", default="label", help="column of the labels")
    parser.add_argument("--version", required=True, type=int, help="version to compare")
    parser.add_argument("--seed", type=int, default=1, help="of the bootstrap")
    arguments = parser.parse_args()
    rows = labelled.read(arguments.data, arguments.text, arguments.label)
    registry = Registry(Settings.load())
    found = champions.compare(registry, registry.version(arguments.version), rows, seed=arguments.seed)
    print(json.dumps({"version": arguments.version, **found._asdict(), "better": found.is_better}))
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
