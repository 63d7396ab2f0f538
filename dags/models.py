"""Every week: the sentiment model is trained anew on the labelled texts, compared with the champion, and promoted if it is better."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, CronTriggerTimetable

ML = Path(__file__).resolve().parents[1] / "ml"
DATA = "$PAXTRAIL_HOME/training/sentiment.csv"
VERSION = "{{ ti.xcom_pull(task_ids='train')['version'] }}"
# 99 is what Airflow takes for skipped.
SKIP = f'test -f "{DATA}" || {{ echo "nothing to train on: put labelled texts (columns text, label) into {DATA}"; exit 99; }}'

with DAG(
    "models",
    schedule=CronTriggerTimetable("0 5 * * 0", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,  # only the newest data are worth a training
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    default_args={"owner": "models", "retries": 2, "execution_timeout": timedelta(hours=1)},
    tags=["batch", "models"],
    doc_md="""
### models

train → evaluate → promote or not, each a program of `ml/`. Labelled texts are expected in `<home>/training/sentiment.csv` (columns `text`,
`label`); without them the run is *skipped*, and the champion (or the lexicon) scores on. A version is promoted only if the lower bound of
its lead over the champion is above 0; a run in which it is not ends green too: the log of `promote` says so.
""",
) as dag:
    train = BashOperator(
        task_id="train",
        bash_command=f'{SKIP}; "$PYSPARK_PYTHON" "{ML / "train.py"}" --data "{DATA}"',
        output_processor=json.loads,
        pool="batch",
    )
    evaluate = BashOperator(
        task_id="evaluate", bash_command=f'"$PYSPARK_PYTHON" "{ML / "evaluate.py"}" --data "{DATA}" --version {VERSION}', pool="batch"
    )
    promote = BashOperator(task_id="promote", bash_command=f'"$PYSPARK_PYTHON" "{ML / "promote.py"}" --version {VERSION}')
    train >> evaluate >> promote
