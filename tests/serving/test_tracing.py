"""One trace from a record to the relay's message and the API's answer; spans hold names and counts, never values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serving.world import EMAIL, PHONE, Client, World, account, contact
from tests.spans import named, trace_ids, traced

from paxtrail.adapters import tracing
from paxtrail.adapters.producer import Sender
from paxtrail.core.records import Record
from paxtrail.serving.relay import Relay
from paxtrail.settings import Settings

TRACES = [f"{number:032x}" for number in (0xA1, 0xB2, 0xC3)]
CONTEXTS = [f"00-{trace}-b7ad6b7169203331-01" for trace in TRACES]
LOYALTY = "UA|AB123456"


class Broker:
    """A producer that takes everything and delivers it at once."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []

    def produce(self, topic: str, value: Any, *, key: str, headers: Any, on_delivery: Callable[[Any, Any], None]) -> None:
        given = headers.items() if isinstance(headers, dict) else headers
        self.headers.append({name: text.decode() if isinstance(text, bytes) else text for name, text in given})
        on_delivery(None, None)

    def poll(self, _: float) -> int:
        return 0

    def flush(self, _: float) -> int:
        return 0


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    found = Broker()
    monkeypatch.setattr(Sender, "_connected", lambda _: found)
    return found


def record(**headers: str) -> Record:
    return Record("loyalty", {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "tests", "ce_type": "t", **headers}, b"{}", 0)


def test_a_record_gets_the_senders_context_unless_it_has_its_own(settings: Settings, broker: Broker, tmp_path: Path) -> None:
    structured = Record("loyalty", {"content-type": "application/cloudevents+json"}, b"{}", 0)
    with traced(settings, tmp_path) as spans:
        assert Sender(settings).send([record(), structured, record(ce_traceparent=CONTEXTS[0])]) == 3
    [span] = named(spans, "send")
    own = f"00-{span['context']['trace_id'][2:]}-{span['context']['span_id'][2:]}-"
    assert broker.headers[0]["ce_traceparent"].startswith(own) and broker.headers[1]["traceparent"].startswith(own)
    assert "ce_traceparent" not in broker.headers[1]  # in structured mode attributes stand in the body
    assert broker.headers[2]["ce_traceparent"] == CONTEXTS[0]


def test_without_tracing_nothing_is_written_and_no_span_is_made(settings: Settings, broker: Broker) -> None:
    Sender(settings).send([record()])
    assert not {"ce_traceparent", "traceparent"} & broker.headers[0].keys()
    with tracing.span("nothing") as span:
        assert not span.is_recording() and tracing.context() is None


async def test_a_read_and_the_relay_name_the_trace_of_the_newest_record(api: Client, world: World) -> None:
    world.sql("delete from outbox")
    world.feed(("loyalty", account()), contact(name="C-78"), ("flights", world.flight(estimated="2013-02-08T10:50:00Z")), contexts=CONTEXTS)
    customer = world.customer()
    for rest in ("", "", "/360"):  # rendered, kept, and in the view
        answer = await api.get(f"/v1/profiles/{customer}{rest}")
        assert answer.headers["paxtrail-data-trace"] == TRACES[1]
    assert (await api.get("/v1/flights/UA1545/2013-02-08/EWR")).headers["paxtrail-data-trace"] == TRACES[2]
    rows = world.sql("select id, topic, key, payload, traceparent from outbox where key = %s", customer, role="relay")
    broker = Broker()
    Relay._deliver(broker, rows)  # type: ignore[arg-type]  # as much of a producer as it uses
    assert [sent["traceparent"] for sent in broker.headers] == [CONTEXTS[1]]


async def test_a_version_that_no_traced_record_made_names_none(api: Client, world: World) -> None:
    world.feed(contact(name="C-78"), contexts=CONTEXTS)
    world.feed(contact(name="C-79"))
    answer = await api.get(f"/v1/profiles/{world.customer()}")
    assert "paxtrail-data-trace" not in answer.headers and len(answer.headers["paxtrail-trace"]) == 32
    assert world.sql("select traceparent from outbox order by id desc limit 1") == [(None,)]


def test_what_is_no_trace_context_goes_no_further(world: World) -> None:
    world.feed(contact(name="C-78"), contact(name="C-79"), contexts=[EMAIL, f"00-{'0' * 32}-b7ad6b7169203331-01"])
    assert world.sql("select traceparent from versions where traceparent is not null") == []


async def test_a_request_goes_on_with_its_callers_trace_and_its_span_links_to_the_record(api: Client, world: World, tmp_path: Path) -> None:
    world.feed(contact(name="C-78"), contexts=CONTEXTS)
    customer = world.customer()
    with traced(world.settings, tmp_path) as spans:
        answer = await api.get(f"/v1/profiles/{customer}", headers={"traceparent": CONTEXTS[2]})
    [span] = named(spans, "profiles.read")
    assert span["context"]["trace_id"][2:] == answer.headers["paxtrail-trace"] == TRACES[2]
    assert trace_ids(span) == {TRACES[2], TRACES[0]}
    assert span["attributes"] == {"http.route": "/v1/profiles/{customer_id}", "http.response.status_code": 200}


async def test_spans_hold_no_value_of_a_request_or_a_record(
    api: Client, world: World, tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = world.customer()

    async def broken(*_: Any) -> None:
        raise RuntimeError(f"no such key: {EMAIL}")

    with traced(world.settings, tmp_path) as spans:
        await api.get(f"/v1/profiles/{customer}?{EMAIL}={PHONE}")
        await api.http.request(EMAIL.upper(), f"/{EMAIL}")
        await api.post("/v1/profiles/lookup", {"namespace": "email", "value": EMAIL})
        monkeypatch.setattr(api.app.state.serving.search, "by_identifier", broken)
        assert (await api.post("/v1/profiles/lookup", {"namespace": "email", "value": EMAIL})).status_code == 500
        with pytest.raises(ValueError), tracing.span("failing"):
            raise ValueError(f"invalid: {LOYALTY}")
    told = json.dumps(spans)
    assert len(spans) == 5 and named(spans, "failing")[0]["attributes"] == {"error.type": "ValueError"}
    assert [value for value in (customer, EMAIL, EMAIL.upper(), PHONE, LOYALTY) if value in told] == []
