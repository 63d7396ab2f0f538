"""The load generator: valid messages, evenly paced, with the crowds the benchmarks ask for."""

from __future__ import annotations

import json
from collections import Counter

from tests.simulator.platform_in_memory import SCHEMAS

from paxtrail.core.decoding import decode
from paxtrail.core.records import Record
from paxtrail.simulator import load
from paxtrail.simulator.messages import SECOND, SOURCES, Message

START = 1_795_348_800_000_000


def events_of(message: Message) -> int:
    return len(decode(Record(message.source, message.headers, message.body, message.at_us), SCHEMAS).drafts)


def test_every_message_is_accepted_and_the_events_are_as_many_as_stated() -> None:
    messages = list(load.messages(1000, 3, 50_000, 7, start_us=START))
    assert {message.source for message in messages} == set(SOURCES)
    events = sum(events_of(message) for message in messages)
    assert abs(events / len(messages) - load.EVENTS_PER_RECORD) < 0.05


def test_messages_are_evenly_paced_and_never_share_an_id() -> None:
    messages = list(load.messages(500, 4, 1000, 7, start_us=START))
    assert [message.at_us - START for message in messages] == [n * SECOND // 500 for n in range(2000)]
    more = list(load.messages(500, 4, 1000, 7, start_us=START, first=2000))
    assert len({message.headers["ce_id"] for message in [*messages, *more]}) == 4000


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert list(load.messages(100, 5, 1000, 3, start_us=START)) == list(load.messages(100, 5, 1000, 3, start_us=START))
    assert list(load.messages(100, 5, 1000, 3, start_us=START)) != list(load.messages(100, 5, 1000, 4, start_us=START))


def test_keys_follow_zipf_or_are_even() -> None:
    def share_of_the_busiest(zipf: float) -> float:
        keys = Counter(m.key for m in load.messages(1000, 10, 1000, 5, zipf, start_us=START) if m.source == "loyalty")
        return keys.most_common(1)[0][1] / keys.total()

    assert share_of_the_busiest(1.0) > 0.08
    assert share_of_the_busiest(0.0) < 0.02


def test_the_population_has_an_account_and_a_booking_each_and_the_agency_its_three_thousand() -> None:
    messages = list(load.population(3_100, 1, at_us=START))
    assert Counter(message.source for message in messages) == {"loyalty": 3_100, "reservations": 3_100}
    assert all(events_of(message) for message in messages[:200])
    bookings = [json.loads(message.body) for message in messages if message.source == "reservations"]
    assert sum(any(c["value"] == load.AGENCY_PHONE for c in booking["contacts"]) for booking in bookings) == 3_000
    assert len({booking["locator"] for booking in bookings}) == 3_100


def test_four_hundred_passengers_share_one_flight_and_no_name() -> None:
    messages = list(load.crowded_flight(400, 1, at_us=START))
    journeys: set[str] = set()
    legs: set[str] = set()
    for message in messages:
        for draft in decode(Record(message.source, message.headers, message.body, message.at_us + 2 * SECOND), SCHEMAS).drafts:
            journeys |= {str(entity.key) for entity in draft.entities if entity.kind == "journey"}
            legs |= {entity.key for entity in draft.entities if entity.kind == "flight" and isinstance(entity.key, str)}
    assert len(journeys) == 400
    assert len(legs) == 1
