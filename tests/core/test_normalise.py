"""One spelling: names without titles, contacts, flights, times."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paxtrail.core import normalise

TITLED = st.tuples(st.text(max_size=12), st.sampled_from(["", " ", ".", "-"]), st.sampled_from(["", *normalise.TITLES])).map("".join)


@pytest.mark.parametrize(
    ("surname", "first", "key"),
    [
        ("Smith", "John", "SMITH/JOHN"),
        ("SMITH", "JOHNMR", "SMITH/JOHN"),
        ("Smith", "Mr. John", "SMITH/JOHN"),
        ("SMITH", "JOHN WILLIAM MR", "SMITH/JOHNWILLIAM"),
        ("SMITH", "JOHNWILLIAMPROFDR", "SMITH/JOHNWILLIAM"),
        ("SMITH", "LI MS", "SMITH/LI"),
        ("SMITH", "LIMS", "SMITH/LI"),
        ("SMITH", "JOSHUAMR", "SMITH/JOSHUA"),
        ("SMITH", "TOMMSTR", "SMITH/TOM"),
        ("SMITH", "MR", "SMITH/"),
        ("SMITH", "", "SMITH/"),
        ("O'Brien-Müller", "Seán", "OBRIENMUELLER/SEAN"),
        ("Łukaszewicz", "Ødegård", "LUKASZEWICZ/OEDEGAARD"),
        ("王", "小明", "WANG/XIAOMING"),
        ("de la Cruz Mr", "Ana", "DELACRUZ/ANA"),
    ],
)
def test_spellings_of_one_name_have_one_key(surname: str, first: str, key: str) -> None:
    assert normalise.name_key(surname, first) == key


@pytest.mark.parametrize("name", ["DRAKE", "MRAZ", "MISSIO", "MSIBI", "PROFETA", "ADAMS", "SIMMS", "DR", "MISS", "WILLIAMS", "BADR"])
def test_a_surname_that_looks_like_a_title_stays_whole(name: str) -> None:
    assert normalise.surname_key(name) == name


@pytest.mark.parametrize(
    "name", ["DRAKE", "LMR", "AMR", "BADR", "TOMS", "ALEKSANDR", "ALEXANDR", "ADAMS", "MISSY", "MRINAL", "DRAGAN", "MSTISLAV"]
)
def test_a_given_name_that_looks_like_a_title_stays_whole(name: str) -> None:
    assert normalise.given_key(name) == name


@given(TITLED)
def test_name_keys_are_idempotent(text: str) -> None:
    assert normalise.surname_key(normalise.surname_key(text)) == normalise.surname_key(text)
    assert normalise.given_key(normalise.given_key(text)) == normalise.given_key(text)


@given(TITLED)
def test_a_name_key_has_only_capital_letters(text: str) -> None:
    for key in (normalise.surname_key(text), normalise.given_key(text)):
        assert key == "" or (key.isascii() and key.isalpha() and key.isupper())


@given(st.text(alphabet="ABEIKLNOU", min_size=2, max_size=10), st.sampled_from(normalise.TITLES), st.sampled_from(["", " ", ".", " - "]))
def test_a_title_at_the_end_never_changes_the_key(name: str, title: str, glue: str) -> None:
    assert normalise.given_key(name + glue + title) == normalise.given_key(name)


def test_a_leg_has_one_key_however_its_number_is_written() -> None:
    assert normalise.leg_key("UA", "1545", "2013-02-08", "EWR") == "UA1545/2013-02-08/EWR"
    assert normalise.leg_key(" ua", "01545", "2013-02-08", "ewr") == "UA1545/2013-02-08/EWR"
    assert normalise.leg_key("UA", "0099", "2013-02-08", "IAH", "a") == "UA99A/2013-02-08/IAH"
    assert normalise.flight_number("0000") == ("0", "")
    assert normalise.leg_key("UA", "99A", "2013-02-08", "IAH") == "UA99A/2013-02-08/IAH"


@pytest.mark.parametrize(
    "parts",
    [
        ("U", "1", "2013-02-08", "EWR"),
        ("99", "1", "2013-02-08", "EWR"),
        ("UA", "", "2013-02-08", "EWR"),
        ("UA", "12345", "2013-02-08", "EWR"),
        ("UA", "1", "2013-02-30", "EWR"),
        ("UA", "1", "20130208", "EWR"),
        ("UA", "1", "2013-02-08", "EW"),
        ("UA", "1A", "2013-02-08", "EWR", "B"),
        ("UA", "١", "2013-02-08", "EWR"),
    ],
)
def test_what_is_no_leg_has_no_key(parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="not a"):
        normalise.leg_key(*parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("BA0117", ("BA", "117", "")), ("U2123", ("U2", "123", "")), ("UAL 1545a", ("UAL", "1545", "A")), ("9W12", ("9W", "12", ""))],
)
def test_a_flight_designator_is_split(text: str, parts: tuple[str, str, str]) -> None:
    assert normalise.flight(text) == parts


@given(st.datetimes(timezones=st.just(dt.UTC)), st.integers(-1439, 1439))
def test_times_agree_with_the_calendar_of_python(local: dt.datetime, minutes: int) -> None:
    assume(2 < local.year < 9998)
    moment = local.astimezone(dt.timezone(dt.timedelta(minutes=minutes)))
    expected = (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    assert normalise.timestamp(moment.isoformat(timespec="microseconds")) == expected
    assert normalise.utc_day(expected) == moment.astimezone(dt.UTC).date().isoformat()


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.5z", 500_000),
        ("1970-01-01T00:00:00.1234567Z", 123_456),
        ("1969-12-31T19:00:00-05:00", 0),
        ("1970-01-01 00:00:01-00:00", 1_000_000),
        ("2012-06-30T23:59:60Z", 1_341_100_800_000_000),
    ],
)
def test_rfc_3339_is_read(text: str, micros: int) -> None:
    assert normalise.timestamp(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2013-02-08",
        "2013-02-08T05:15:00",
        "2013-02-08T05:15Z",
        "2013-02-08T24:00:00Z",
        "2013-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2013-02-08T05:15:00+24:00",
        "2013-02-08T05:15:00+0500",
        "20130208T051500Z",
        "2013-02-08T05:15:00.Z",
        "2013-02-08T05:15:00Z ",
        "２０13-02-08T05:15:00Z",
        "2013-02-08T05:14:60.0 Z",
        "2013-02-08T05:15:60Z",
    ],
)
def test_other_times_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        normalise.timestamp(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" John.Smith@Example.COM ", "john.smith@example.com"),
        ("a+b@c.org", "a+b@c.org"),
        ("x@bücher.example.com", "x@xn--bcher-kva.example.com"),
        ("ｊｏｈｎ@example.com", "john@example.com"),
        ("john", None),
        ("a@b", None),
        ("a@@b.com", None),
        ("", None),
        ("a" * 400 + "@b.com", None),
    ],
)
def test_an_address_has_one_spelling(text: str, address: str | None) -> None:
    assert normalise.email(text) == address
    assert address is None or normalise.email(address) == address


@pytest.mark.parametrize(
    ("text", "hint", "number"),
    [
        ("+1 (212) 555-0100", None, "+12125550100"),
        ("212.555.0100", "us", "+12125550100"),
        ("030 901820", "DE", "+4930901820"),
        ("2125550100", None, None),
        ("0000000", "US", None),
        ("+1 111 111 1111", None, None),
        ("555-01", "US", None),
        ("555-0100", "US", None),
        ("+49 3012", None, None),
        ("+44 777 777 7777", None, None),
        ("not a number", "US", None),
        ("", "US", None),
        ("1" * 80, "US", None),
    ],
)
def test_a_phone_number_is_e164_or_nothing(text: str, hint: str | None, number: str | None) -> None:
    assert normalise.phone(text, hint) == number
    assert number is None or normalise.phone(number) == number


@given(st.text(max_size=40))
def test_contacts_are_idempotent_and_never_fail(text: str) -> None:
    for normal in (normalise.email, normalise.phone):
        once = normal(text)
        assert once is None or normal(once) == once


@pytest.mark.parametrize(
    ("function", "text", "result"),
    [
        (normalise.bag_tag, " 0016123456 ", "0016123456"),
        (normalise.locator, "k7q2zp", "K7Q2ZP"),
        (normalise.ticket, "016-1234567890", "0161234567890"),
        (normalise.letters_and_digits, "ab 123-456", "AB123456"),
        (normalise.iso_date, "2013-02-08", "2013-02-08"),
        (normalise.airport, "ewr", "EWR"),
        (normalise.local_date, "2013-02-08T23:15:00-05:00", "2013-02-08"),
    ],
)
def test_codes_have_one_spelling(function, text: str, result: str) -> None:  # type: ignore[no-untyped-def]  # the functions differ in their parameters
    assert function(text) == result


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (normalise.bag_tag, "016123456"),
        (normalise.locator, "K7 2ZP"),
        (normalise.ticket, "016123456789"),
        (normalise.airport, "EWRX"),
        (normalise.airline, "U"),
    ],
)
def test_what_is_no_code_is_refused_without_repeating_it(function, text: str) -> None:  # type: ignore[no-untyped-def]  # the functions differ in their parameters
    with pytest.raises(ValueError, match="not a") as caught:
        function(text)
    assert text not in str(caught.value)
