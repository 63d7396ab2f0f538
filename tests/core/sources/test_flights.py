"""Flight movements: AIDX messages in, legs out; broken or dangerous XML refused."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import Any

import pytest
from tests.core.samples import acceptance, data, decoded, refused

from paxtrail.core.records import Draft, Entity
from paxtrail.core.sources import flights

NAMESPACE = "http://www.iata.org/IATA/2007/00"
IDENTIFIER = (
    "<LegIdentifier><Airline>UA</Airline><FlightNumber>1545</FlightNumber><DepartureAirport>EWR</DepartureAirport>"
    "<ArrivalAirport>IAH</ArrivalAirport><OriginDate>2013-02-08</OriginDate></LegIdentifier>"
)


def message(leg_data: str = "", *, identifier: str = IDENTIFIER, stamp: str = "2013-02-08T10:00:00Z", prolog: str = "") -> str:
    time = f' TimeStamp="{stamp}"' if stamp else ""
    return (
        f'{prolog}<IATA_AIDX_FlightLegNotifRQ xmlns="{NAMESPACE}" Version="21.3"{time}><FlightLeg>{identifier}'
        f"<LegData>{leg_data}</LegData></FlightLeg></IATA_AIDX_FlightLegNotifRQ>"
    )


def operation(qualifier: str, type_: str, value: str, repeat: int | None = None) -> str:
    index = "" if repeat is None else f' RepeatIndex="{repeat}"'
    return f'<OperationTime OperationQualifier="{qualifier}" TimeType="{type_}"{index}>{value}</OperationTime>'


def only(body: bytes | str, **more: Any) -> Draft:
    (draft,) = decoded("flights", body, **more).drafts
    return draft


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def test_every_accepted_sample_of_a_real_feed_gives_the_expected_leg_and_times() -> None:
    folder = acceptance("messages") / "aidx"
    with (folder / "expected.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        facts = only((folder / row["file"]).read_bytes(), arrival=instant("2026-01-01T00:00:00Z")).facts
        block = "on_block" if row["leg"] == "Arrival" else "off_block"
        names = ("scope", "airline", "number", "departure", "arrival", "origin_date", "status")
        assert [facts[name] for name in names] == [
            row["leg"],
            row["airline"],
            row["flight_number"],
            row["departure"],
            row["arrival"],
            row["origin_date"],
            row["operational_status"],
        ]
        for kind in ("scheduled", "estimated", "actual"):
            assert facts.get(f"{block}_{kind}") == (instant(text) if (text := row[f"{kind}_block"]) else None)
        delay = (facts[f"{block}_estimated"] - facts[f"{block}_scheduled"]) // 60_000_000
        assert delay == int(row["estimated_delay_minutes"])


def test_a_delayed_flight_with_prefixes_says_all_it_knows() -> None:
    draft = only(data("flights/delayed.xml"))
    assert draft.type == "flight.leg_updated"
    assert draft.event_time == instant("2013-02-08T10:02:00Z")
    assert draft.entities == (Entity("flight", "UA15A/2013-02-08/EWR"),)
    assert draft.owner == ("flight", "UA15A/2013-02-08/EWR")
    assert draft.facts == {
        "airline": "UA",
        "number": "15",
        "suffix": "A",
        "origin_date": "2013-02-08",
        "departure": "EWR",
        "arrival": "HNL",
        "status": "OP",
        "service_type": "J",
        "codeshares": ["CA7267"],
        "delays": [{"code": "93", "minutes": 65}, {"code": "75", "minutes": 20}],
        "departure_stand": "C72",
        "departure_gate": "C73",
        "departure_terminal": "B",
        "arrival_belt": "E1",
        "arrival_terminal": "1",
        "off_block_scheduled": instant("2013-02-08T13:30:00Z"),
        "off_block_estimated": instant("2013-02-08T14:55:00Z"),
        "off_block_actual": None,
        "boarding_start_actual": instant("2013-02-08T10:01:30Z") + 500_000,
        "on_block_scheduled": instant("2013-02-09T00:30:00Z"),
        "aircraft_type": "764",
        "registration": "N76064",
        "callsign": "UAL15",
    }


def test_one_message_with_two_legs_is_two_events_and_a_cancellation_wins_over_other_statuses() -> None:
    first, second = decoded("flights", data("flights/two_legs.xml")).drafts
    assert first.facts["status"] == "DX"
    assert first.entities == (Entity("flight", "UA1545/2013-02-08/EWR"),)
    assert second.entities == (Entity("flight", "B61/2013-02-08/JFK"),)
    assert "arrival" not in second.facts
    assert second.facts["diverted_to"] == "MIA"


def test_each_leg_keeps_its_own_unknown_elements_and_no_other_legs() -> None:
    first, second = decoded("flights", data("flights/two_legs.xml")).drafts
    assert "unread <FlightLeg>" in first.native
    assert "v:Empty" not in first.native
    assert "v:Empty" in second.native
    assert "unread" not in second.native


@pytest.mark.parametrize("file", ["delayed.xml", "two_legs.xml"])
def test_the_native_parts_put_together_decode_to_the_same_drafts(file: str) -> None:
    drafts = decoded("flights", data(f"flights/{file}")).drafts
    assert decoded("flights", flights.assemble([draft.native for draft in drafts])).drafts == drafts


def test_the_native_parts_of_acceptance_data_decode_to_the_same_drafts() -> None:
    for file in (acceptance("messages") / "aidx").glob("*.xml"):
        drafts = decoded("flights", file.read_bytes(), arrival=instant("2026-01-01T00:00:00Z")).drafts
        again = decoded("flights", flights.assemble([draft.native for draft in drafts]), arrival=instant("2026-01-01T00:00:00Z")).drafts
        assert again == drafts


def test_of_several_estimates_the_highest_repeat_index_wins_and_without_one_the_last() -> None:
    early, late = "2013-02-08T11:00:00Z", "2013-02-08T12:00:00Z"
    by_index = only(message(operation("OFB", "EST", late, 2) + operation("OFB", "EST", early, 1)))
    by_order = only(message(operation("OFB", "EST", early) + operation("OFB", "EST", late)))
    assert by_index.facts["off_block_estimated"] == by_order.facts["off_block_estimated"] == instant(late)


def test_whose_side_speaks_is_told_by_the_status_or_else_by_the_resources() -> None:
    resource = '<AirportResources><Resource DepartureOrArrival="Arrival"/></AirportResources>'
    assert only(message(resource)).facts["scope"] == "Arrival"
    assert only(message('<OperationalStatus FlightLegScope="Departure">OP</OperationalStatus>' + resource)).facts["scope"] == "Departure"
    assert "scope" not in only(message(resource + resource.replace('"Arrival"', '"Departure"'))).facts


def test_only_what_is_said_is_a_fact() -> None:
    assert only(message()).facts == {
        "airline": "UA",
        "number": "1545",
        "origin_date": "2013-02-08",
        "departure": "EWR",
        "arrival": "IAH",
    }


def test_without_a_time_stamp_the_event_happened_when_the_envelope_says_or_it_arrived() -> None:
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "t", "ce_time": "2013-02-08T09:00:00Z"}
    assert only(message(stamp=""), headers=headers).event_time == instant("2013-02-08T09:00:00Z")
    assert only(message(stamp=""), arrival=instant("2013-02-08T09:30:00Z")).event_time == instant("2013-02-08T09:30:00Z")


def test_a_sequence_and_the_airline_of_the_group_come_from_the_envelope() -> None:
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "t", "ce_sequence": "42", "ce_controller": "UA"}
    draft = only(message(), headers=headers)
    assert (draft.source_sequence, draft.controller) == (42, "UA")


@pytest.mark.parametrize(
    ("written", "minutes"), [("PT30M", 30), ("PT1H30M", 90), ("P1DT1H", 1500), ("0130", 90), ("45", 45), ("-PT5M", -5), ("PT0S", 0)]
)
def test_a_delay_may_be_written_in_several_ways(written: str, minutes: int) -> None:
    assert only(message(f'<DelayCode Duration="{written}">41</DelayCode>')).facts["delays"] == [{"code": "41", "minutes": minutes}]
    nested = f"<IrregularityDelay><Code>41</Code><Duration>{written}</Duration></IrregularityDelay>"
    assert only(message(nested)).facts["delays"] == [{"code": "41", "minutes": minutes}]


NAMED = message("<RemarkFreeText>Café, Zoë – 5 €</RemarkFreeText>")


@pytest.mark.parametrize(
    ("declared", "codec", "text"),
    [
        ("UTF-8", "utf-8", NAMED),
        ("utf-8", "utf-8-sig", NAMED),
        ("UTF-16", "utf-16", NAMED),
        ("UTF-16LE", "utf-16-le", NAMED),
        ("UTF-16BE", "utf-16-be", NAMED),
        ("ISO-8859-1", "iso-8859-1", NAMED.replace("–", "-").replace("€", "E")),
        ("ISO-8859-15", "iso-8859-15", NAMED.replace("–", "-")),
        ("windows-1252", "cp1252", NAMED),
        ("US-ASCII", "ascii", message("<RemarkFreeText>plain</RemarkFreeText>")),
    ],
)
def test_a_declared_encoding_is_honoured(declared: str, codec: str, text: str) -> None:
    remark = text[text.index("<RemarkFreeText>") : text.index("</RemarkFreeText>")]
    assert remark in only(f'<?xml version="1.0" encoding="{declared}"?>{text}'.encode(codec)).native


@pytest.mark.parametrize(
    "body",
    [
        NAMED.encode("iso-8859-1", "replace"),  # no declaration: must be UTF-8
        f'<?xml version="1.0" encoding="UTF-8"?>{NAMED}'.encode("cp1252"),
        f'<?xml version="1.0" encoding="US-ASCII"?>{NAMED}'.encode(),
        f'<?xml version="1.0" encoding="UTF-16"?>{message()}'.encode(),
        f'<?xml version="1.0" encoding="UTF-8"?>{message()}'.encode("utf-16"),
        f'<?xml version="1.0" encoding="ISO-8859-1"?>{message()}'.encode("utf-8-sig"),
        f'<?xml version="1.0" encoding="UTF-7"?>{message()}'.encode(),
        f'<?xml version="1.0" encoding="EBCDIC-CP-US"?>{message()}'.encode(),
    ],
)
def test_bytes_of_another_encoding_than_declared_are_refused(body: bytes) -> None:
    assert refused("flights", body).code == "bad_encoding"


LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (message(prolog='<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>').replace("IAH", "&x;"), "xml_doctype"),
        (message(prolog='<!DOCTYPE r SYSTEM "http://example.com/x.dtd">'), "xml_doctype"),
        (message(prolog='<?xml version="1.0"?><!DOCTYPE r>'), "xml_doctype"),
        (message(prolog=LAUGHS).replace("IAH", "&c;"), "xml_doctype"),
        (message(prolog='<!DOCTYPE r [<!ENTITY % p SYSTEM "http://example.com/p">%p;]>'), "xml_doctype"),
        (message(prolog='<?xml version="1.0"?><?xml version="1.0"?>'), "bad_xml"),
        (message().replace("IAH", "&undeclared;"), "bad_xml"),
        (message()[:-20], "bad_xml"),
        (message() + message(), "bad_xml"),
        (message() + "trailing", "bad_xml"),
        (message().replace("IAH", "I\0H"), "bad_xml"),
        (message().replace("IAH", "&#0;"), "bad_xml"),
        (message("<n:x/>"), "bad_xml"),
        ("not xml at all", "bad_xml"),
        ('{"event": "accepted"}', "bad_xml"),
        (message("<y>" * 30 + "</y>" * 30), "xml_depth"),
        (message("<y>" * 100_000), "xml_depth"),
        (message("<y/>" * 300_000), "too_large"),
        ("<IATA_AIDX_FlightLegRS/>", "unknown_type"),
        ("<html><FlightLeg/></html>", "unknown_type"),
        (f'<IATA_AIDX_FlightLegNotifRQ xmlns="{NAMESPACE}"/>', "no_events"),
        (message(identifier=""), "missing_leg"),
        (message(identifier=IDENTIFIER.replace("<Airline>UA</Airline>", "")), "missing_leg"),
        (message(identifier=IDENTIFIER.replace("1545", " ")), "missing_leg"),
        (message(identifier=IDENTIFIER.replace("<OriginDate>2013-02-08</OriginDate>", "")), "missing_leg"),
        (message(identifier=IDENTIFIER.replace("EWR", "")), "missing_leg"),
        (message(identifier=IDENTIFIER.replace("1545", "1' OR '1'='1")), "bad_field"),
        (message(identifier=IDENTIFIER.replace("UA", "<b>UA</b>")), "bad_field"),
        (message(identifier=IDENTIFIER.replace("2013-02-08", "2013-02-30")), "bad_field"),
        (message(identifier=IDENTIFIER.replace("2013-02-08", "08FEB13")), "bad_field"),
        (message(identifier=IDENTIFIER.replace("EWR", "EWR2")), "bad_field"),
        (message("<OperationalStatus>sealed:name:x</OperationalStatus>"), "bad_field"),
        (message("<ServiceType>" + "J" * 200 + "</ServiceType>"), "bad_field"),
        (message('<DelayCode Duration="soon">41</DelayCode>'), "bad_field"),
        (message(operation("OFB", "ACT", "yesterday")), "bad_time"),
        (message(operation("OFB", "ACT", "2013-02-30T00:00:00Z")), "bad_time"),
        (message(operation("OFB", "ACT", "1969-12-31T23:59:59Z")), "time_range"),
        (message(operation("OFB", "SCT", "2101-01-01T00:00:00Z")), "time_range"),
        (message(stamp="now"), "bad_time"),
        (message(stamp="2013-02-08T19:10:01Z"), "from_the_future"),
        (message(stamp="2099-01-01T00:00:00Z"), "from_the_future"),
    ],
)
def test_what_is_broken_or_dangerous_is_refused(body: str, code: str) -> None:
    assert refused("flights", body).code == code


def test_a_message_from_ten_minutes_ahead_is_still_accepted() -> None:
    assert only(message(stamp="2013-02-08T19:10:00Z")).event_time == instant("2013-02-08T19:10:00Z")


def test_an_empty_leg_before_another_is_refused_and_not_cut_wrongly() -> None:
    body = message().replace("<FlightLeg>", "<FlightLeg/><FlightLeg>")
    assert refused("flights", body).code == "missing_leg"


def test_nesting_up_to_the_limit_is_accepted() -> None:
    assert only(message("<y>" * 29 + "</y>" * 29)).facts["airline"] == "UA"


def test_a_reason_never_repeats_what_the_message_says() -> None:
    for body in (message(identifier=IDENTIFIER.replace("1545", "SECRET!")), message(operation("OFB", "ACT", "SECRET!")), "<SECRET"):
        refusal = refused("flights", body)
        assert "SECRET" not in f"{refusal} {refusal.reason} {refusal.at}"
