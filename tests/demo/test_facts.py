"""What the full demo counts from silver, beside the questions that Druid answers."""

from __future__ import annotations

from typing import Any

import pytest

from paxtrail.demo import facts
from paxtrail.serving.analytics import QUESTIONS

AT = 1_795_380_000_000


def fact(kind: str, **more: Any) -> dict[str, Any]:
    absent = dict.fromkeys(("airline", "custody", "channel", "band", "delay_minutes", "thing", "person"))
    return {**absent, "time": AT, "kind": kind, "airline": "UA", **more}


FACTS = [
    fact("departed", thing="L1", band="on_time", delay_minutes=4),
    fact("departed", thing="L1", band="15_to_59", delay_minutes=20),  # told again, later
    fact("departed", thing="L2"),  # nobody knows its schedule
    fact("arrived", thing="L3", airline="DL", band="on_time", delay_minutes=-9),
    fact("cancelled", thing="L4"),
    *(fact("displaced", thing="L4", person=person) for person in ("p", "q", "p")),
    *(fact("bag", custody="loaded", thing=tag) for tag in ("b1", "b1", "b2")),
    *(fact("searched", channel="web", person=person) for person in ("p", "p")),
]


def test_things_and_persons_count_once_facts_every_time() -> None:
    found = facts.counted(FACTS)
    assert found["bags"] == [{"hour": AT, "custody": "loaded", "bags": 2, "scans": 3}]
    assert found["searches"] == [{"hour": AT, "channel": "web", "searches": 2, "persons": 1}]
    assert found["disruptions"] == [{"hour": AT, "airline": "UA", "cancelled": 1, "diverted": 0, "delayed": 0, "travellers": 2}]


def test_a_mean_delay_is_of_those_whose_delay_is_known() -> None:
    ua, dl = facts.counted(FACTS)["punctuality"]
    assert (ua["departures"], ua["departures_on_time"], ua["departure_delay_minutes"]) == (2, 1, pytest.approx(12.0))
    assert (ua["arrivals"], ua["arrival_delay_minutes"]) == (0, None)
    assert (dl["airline"], dl["arrivals"], dl["arrival_delay_minutes"]) == ("DL", 1, pytest.approx(-9.0))


def test_every_question_and_measure_of_the_api_is_counted() -> None:
    found = facts.counted(FACTS)
    for name, question in QUESTIONS.items():
        assert set(found[name][0]) == {"hour", facts.BY[name], *question.measures}
        assert facts.BY[name] in question.by
