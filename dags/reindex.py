"""After each publication of silver: the closed hours of Druid, exact. For machines on which Druid runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Asset, Param

JOBS = Path(__file__).resolve().parents[1] / "spark_jobs"
SILVER = Asset("silver_published", uri="paxtrail://silver/published")
HOURS = 48
"""What comes later than this is counted again only by hand."""


def window(params: Mapping[str, str], *, triggering_asset_events: Mapping[Asset, Sequence[Any]]) -> dict[str, str]:
    """First hour and the one after the last: as given, else the hours that were closed at the newest cut that was announced."""
    if params["from"] and params["to"]:
        return {"from": params["from"], "to": params["to"]}
    cuts = [event.extra["cut_time"] for events in triggering_asset_events.values() for event in events]
    if not cuts:
        raise ValueError('triggered by hand without hours: give {"from": "2026-11-22T10", "to": "2026-11-22T12"}')
    until = datetime.fromtimestamp(max(cuts) / 1e6, UTC)
    return {"from": f"{until - timedelta(hours=HOURS):%Y-%m-%dT%H}", "to": f"{until:%Y-%m-%dT%H}"}


with DAG(
    "reindex",
    schedule=[SILVER],
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,  # each run replaces the last 48 closed hours, those of a missed run among them
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args={"owner": "analytics", "retries": 2, "execution_timeout": timedelta(hours=1), "conn_id": "spark"},
    params={name: Param("", type="string", description="an hour, UTC: 2026-11-22T10") for name in ("from", "to")},
    tags=["batch", "druid"],
    doc_md="""
### reindex

Replaces hours of the datasource `operations` by what silver has: real time now, exact later. By itself the 48 hours before the cut;
other hours by hand: `./paxtrail airflow dags trigger reindex -c '{"from": "2026-11-22T10", "to": "2026-11-22T12"}'`. Running it
twice changes nothing. Needs Druid (`./paxtrail up druid`): switch this schedule on where it runs.
""",
) as dag:
    hours = PythonOperator(task_id="hours", python_callable=window)
    replace = SparkSubmitOperator(
        task_id="replace",
        application=str(JOBS / "reindex.py"),
        application_args=["--from", "{{ ti.xcom_pull(task_ids='hours')['from'] }}", "--to", "{{ ti.xcom_pull(task_ids='hours')['to'] }}"],
        pool="batch",
    )
    hours >> replace
