"""Every five minutes: files of JSON lines that systems put into the landing folder go to the door."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, CronTriggerTimetable

with DAG(
    "files",
    schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,  # a run takes what lies there, since whenever
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args={"owner": "platform", "retries": 2, "execution_timeout": timedelta(hours=1)},
    tags=["in"],
    doc_md="""
### files

`./paxtrail landing take`: each `<home>/landing/<source>/*.jsonl` becomes records of `raw.<source>`; manifest and content go to
`<home>/landed/<source>/`. A file that comes twice is sent once; a run that was killed is repeated without effect. Red while Kafka is away
(the files stay) or while a folder is no source's.
""",
) as dag:
    BashOperator(task_id="take", bash_command='"$PYSPARK_PYTHON" -m paxtrail.cli.main landing take')
