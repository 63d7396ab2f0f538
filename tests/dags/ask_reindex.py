"""Run by Airflow's own Python: what the tasks of `reindex` make of params and announced cuts, as JSON.

Arguments: folder of the DAGs; JSON list of {"params": …, "cuts": [µs]}.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors, TriggeringAssetEventsAccessor

dag = DagBag(sys.argv[1], bundle_path=sys.argv[1], bundle_name="dags-folder").dags["reindex"]
silver = Asset("silver_published", uri="paxtrail://silver/published")


def asked(params: dict[str, str], cuts: list[int]) -> list[str]:
    """Arguments of the program; what was said instead if its hours are refused."""
    announced = [SimpleNamespace(asset=silver, extra={"run": "a", "cut_time": cut}, source_aliases=[]) for cut in cuts]
    context: Any = {
        "dag": dag,
        "params": {"from": "", "to": "", **params},
        "triggering_asset_events": TriggeringAssetEventsAccessor.build(announced),
        "outlet_events": OutletEventAccessors(),
    }
    hours = dag.get_task("hours").prepare_for_execution()
    hours.render_template_fields(context)
    try:
        window = hours.execute(context)
    except ValueError as error:
        return [str(error)]
    replace = dag.get_task("replace").prepare_for_execution()
    replace.render_template_fields(context | {"ti": SimpleNamespace(xcom_pull=lambda task_ids: {"hours": window}[task_ids])})
    return [str(word) for word in replace.application_args]


print(json.dumps([asked(**case) for case in json.loads(sys.argv[2])]))
