"""Releases a contract of conf/exports to a folder: k-anonymous, with manifest, schema, licence and risk report; or nothing, and exit 1.

Reads:  Delta silver.states, silver.links; vault.subject_key; conf/exports, conf/consent.toml
Writes: <to>/<contract>-<run>; PostgreSQL vault.releases, or vault.refusals where a limit does not hold
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson

from paxtrail.adapters.exports import run
from paxtrail.adapters.programs import begin
from paxtrail.errors import reported


def main() -> int:
    """0 once the release stands, now or before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="id of the batch run whose cut is released; the same id gives the same bytes")
    parser.add_argument("--contract", required=True, help="name of a contract in conf/exports, as frequent_travellers")
    parser.add_argument("--to", required=True, type=Path, help="folder that the release's own folder is made in")
    asked = parser.parse_args()
    print(orjson.dumps(run(begin("exports"), asked.run, asked.contract, asked.to), option=orjson.OPT_SORT_KEYS).decode())
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
