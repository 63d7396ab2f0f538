"""What the real door refuses, each with its reason, while the stream goes on; and refused records listed, shown and sent again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pyspark.sql import SparkSession
from tests.core.every_source import CHECKIN
from tests.lane import Sent, cloud_event
from tests.parity.stories import Story
from tests.serving.world import ARRIVAL, BAG, FLIGHT, account, smith

from paxtrail.adapters import kafka as topics
from paxtrail.adapters import rejects
from paxtrail.cli.main import main
from paxtrail.core.decoding import MAX_BODY
from paxtrail.settings import Settings
from paxtrail.stack.places import environment

MOVED = FLIGHT.format(told="2013-02-08T09:00:00Z", status="DLY", estimated="2013-02-08T11:00:00Z")
BOMB = "<!DOCTYPE a [" + "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9)) + ']><a x="1">&e9;</a>'


@pytest.fixture
def story(clean_postgres: Settings, spark: SparkSession) -> Iterator[Story]:
    told = Story(clean_postgres, spark, seed=21)
    yield told
    told.close()


def sent(source: str, id_: str, body: bytes | str | dict[str, Any], *, arrival: int = ARRIVAL, time: str | None = None) -> Sent:
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return cloud_event(source, id_, raw, arrival=arrival, time=time)


def nameless(record: Sent) -> Sent:
    return record._replace(headers={name: value for name, value in record.headers.items() if name != "ce_id"})


def good(number: int) -> list[Sent]:
    """A record of four formats, each of which is accepted."""
    return [
        sent("flights", f"good-{number}", MOVED.replace('SequenceNmbr="1"', f'SequenceNmbr="{number}"')),
        sent("baggage", f"good-{number}", BAG, time="2013-02-08T09:00:00Z"),
        sent("reservations", f"good-{number}", smith(version=number)),
        sent("loyalty", f"good-{number}", account(sequence=number, balance=number)),
    ]


def bad() -> list[tuple[str, Sent]]:
    """Every kind of bad input, with the code of its refusal."""
    structured = {"specversion": "1.0", "source": "tests", "type": "test.received", "data": account()}
    enveloped = sent("loyalty", "", structured)._replace(headers={"content-type": "application/cloudevents+json"})
    return [
        ("xml_doctype", sent("flights", "doctype", MOVED.replace("<IATA", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><IATA', 1))),
        ("xml_doctype", sent("flights", "bomb", BOMB)),
        ("bad_encoding", sent("flights", "latin-1 said to be UTF-8", MOVED.replace("OPS", "ÖPS").encode("latin-1"))),
        ("bad_encoding", sent("flights", "UTF-8 said to be UTF-16", MOVED.replace("UTF-8", "UTF-16"))),
        ("bad_encoding", sent("flights", "unknown encoding", MOVED.replace("UTF-8", "ISO-2022-JP"))),
        ("bad_encoding", sent("baggage", "latin-1", BAG.replace("SMITH", "SMÏTH").encode("latin-1"))),
        ("bad_encoding", sent("loyalty", "latin-1", json.dumps(account(surname="Smïth"), ensure_ascii=False).encode("latin-1"))),
        ("bad_encoding", sent("reservations", "UTF-16", json.dumps(smith()).encode("utf-16"))),
        ("truncated", sent("baggage", "no end", BAG.replace("ENDBSM\n", ""))),
        ("truncated", sent("baggage", "within a line", BAG[: BAG.index("JOHN")])),
        ("unknown_type", sent("baggage", "type", BAG.replace("BSM", "BCM"))),
        ("unknown_type", sent("flights", "root", MOVED.replace("FlightLegNotifRQ", "FlightLegRQ"))),
        ("unknown_type", sent("checkin", "event", CHECKIN | {"event": "teleported"})),
        ("missing_id", nameless(sent("flights", "", MOVED))),
        ("missing_id", nameless(sent("baggage", "", BAG))),
        ("missing_id", enveloped),
        ("too_large", sent("flights", "large", MOVED + " " * MAX_BODY)),
        ("too_large", sent("baggage", "large", BAG + " " * MAX_BODY)),
        ("too_large", sent("reservations", "large", smith() | {"padding": "x" * MAX_BODY})),
        ("from_the_future", sent("flights", "2099", MOVED.replace("2013-02-08T09:00:00Z", "2099-02-08T09:00:00Z"))),
        ("from_the_future", sent("baggage", "2099", BAG, time="2099-02-08T09:00:00Z")),
        ("from_the_future", sent("loyalty", "2099", account() | {"at": "2099-02-08T09:00:00Z"})),
    ]


def test_every_kind_of_bad_input_is_refused_with_its_reason_and_the_ledger_adds_up(story: Story) -> None:
    refused, before = bad(), good(1)
    again = before[3]
    contradicted = sent("loyalty", "good-1", account(sequence=9))
    story.lane.batch([*before, *(record for _, record in refused), *good(2), again, contradicted])
    story.lane.batch([*good(3), sent("flights", "doctype", MOVED), sent("baggage", "no end", BAG)])  # the stream goes on; two are mended
    expected: dict[tuple[str, int], str] = {}
    for topic, log in story.log.items():
        for offset, record in enumerate(log):
            for code in [code for code, one in [*refused, ("conflict", contradicted)] if one is record]:
                expected[topic, offset] = code
    assert {(r.topic, r.offset): r.code for r in rejects.rejects(story.settings)} == expected
    wrong = Counter(record.source for _, record in refused)
    accepted = Counter(record.source for record in (*good(1), *good(2), *good(3))) + Counter(flights=1, baggage=1)
    lines = story.truth.sql("select source, sum(received), sum(accepted), sum(duplicates), sum(refused) from ledger group by source")
    assert {source: tuple(map(int, counts)) for source, *counts in lines} == {
        source: (len(story.log[f"raw.{source}"]), accepted[source], 2 * (source == "loyalty"), wrong[source])
        for source in accepted.keys() | wrong.keys()
    }
    story.truth.check()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_refused_record_is_listed_shown_and_sent_again_as_it_came(
    story: Story, spark: SparkSession, kafka: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(story.settings).items():
        monkeypatch.setenv(name, value)
    assert lines(run("rejects", "list")) == []
    # Refused for the clock of 2013, and not for the broker's of today: sent again, it is accepted, as after a decoder was mended.
    early = sent("loyalty", "early", account(sequence=2) | {"at": "2020-01-01T00:00:00Z"})
    cut = sent("baggage", "no end", BAG.replace("ENDBSM\n", ""), arrival=ARRIVAL + 1_000_000)
    one, other = sent("loyalty", "1", account()), sent("loyalty", "1", account(balance=1), arrival=ARRIVAL + 86_400_000_000)
    story.lane.batch([early, cut, one, other])

    listed = lines(run("rejects", "list"))
    assert [reject["code"] for reject in listed] == ["conflict", "truncated", "from_the_future"], "newest first"
    assert lines(run("rejects", "list", "--limit", "1")) == listed[:1]
    assert lines(run("rejects", "list", "--source", "baggage", "--code", "truncated")) == listed[1:2]
    assert lines(run("rejects", "list", "--source", "baggage", "--code", "conflict")) == []
    assert lines(run("rejects", "list", "--day", "2013-02-08")) == listed[1:]
    wanted = {"source": "baggage", "at": "line 7", "arrived": "2013-02-08T19:00:01+00:00", "position": "raw.baggage/0/0"}
    assert {name: listed[1][name] for name in wanted} == wanted

    shown = run("rejects", "show", listed[1]["id"])
    assert lines(shown) == [listed[1] | {"bytes": len(cut.body)}]
    told, headers, body = run("rejects", "show", listed[1]["id"], "--reveal").stdout.split("\n", 2)
    assert (told + "\n", json.loads(headers), body) == (shown.stdout, cut.headers, cut.body.decode() + "\n")
    unknown = run("rejects", "show", "0" * 32)
    assert (unknown.exit_code, unknown.stdout) == (1, "") and "`paxtrail rejects list` names them" in unknown.stderr

    assert run("rejects", "replay").exit_code == 2
    names = ["raw.loyalty", "raw.baggage"]
    since = topics.latest(kafka, names)
    assert lines(run("rejects", "replay", "--source", "loyalty")) == [{"sent": 1}], "a conflict is not sent again"
    assert lines(run("rejects", "replay", listed[1]["id"])) == [{"sent": 1}]
    until = topics.latest(kafka, names)
    there = {topic: {p: [since[topic][p], until[topic][p]] for p in until[topic]} for topic in names}
    again = {}
    for row in topics.records(spark, kafka, there).collect():
        headers_ = {header.key: bytes(header.value).decode() for header in row.headers}
        source = row.topic.removeprefix("raw.")
        again[source] = Sent(source, headers_, bytes(row.value), int(row.timestamp.timestamp() * 1e6))
    assert {source: record._replace(arrival=0) for source, record in again.items()} == {
        "loyalty": early._replace(arrival=0),
        "baggage": cut._replace(arrival=0),
    }
    story.lane.batch(list(again.values()))
    assert [reject["code"] for reject in lines(run("rejects", "list"))] == ["truncated", "conflict", "truncated", "from_the_future"]
    assert story.truth.sql("select sum(received), sum(accepted), sum(duplicates), sum(refused) from ledger") == [(6, 2, 1, 3)]
    story.truth.check()
