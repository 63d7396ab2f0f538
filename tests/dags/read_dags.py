"""Run by Airflow's own Python: every DAG of a folder as it reads it, what it could not read, and what reading imported, as JSON."""

from __future__ import annotations

import json
import sys

from airflow.dag_processing.dagbag import DagBag

HEAVY = (
    *("paxtrail", "pyspark", "deltalake", "pyarrow", "pandas", "numpy", "scipy", "sklearn", "matplotlib", "mlflow", "great_expectations"),
    *("dbt", "psycopg", "psycopg2", "confluent_kafka", "pydruid", "fastapi", "superset"),
)

before = set(sys.modules)
bag = DagBag(sys.argv[1], bundle_path=sys.argv[1], bundle_name="dags-folder")
dags = {
    dag.dag_id: {
        "file": dag.fileloc,
        "docs": dag.doc_md or "",
        "tags": sorted(dag.tags),
        "catchup": dag.catchup,
        "start": str(dag.start_date),
        "max_active_runs": dag.max_active_runs,
        "timeout_s": dag.dagrun_timeout.total_seconds() if dag.dagrun_timeout else None,
        "schedule": dag.timetable.summary if hasattr(dag.timetable, "summary") else str(dag.timetable),
        "tasks": {
            task.task_id: {
                "kind": type(task).__name__,
                "owner": task.owner,
                "retries": task.retries,
                "retry_delay_s": task.retry_delay.total_seconds(),
                "timeout_s": task.execution_timeout.total_seconds() if task.execution_timeout else None,
                "pool": task.pool,
                "after": sorted(task.upstream_task_ids),
                "command": getattr(task, "bash_command", None) or getattr(task, "application", None) or "",
                "outlets": [asset.name for asset in task.outlets],
            }
            for task in dag.tasks
        },
    }
    for dag in bag.dags.values()
}
imported = sorted({name.partition(".")[0] for name in sys.modules if name not in before} & set(HEAVY))
print(json.dumps({"errors": bag.import_errors, "dags": dags, "imported": imported}))
