"""After each publication of silver: the marts for analysts, built, tested and published by dbt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset

SILVER = Asset("silver_published", uri="paxtrail://silver/published")
MARTS = Asset("marts_published", uri="paxtrail://marts/published")

with DAG(
    "marts",
    schedule=[SILVER],
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,  # a build shows the newest publication: there is nothing to catch up with
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args={"owner": "analytics", "retries": 2, "execution_timeout": timedelta(hours=2)},
    tags=["batch", "marts"],
    doc_md="""
### marts

`./paxtrail marts build` on the newest published run, with the documentation that `./paxtrail marts docs --serve` shows. A red dbt test
publishes nothing: analysts go on with the marts of before. The log names model and test; build again by clearing the task, or by hand with
the same command.
""",
) as dag:
    BashOperator(task_id="build", bash_command='"$PYSPARK_PYTHON" -m paxtrail.cli.main marts build', pool="batch", outlets=[MARTS])
