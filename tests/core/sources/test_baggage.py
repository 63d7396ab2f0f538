"""Baggage messages: RP 1745 Type B in, one event per licence plate out; cut-off or malformed text refused."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from tests.core.samples import ARRIVAL, acceptance, data, decoded, refused

from paxtrail.core.records import Draft, Entity, Identifier, Relation
from paxtrail.core.sources import baggage


def message(
    *lines: str, type_: str = "BSM", version: str = ".V/1LEWR", flight: str = ".F/UA1545/08FEB/IAH/Y", tag: str = ".N/0016123456001"
) -> str:
    return "\n".join(line for line in (type_, version, flight, tag, *lines, f"END{type_}") if line)


def drafts(body: bytes | str, **more: Any) -> list[Draft]:
    return decoded("baggage", body, **more).drafts


def only(body: bytes | str, **more: Any) -> Draft:
    (draft,) = drafts(body, **more)
    return draft


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def test_every_accepted_sample_gives_the_expected_fields() -> None:
    lines = (acceptance("messages") / "bsm" / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    renamed = {"dest": "destination", "cls": "class", "source": "source_indicator", "pax_status": "passenger_status", "change": "action"}
    assert lines
    for line in lines:
        expected = json.loads(line)["expect"]
        found = drafts(line)
        assert [draft.facts["tag"] for draft in found] == expected.pop("tags", [draft.facts["tag"] for draft in found])
        event = {"BSM": "bag.sourced", "BPM": "bag.processed"}[expected.pop("type")]
        for draft in found:
            assert draft.type == event
            facts = draft.facts | {"flight": None, "date": None}
            flight, date = expected.get("flight"), expected.get("date")
            assert flight.replace("BA0", "BA") == facts["airline"] + facts["number"]
            assert date is None or facts["flight_date"].endswith("-04-18")
            for name, value in expected.items():
                assert name in ("flight", "date") or facts[renamed.get(name, name)] == value


def test_a_checked_in_bag_names_its_passenger_flight_and_journey() -> None:
    first, second = drafts(data("baggage/accepted.txt"))
    assert (first.type, first.event_time) == ("bag.sourced", ARRIVAL)
    assert first.facts == {
        "tag": "0016123456",
        "tag_kind": "interline",
        "tag_issuer": "016",
        "action": "NEW",
        "custody": "accepted",
        "station": "EWR",
        "source_indicator": "L",
        "leg": "UA1545/2013-02-08/EWR",
        "airline": "UA",
        "number": "1545",
        "flight_date": "2013-02-08",
        "destination": "IAH",
        "class": "Y",
        "onward": ["UA0099/08FEB/LAX/Y"],
        "authority_to_load": "Y",
        "seat": "12A",
        "passenger_status": "C",
        "sequence_number": "017",
        "security_number": "003",
        "pieces": 2,
        "weight_kg": 38,
        "bag_count": 2,
        "locator": "K7Q2ZP",
        "surname": "SMITH",
        "given": "JOHNMR",
    }
    assert second.facts == first.facts | {"tag": "0016123457"}
    journey = Entity("journey", Identifier("journey", "UA1545/2013-02-08/EWR|K7Q2ZP|SMITH/JOHN"))
    bag = Entity("bag", "0016123456")
    assert first.entities == (bag, journey)
    assert first.relations == (Relation(journey, "carries", bag), Relation(journey, "on", Entity("flight", "UA1545/2013-02-08/EWR")))
    assert first.owner == Identifier("bag", "0016123456|UA1545/2013-02-08/EWR")
    assert first.subject is None


def test_unknown_elements_survive_in_the_native_part() -> None:
    assert ".Z/SOMETHING/NEW" in drafts(data("baggage/accepted.txt"))[0].native


def test_one_message_may_hold_several_flights_and_passengers() -> None:
    found = drafts(data("baggage/groups.txt"))
    told = [(d.facts["tag"], d.facts["leg"], d.facts.get("surname"), d.facts.get("locator"), d.facts["custody"]) for d in found]
    assert told == [
        ("0085111111", "SR101/2013-02-08/ZRH", "SMITH", "XY1C3P", "transfer"),
        ("0085111112", "SR101/2013-02-08/ZRH", "SMITH", "XY1C3P", "transfer"),
        ("0085222222", "SR101/2013-02-08/ZRH", "SMITH", "XY1C3P", "transfer"),
        ("2085333333", "DL101/2013-02-09/ZRH", "BROWN", "SAB4KP", "rushed"),
        ("0085555555", "DL101/2013-02-09/ZRH", "WHITE", None, "rushed"),
    ]
    assert [d.facts["bag_count"] for d in found] == [3, 3, 3, 1, 1]
    assert all(d.facts["inbound_leg"] == "AZ318/2013-02-08/FCO" for d in found)
    assert [d.facts.get("onward") for d in found[2:]] == [None, ["DL671/09FEB/ATL/C"], ["DL671/09FEB/ATL/C"]]


def test_passengers_of_one_surname_all_get_the_bag() -> None:
    brown = drafts(data("baggage/groups.txt").replace(b"2085333333", b"0085333333").replace(b"RUSH", b"PRIO"))[3]
    assert (brown.facts["given"], brown.facts["others"]) == ("JIM", [{"surname": "BROWN", "given": "ANN"}])
    names = [entity.key.value.rpartition("|")[2] for entity in brown.entities if isinstance(entity.key, Identifier)]
    assert names == ["BROWN/JIM", "BROWN/ANN"]


def test_a_rushed_bag_makes_no_journey_on_the_flight_it_takes() -> None:
    rushed = drafts(data("baggage/groups.txt"))[3]
    assert rushed.facts["custody"] == "rushed"
    assert [entity.kind for entity in rushed.entities] == ["bag"]
    assert rushed.relations == ()


def test_no_passenger_learns_of_another_groups_bags() -> None:
    white = drafts(data("baggage/groups.txt"))[4]
    assert "SMITH" not in white.native
    assert "BROWN" not in white.native


def test_the_life_of_a_bag_in_custody_states() -> None:
    told = [(d.type, d.facts["tag"][-4:], d.facts.get("custody")) for d in drafts(data("baggage/life.txt"))]
    assert told == [
        ("bag.processed", "3456", "sorted"),
        ("bag.processed", "3456", "screened"),
        ("bag.processed", "3456", "loaded"),
        ("bag.processed", "3456", "arrived"),
        ("bag.processed", "3456", "delivered"),
        ("bag.processed", "0001", "loaded"),
        ("bag.processed", "0002", "offloaded"),
        ("bag.processed", "0003", "on_hand"),
        ("bag.unloaded", "3457", "offloaded"),
        ("bag.not_seen", "3458", "not_seen"),
        ("bag.transferred", "3458", "transfer"),
        ("bag.sourced", "3456", None),
        ("bag.sourced", "3456", "cancelled"),
        ("bag.sourced", "3456", None),
    ]


def test_an_arrival_carries_the_bag_on_the_journey_of_the_inbound_leg() -> None:
    arrived = drafts(data("baggage/life.txt"))[3]
    journey = Entity("journey", Identifier("journey", "UA1545/2013-02-08/EWR|K7Q2ZP|SMITH/JOHN"))
    assert arrived.relations == (
        Relation(journey, "carries", Entity("bag", "0016123456")),
        Relation(journey, "on", Entity("flight", "UA1545/2013-02-08/EWR")),
    )
    assert "leg" not in arrived.facts
    assert arrived.facts["inbound_leg"] == "UA1545/2013-02-08/EWR"


@pytest.mark.parametrize("file", ["accepted.txt", "groups.txt", "life.txt"])
def test_the_native_parts_put_together_decode_to_the_same_drafts(file: str) -> None:
    found = drafts(data(f"baggage/{file}"))
    assert drafts(baggage.assemble([draft.native for draft in found])) == found


def test_the_same_message_twice_in_a_record_stays_twice_when_put_together() -> None:
    found = drafts(message() + "\n" + message())
    assert len(found) == 2
    assert drafts(baggage.assemble([draft.native for draft in found])) == found


@pytest.mark.parametrize(
    ("written", "at"),
    [
        (".J/S/A/D/08FEB/0459L/P", "2013-02-08T09:59:00Z"),
        (".J/S/A/D/08FEB/045930L/P", "2013-02-08T09:59:30Z"),
        (".J/S/A/D/08FEB/0459Z/P", "2013-02-08T04:59:00Z"),
        (".J/S/A/D/08FEB/0459/P", "2013-02-08T09:59:00Z"),
        (".J/S/A/D/8FEB/0459Z/P", "2013-02-08T04:59:00Z"),
        (".J/S/A/D/31DEC/2300Z/P", "2012-12-31T23:00:00Z"),
        (".J/S/A/D/20JUL/2300Z/P", "2012-07-20T23:00:00Z"),
    ],
)
def test_a_reading_is_timed_by_the_clock_of_its_airport_or_utc_in_the_nearest_past_year(written: str, at: str) -> None:
    draft = only(message(written, type_="BPM"))
    assert draft.facts["at"] == draft.event_time == instant(at)


def test_summer_time_counts() -> None:
    draft = only(message(".J/S/A/D/08JUL/0459L/P", type_="BPM"), arrival=instant("2013-07-08T19:00:00Z"))
    assert draft.facts["at"] == instant("2013-07-08T08:59:00Z")


def test_a_local_time_at_an_unknown_airport_is_not_guessed() -> None:
    draft = only(message(".J/S/A/D/08FEB/0459L/P", type_="BPM", version=".V/1LZZZ"))
    assert "at" not in draft.facts
    assert draft.event_time == ARRIVAL


@pytest.mark.parametrize(
    ("arrival", "date", "year"),
    [
        ("2013-01-02T00:00:00Z", "30DEC", "2012-12-30"),
        ("2013-12-30T00:00:00Z", "02JAN", "2014-01-02"),
        ("2013-02-08T00:00:00Z", "08FEB", "2013-02-08"),
        ("2013-03-01T00:00:00Z", "29FEB", "2012-02-29"),
        ("2015-03-01T00:00:00Z", "29FEB", "2016-02-29"),
        ("2014-02-20T00:00:00Z", "29FEB", "2012-02-29"),
    ],
)
def test_a_date_without_a_year_is_in_the_nearest_one(arrival: str, date: str, year: str) -> None:
    assert only(message(flight=f".F/UA1545/{date}/IAH"), arrival=instant(arrival)).facts["flight_date"] == year


def test_the_year_is_nearest_to_the_envelopes_time_when_it_has_one() -> None:
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "t", "ce_time": "2013-02-08T09:00:00Z"}
    draft = only(message(), headers=headers, arrival=instant("2026-09-01T00:00:00Z"))
    assert (draft.facts["flight_date"], draft.event_time) == ("2013-02-08", instant("2013-02-08T09:00:00Z"))


def test_flight_dates_are_near_the_reading_when_there_is_one() -> None:
    late = instant("2013-11-22T00:00:00Z")
    assert only(message(), arrival=late).facts["flight_date"] == "2014-02-08"
    assert only(message(".J/S/A/D/08FEB/0459Z/P", type_="BPM"), arrival=late).facts["flight_date"] == "2013-02-08"


@pytest.mark.parametrize(
    ("line", "custody"),
    [
        (".J/R/A/D/08FEB/0459Z/P", "loaded"),
        (".U/AKE12345UA", "loaded"),
        (".U//41", "loaded"),
        (".J/G/A/D/08FEB/0459Z/P", "sorted"),
        (".X/XRAY", "sorted"),
        (".X//REJ", "screened"),
    ],
)
def test_one_element_is_enough_to_tell_custody(line: str, custody: str) -> None:
    assert only(message(line, type_="BPM")).facts["custody"] == custody


def test_without_locator_or_given_name_there_is_no_journey() -> None:
    for lines in ((".P/SMITH/JOHN",), (".P/SMITH", ".L/K7Q2ZP"), (".L/K7Q2ZP",), (".P/SMITH/JOHN", ".L/?")):
        assert only(message(*lines)).entities == (Entity("bag", "0016123456"),)


def test_a_heading_survives_in_the_native_part() -> None:
    assert drafts(data("baggage/groups.txt"))[4].native.startswith("QU HKGTSXH EWRKLUA\n.ISTKMTK 081625 BMD-094\nBSM\n")


def test_a_refusal_names_the_line_whatever_ends_lines() -> None:
    for end in ("\n", "\r\n", "\r"):
        assert refused("baggage", message("NO ELEMENT").replace("\n", end)).at == "line 5"


@pytest.mark.parametrize(("tag", "kind"), [("0", "interline"), ("1", "fallback"), ("2", "rush"), ("9", "other")])
def test_the_first_digit_of_a_licence_plate_tells_its_kind(tag: str, kind: str) -> None:
    facts = only(message(tag=f".N/{tag}016123456001")).facts
    assert (facts["tag_kind"], facts["tag_issuer"]) == (kind, "016")


def test_consecutive_tags_stay_in_the_airlines_numbers() -> None:
    tags = [draft.facts["tag"] for draft in drafts(message(tag=".N/0016999999003"))]
    assert tags == ["0016999999", "0016000000", "0016000001"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (".W/K/2/38", {"pieces": 2, "weight_kg": 38, "bag_count": 2}),
        (".W/L/1/50", {"pieces": 1, "weight_kg": 23, "bag_count": 1}),
        (".W/K/1/22.6/", {"pieces": 1, "weight_kg": 23, "bag_count": 1}),
        (".W/P/1", {"pieces": 1, "bag_count": 1}),
        (".W/K//23", {"weight_kg": 23, "bag_count": 1}),
    ],
)
def test_weights_are_whole_kilograms(written: str, expected: dict[str, int]) -> None:
    facts = only(message(written)).facts
    assert {name: facts[name] for name in ("pieces", "weight_kg", "bag_count") if name in facts} == expected


def test_json_with_the_text_is_its_text() -> None:
    assert drafts(json.dumps({"id": "x", "text": message()})) == drafts(message())


@pytest.mark.parametrize("wrapped", ["{}", '{"text": 1}', '{"text": "BSM', '{"a":' * 60_000, "{]"])
def test_json_without_a_text_is_refused(wrapped: str) -> None:
    assert refused("baggage", wrapped).code == "bad_json"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (message().removesuffix("\nENDBSM"), "truncated"),
        (message()[: message().index(".N")], "truncated"),
        ("BSM", "truncated"),
        (message() + "\nBSM\n.V/1LEWR", "truncated"),
        (message().replace("ENDBSM", "ENDBPM"), "bad_end"),
        (message().replace("ENDBSM", "END"), "bad_end"),
        (message(tag=""), "missing_tag"),
        (message(".F/UA1546/08FEB/IAH"), "missing_tag"),
        (message(version=""), "missing_version"),
        (message(version=".V/2LEWR"), "bad_element"),
        (message(version=".V/1QEWR"), "bad_element"),
        (message(version=".V/1L"), "bad_element"),
        (message(tag=".N/0016123456"), "bad_tag"),
        (message(tag=".N/0016123456000"), "bad_tag"),
        (message(tag=".N/00161234560012"), "bad_tag"),
        (message(tag=".N/0O16123456001"), "bad_tag"),
        (message(tag=".N/"), "bad_tag"),
        (message(tag=".B/0016123456001"), "bad_tag"),
        (message(".N/0016200000999"), "too_many_tags"),
        ("\n".join([message(tag=".N/0016200000500")] * 3), "too_many_tags"),
        (message(flight=".F/1545/08FEB/IAH"), "bad_element"),
        (message(flight=".F/UA1545/30FEB/IAH"), "bad_element"),
        (message(flight=".F/UA1545/2013-02-08/IAH"), "bad_element"),
        (message(".I/UA1/08FEB/E"), "bad_element"),
        (message(".J/S/A/D/08FEB/2460L", type_="BPM"), "bad_element"),
        (message(".J/S/A/D/99FEB/0459L", type_="BPM"), "bad_element"),
        (message(".J/S/A/D/08FEB/noon", type_="BPM"), "bad_element"),
        (message(".W/X/1/23"), "bad_element"),
        (message(".W/K/one/23"), "bad_element"),
        (message(".S/Y/" + "1" * 100), "bad_element"),
        (message(".E/sealed:name:x"), "reserved_marker"),
        (message(".O/sealed:name:x"), "reserved_marker"),
        (message("P/SMITH/JOHN"), "bad_line"),
        (message("SMITH/JOHN"), "bad_line"),
        (message(".PP/SMITH"), "bad_line"),
        (message("ADD"), "bad_line"),
        (message(".P/SM\0ITH/JOHN"), "control_character"),
        (message(".P/SM\x1bITH/JOHN"), "control_character"),
        ("BCM\n.V/1LEWR\nENDBCM", "unknown_type"),
        ("bsm\n.V/1LEWR\nENDBSM", "unknown_type"),
        ("MVT\nUA1545/08.N12345.EWR", "unknown_type"),
        ("QU HKGTSXH\n.ISTKMTK 081625", "unknown_type"),
        (message() + "\nNNNN", "unknown_type"),
        ("<xml/>", "unknown_type"),
        (message(".J/S/A/D/08FEB/1911Z", type_="BPM"), "from_the_future"),
        (message(".J/S/A/D/10FEB/0000Z", type_="BPM"), "from_the_future"),
    ],
)
def test_what_is_cut_off_or_malformed_is_refused(body: str, code: str) -> None:
    assert refused("baggage", body).code == code


def test_text_that_is_no_text_is_refused() -> None:
    assert refused("baggage", message().encode() + b"\xff").code == "bad_encoding"
    assert refused("baggage", message().encode("utf-16")).code == "bad_encoding"


def test_nine_hundred_and_ninety_nine_tags_are_accepted() -> None:
    assert len(drafts(message(tag=".N/0016000000999"))) == 999


def test_a_reason_never_names_the_passenger() -> None:
    for body in (message(".P/SECRET/NAME")[:-6], message("SECRET NAME"), message(".P/SECRET/NAME", ".W/X"), message(".P/SECRET\0")):
        assert "SECRET" not in str(refused("baggage", body))
