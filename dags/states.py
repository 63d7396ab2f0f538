"""Every night: a batch run from the cut to the publication, and what the publication found to differ."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Asset, Context, CronDataIntervalTimetable

JOBS = Path(__file__).resolve().parents[1] / "spark_jobs"
SILVER = Asset("silver_published", uri="paxtrail://silver/published")
# A scheduled or backfilled run is its day's; what somebody triggers is a run of its own. A retry has the same id.
RUN = "{{ dag_run.run_id if dag_run.run_type == 'manual' else ds }}"


def announce(cut: str, run: str, *, outlet_events: Context) -> None:
    """Tells who builds on silver which run was published, and up to when (µs)."""
    outlet_events[SILVER].extra = {"run": run, "cut_time": json.loads(cut)["cut_time"]}


def program(name: str) -> str:
    """Command line of a program that needs no Spark."""
    return f'"$PYSPARK_PYTHON" "{JOBS / name}.py" --run "{RUN}"'


with DAG(
    "states",
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,  # a run takes in all that came since the one before: days that were missed are in the next
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=8),
    default_args={"owner": "platform", "retries": 2, "execution_timeout": timedelta(hours=2), "conn_id": "spark"},
    tags=["batch", "silver"],
    doc_md="""
### states

cut → events → links → states → outcomes → gate → publish → drift report, each a program of `spark_jobs/` that does nothing the second
time. The run's id is its day (`2026-11-22`), or the DAG run's id if somebody triggered it: `./paxtrail batch run --run ID` goes on with it
by hand.

**gate red**: nothing is published and what was served before is served on. The log of `gate` names what failed.
**drift red**: it is published, but batch and speed layer disagreed; the log counts by entity.
**publish** announces `silver_published`, on which `marts` and `reindex` wait.

What to do at 3 a.m.: `docs/guides/schedule-and-repair.md`.
""",
) as dag:
    cut = BashOperator(task_id="cut", bash_command=program("cuts"), execution_timeout=timedelta(minutes=10), pool="batch")
    spark = [
        SparkSubmitOperator(task_id=name, application=str(JOBS / f"{name}.py"), application_args=["--run", RUN], pool="batch")
        for name in ("events", "links", "states", "outcomes")
    ]
    gate = SparkSubmitOperator(
        task_id="gate",
        application=str(JOBS / "gates.py"),
        application_args=["--run", RUN],
        pool="batch",
        retries=1,  # for a gate that died; a red one is red again
        retry_delay=timedelta(seconds=5),
    )
    # 3: published, and something drifted. That is for the drift report to say, which a second publication would not find again.
    publish = BashOperator(task_id="publish", bash_command=f"{program('publications')} || test $? -eq 3", pool="batch")
    drift = BashOperator(task_id="drift", bash_command=program("drifts"), retries=1, retry_delay=timedelta(seconds=5))
    announced = PythonOperator(
        task_id="announce", python_callable=announce, op_args=["{{ ti.xcom_pull(task_ids='cut') }}", RUN], outlets=[SILVER]
    )
    before = cut
    for step in (*spark, gate, publish):
        before >> step
        before = step
    publish >> [drift, announced]
