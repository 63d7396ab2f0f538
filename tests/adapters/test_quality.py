"""The gate: green on what the airline told, red on what a contract forbids; what it keeps of either holds no value of a person."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from delta.tables import DeltaTable
from psycopg import sql
from pyspark.sql import SparkSession
from tests.lane import Sent
from tests.parity.stories import Story, history
from tests.parity.test_canaries import canaries

from paxtrail.adapters import configuration, quality
from paxtrail.adapters.silver import Job
from paxtrail.errors import GateRed
from paxtrail.settings import ROOT, Settings
from paxtrail.stack import places
from paxtrail.tables.contracts import Table
from paxtrail.tables.silver import EVENTS, STATES


def spoil(job: Job, table: Table, statement: str) -> None:
    """Changes the lake behind the batch layer's back."""
    job.spark.sql(statement.format(table=f"delta.`{table.path(job.settings.lake)}`"))


def asked(story: Story, run: str) -> subprocess.CompletedProcess[str]:
    """The gate of a run as a scheduler asks it."""
    return subprocess.run(
        [sys.executable, str(ROOT / "spark_jobs" / "gates.py"), "--run", run],
        env={**os.environ, **places.environment(story.settings)},
        capture_output=True,
        text=True,
        check=False,
    )


def telling(story: Story, sent: list[Sent], *planted: str) -> list[str]:
    """Names (never contents) of what the gate keeps, results and pages, that hold a personal value, a token or what was planted."""
    kept = [file for file in (story.settings.home / "quality").rglob("*") if file.is_file()]
    assert quality.pages(story.settings) in kept
    tokens = {key for (key,) in story.truth.sql("select token from links")}
    values = canaries(story.settings, sent) | tokens
    assert len(values) > 30
    searched = [value.encode() for value in (*values, *planted)]
    return [file.name for file in kept if any(value in file.read_bytes() for value in searched)]


@pytest.fixture
def story(clean_postgres: Settings, spark: SparkSession) -> Iterator[Story]:
    story = Story(clean_postgres, spark, seed=5)
    yield story
    story.close()


