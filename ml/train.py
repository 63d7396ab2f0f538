"""Trains a version of the sentiment model on labelled texts; prints it as one line of JSON. Registers, promotes nothing.

Reads:  a CSV file with texts and labels
Writes: MLflow (a run, a version)
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from paxtrail.adapters.registry import Registry
from paxtrail.errors import reported
from paxtrail.ml import champions, labelled
from paxtrail.ml.training import KINDS
from paxtrail.settings import Settings


def main() -> int:
    """Arguments and settings; prints version and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="CSV file")
    parser.add_argument("--text", default="text", help="column of the texts")
    parser.add_argument("--label", default="label", help="column of the labels")
    parser.add_argument("--kind", choices=KINDS, default="svm", help="the linear model")
    parser.add_argument("--seed", type=int, default=1, help="of folds and solver")
    arguments = parser.parse_args()
    rows = labelled.read(arguments.data, arguments.text, arguments.label)
    version, found = champions.register(Registry(Settings.load()), rows, kind=arguments.kind, seed=arguments.seed)
    print(json.dumps({"version": version.version, "macro_f1": found.metrics["macro_f1"], "ece": found.metrics["ece"]}))
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
