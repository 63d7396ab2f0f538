"""The search for the least generalisation on UCI Adult with ARX's hierarchies: loss, seconds and nodes looked at, by setting.

The data are not part of the repository. Loss is the global certainty penalty (GCP); a suppressed row counts as lost whole.

Example: ./paxtrail exec python benchmarks/anonymisation.py ../shared/data/anonymisation
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import time
from pathlib import Path

from paxtrail.core.anonymity import Hierarchy, Limits, best, hierarchy

WITHOUT = {
    "9 columns": (),
    "7, without occupation and salary class": ("occupation", "salary-class"),
    "8, salary class left as it is": ("salary-class",),
    "3: age, sex, race": ("marital-status", "education", "native-country", "workclass", "occupation", "salary-class"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with adult.csv.gz and adult_hierarchy_<column>.csv")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--suppression", type=float, nargs="*", default=[0.0, 0.05, 1.0])
    asked = parser.parse_args()
    with gzip.open(asked.folder / "adult.csv.gz", "rt", encoding="utf-8") as file:
        names, *rows = csv.reader(file, delimiter=";")
    known = {name: _hierarchy(asked.folder, name) for name in names}
    print(f"{len(rows)} rows, k = {asked.k}")
    print(
        f"{'columns':40} {'limit':>6} {'GCP':>7} {'suppressed':>10} {'of cells kept':>13} {'nodes':>7} {'tried':>6} {'seconds':>8}  levels"
    )
    for label, without in WITHOUT.items():
        chosen = [name for name in names if name not in without]
        at = [names.index(name) for name in chosen]
        of = [known[name] for name in chosen]
        for limit in asked.suppression:
            begun = time.perf_counter()
            node = best([[row[i] for i in at] for row in rows], [], of, Limits(asked.k, suppression=limit))
            seconds = time.perf_counter() - begun
            if node is None:
                print(f"{label:40} {limit:6.0%} none")
                continue
            kept = node.kept.mean()
            inside = (node.loss - (1 - kept)) / kept if kept else math.nan
            nodes = math.prod(one.height for one in of)
            print(
                f"{label:40} {limit:6.0%} {node.loss:7.4f} {1 - kept:10.2%} {inside:13.4f} {nodes:7} {node.tried:6} {seconds:8.2f}"
                f"  {''.join(map(str, node.levels))}",
                flush=True,
            )


def _hierarchy(folder: Path, name: str) -> Hierarchy:
    with (folder / f"adult_hierarchy_{name}.csv").open(encoding="utf-8", newline="") as file:
        return hierarchy(name, [line for line in csv.reader(file, delimiter=";") if line])


if __name__ == "__main__":
    main()
