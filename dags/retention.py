"""Every night, after the batch run: what is past its time is deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, CronTriggerTimetable

# The hour of the run, whenever it is tried.
AS_OF = "{{ dag_run.run_after.strftime('%Y-%m-%dT%H:%M:%SZ') }}"

with DAG(
    "retention",
    schedule=CronTriggerTimetable("0 4 * * *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,  # a run deletes all that is past its time by then
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args={"owner": "platform", "retries": 2, "execution_timeout": timedelta(hours=2)},
    tags=["batch", "protection"],
    doc_md="""
### retention

`./paxtrail retention run`: quarantine keys, refused records, records of reads, timelines, bronze and silver lose what `conf/retention.toml`
says is past its time at the hour of the run. Tried again or cleared, it is the same hour: a second time finds nothing. It waits for the
slot of the batch layer, since silver loses only what the newest batch run has folded.
""",
) as dag:
    BashOperator(task_id="delete", bash_command=f'"$PYSPARK_PYTHON" -m paxtrail.cli.main retention run --as-of "{AS_OF}"', pool="batch")