def test_a_run_on_what_the_airline_told_is_green_and_its_results_hold_no_value_of_a_person(story: Story) -> None:
    sent = history(5)
    story.tell(sent[: len(sent) // 2])
    first = story.make("first")
    assert quality.ask(first)["mode"] == "full"
    story.publish("first")
    story.tell(sent[len(sent) // 2 :])
    second = story.make("second")
    answer = quality.ask(second)
    assert answer["gate"] == "green"
    assert answer["mode"] == "incremental"
    assert answer["expectations"] > 30
    assert story.publish("second")["drifted"] == 0
    assert telling(story, sent) == []
    third = story.make("third")
    assert quality.ask(third)["gate"] == "green", "a run that found nothing new"
    published = story.publish("third")
    assert (published["published"], published["drifted"]) == (0, 0)


PLANTED = ("ada@example.com", "Ada Lovelace", "clear:email:")
"""Of the last, an e-mail's own sealed text follows: whose it is and what it says stand behind it."""
SPOILED = {
    "silver.events: offence_not_from_the_future": (
        EVENTS,
        "UPDATE {table} SET event_time = arrival_time + 3600000000",
    ),
    "silver.events: revision": (EVENTS, "UPDATE {table} SET revision = -1 WHERE source = 'checkin'"),
    "silver.events: key_of_row": (EVENTS, "INSERT INTO {table} SELECT * FROM {table}"),
    "silver.counts: kept=there": (EVENTS, "DELETE FROM {table} WHERE source = 'booking'"),
    "silver.events: unsealed": (
        EVENTS,
        "UPDATE {table} SET payload = parse_json(replace(to_json(payload), '\"sealed:email:', '\"clear:email:'))"
        " WHERE to_json(payload) LIKE '%\"sealed:email:%'",
    ),
    "silver.states: offence_no_address": (
        STATES,
        "UPDATE {table} SET state = '{{\"emails\": \"ada@example.com\"}}' WHERE entity = 'profile'",
    ),
    "silver.states: offence_persons_are_tokens": (STATES, "UPDATE {table} SET key = 'Ada Lovelace' WHERE entity = 'profile'"),
    "silver.states: entity": (STATES, "UPDATE {table} SET entity = 'cat' WHERE entity = 'bag'"),
}


def test_what_a_contract_forbids_makes_the_gate_red_and_stops_the_publication_and_no_value_is_kept_or_told(story: Story) -> None:
    sent = history(6, flights=1)
    story.tell(sent)
    job = story.make("run")
    tables = [DeltaTable.forPath(job.spark, table.path(story.settings.lake)) for table in (EVENTS, STATES)]
    whole = [table.history(1).collect()[0]["version"] for table in tables]
    for table, statement in SPOILED.values():
        spoil(job, table, statement)
    red = asked(story, "run")
    assert (red.returncode, red.stdout) == (1, "")
    [told] = [line for line in red.stderr.splitlines() if line.startswith("error: ")]
    assert told.startswith("error: gate_red: run run:")
    assert [name for name in SPOILED if name not in told] == []
    assert telling(story, sent, *PLANTED) == []
    assert [value for value in (*canaries(story.settings, sent), *PLANTED) if value in red.stderr] == []
    with pytest.raises(GateRed):
        story.publish("run")
    assert story.truth.sql("select count(*) from publications") == [(0,)]
    for spoiled, version in zip(tables, whole, strict=True):
        spoiled.restoreToVersion(version)
    green = asked(story, "run")
    assert (green.returncode, json.loads(green.stdout)["gate"]) == (0, "green")
    assert story.publish("run")["drifted"] == 0


def test_an_event_that_was_committed_and_is_not_in_silver_is_missed(story: Story) -> None:
    story.tell(history(7, flights=1))
    with story.serving_as_owner() as owner:
        owner.execute(sql.SQL("update stream_commit set events = events + 1 where seq = (select max(seq) from stream_commit)"))
    job = story.make("run")
    with pytest.raises(GateRed, match=r"silver\.counts: committed=came"):
        quality.ask(job)


def test_what_a_red_run_left_behind_is_looked_at_again_by_the_next(story: Story) -> None:
    sent = history(8, flights=1)
    story.tell(sent[:40])
    quality.ask(story.make("green"))
    story.publish("green")
    story.tell(sent[40:80])
    red = story.make("red")
    spoil(red, STATES, "UPDATE {table} SET bucket = -1 WHERE epoch = 2")
    with pytest.raises(GateRed):
        quality.ask(red)
    story.tell(sent[80:81])
    with pytest.raises(GateRed, match="bucket"):
        quality.ask(story.make("next"))


def test_every_personal_field_of_every_schema_is_asked_for(settings: Settings, spark: SparkSession) -> None:
    schemas = configuration.schemas(settings.conf)
    events = {type_: schemas.event(type_) for type_ in schemas.types}
    rows: list[tuple[str, str]] = []
    for type_, schema in events.items():
        for name, field in schema.fields.items():
            clear: Any = "clear"
            if field.personal:
                rows.append((type_, f'{{"{name}": "{clear}"}}'))
            for inner, member in field.fields.items():
                if member.personal:
                    one = f'{{"{inner}": "clear"}}'
                    rows.append((type_, f'{{"{name}": [{one}]}}' if field.type == "list" else f'{{"{name}": {one}}}'))
    from paxtrail.transforms import quality as columns

    frame = spark.createDataFrame(rows, "type string, text string").selectExpr("type", "parse_json(text) as payload")
    found = columns.with_unsealed(frame, events).where("unsealed is null").count()
    assert (len(rows) > 100, found) == (True, 0)


def test_pages_are_where_the_guide_says(settings: Settings) -> None:
    assert quality.pages(settings) == Path(settings.home) / "quality" / "pages" / "index.html"
