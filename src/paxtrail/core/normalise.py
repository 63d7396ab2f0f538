"""The one spelling of names, contacts, flights and times under which things from different systems meet."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from functools import lru_cache

import phonenumbers
from anyascii import anyascii
from email_validator import EmailNotValidError, validate_email

# Longest first: MSTR before MS, MISS before MS, MRS before MR.
TITLES = ("MSTR", "MISS", "PROF", "MRS", "MR", "MS", "DR")

# Given names that end like a title. The long ones count at the end of joined names too (ANNA ALEXANDR written ANNAALEXANDR); the short
# ones only alone, because JOSHUAMR, LUCAMR … must still lose their title.
_NAMES_LIKE_TITLED = ("ALEXANDR", "ALEKSANDR", "OLEKSANDR", "LEANDR", "MAKSIMS", "MAXIMS", "VADIMS", "ARTJOMS", "WILLIAMS", "IBRAHIMS")
_SHORT_NAMES_LIKE_TITLED = frozenset(
    ("AMR", "OMR", "UMR", "SAMR", "NIMR", "BADR", "SADR", "QADR", "NADR", "HAIDR", "TOMS", "SIMS", "KIMS", "ROMS", "AKIMS", "ADAMS")
)

# ICAO Doc 9303 part 3 §6: how passports, and so reservations, write these letters; anyascii would give A, O, U.
_ICAO_9303 = str.maketrans({"Ä": "AE", "Å": "AA", "Æ": "AE", "Ö": "OE", "Ø": "OE", "Ü": "UE", "ẞ": "SS", "Œ": "OE", "Þ": "TH", "Ð": "D"})
_WORD_BREAK = re.compile(r"[^A-Z]+")
_GLUE = re.compile(r"['’`´‘ʼ-]+")


def _words(text: str) -> list[str]:
    composed = unicodedata.normalize("NFC", text).upper().translate(_ICAO_9303)
    ascii_text = composed if composed.isascii() else anyascii(composed).upper()
    return [word for word in _WORD_BREAK.split(_GLUE.sub("", ascii_text)) if word]


def _without_title_words(words: list[str]) -> list[str]:
    return [word for word in words if word not in TITLES]


def surname_key(surname: str) -> str:
    """Letters A–Z of a surname: transliterated as passports do, title words dropped unless nothing else is left.

    A title is only ever dropped as a word of its own, so MRAZ, MISSIO, DRAKE and a surname that is just DR stay whole. May be "".

    >>> surname_key("O'Brien-Müller Mr")
    'OBRIENMUELLER'
    """
    words = _words(surname)
    return "".join(_without_title_words(words) or words)


def given_key(given: str) -> str:
    """Letters A–Z of given names without titles, be they words (MR JOHN) or glued at the end as reservation systems do (JOHNMR).

    A glued title goes only if at least two letters stay and the rest is not a known name (AMR, BADR, TOMS, ALEXANDR …). An unlisted
    name that ends like a title loses that ending, everywhere alike, so it still meets itself. May be "".

    >>> given_key("John WilliamMR"), given_key("Drake"), given_key("Aleksandr")
    ('JOHNWILLIAM', 'DRAKE', 'ALEKSANDR')
    """
    key = "".join(_without_title_words(_words(given)))
    while key and not key.endswith(_NAMES_LIKE_TITLED) and key not in _SHORT_NAMES_LIKE_TITLED:
        if key in TITLES:
            return ""
        title = next((t for t in TITLES if key.endswith(t) and len(key) - len(t) >= 2), None)
        if title is None:
            break
        key = key[: -len(title)]
    return key


def name_key(surname: str, given: str) -> str:
    """NAMEKEY "SURNAME/GIVEN" of a person in a reservation, a check-in or a bag message; "SURNAME/" if no given name is known.

    >>> name_key("Smith", "JOHNMR")
    'SMITH/JOHN'
    """
    return f"{surname_key(surname)}/{given_key(given)}"


_AIRLINE = re.compile(r"(?:[A-Z][A-Z0-9]|[0-9][A-Z]|[A-Z]{3})")
_NUMBER = re.compile(r"0*([0-9]{1,4})([A-Z]?)")
_FLIGHT = re.compile(r"([A-Z][A-Z0-9]|[0-9][A-Z]|[A-Z]{3}) ?([0-9]{1,5}[A-Z]?)")
_AIRPORT = re.compile(r"[A-Z]{3}")


def airline(text: str) -> str:
    """Airline designator in capitals (UA, U2, 9W, or three letters). ValueError if it is none."""
    designator = text.strip().upper()
    if not _AIRLINE.fullmatch(designator):
        raise ValueError("not an airline designator")
    return designator


def airport(text: str) -> str:
    """IATA airport or city code in capitals. ValueError if it is none."""
    code = text.strip().upper()
    if not _AIRPORT.fullmatch(code):
        raise ValueError("not an airport code")
    return code


def flight_number(text: str) -> tuple[str, str]:
    """(number without leading zeros, operational suffix or "") of "0117" or "1545A". ValueError if it is none.

    >>> flight_number("0117A")
    ('117', 'A')
    """
    match = _NUMBER.fullmatch(text.strip().upper())
    if not match:
        raise ValueError("not a flight number")
    return match[1], match[2]


def flight(text: str) -> tuple[str, str, str]:
    """(airline, number, suffix) of "BA0117", "U2123" or "UAL 1545A". ValueError if it is none."""
    match = _FLIGHT.fullmatch(text.strip().upper())
    if not match:
        raise ValueError("not a flight designator")
    return (match[1], *flight_number(match[2]))


def leg_key(airline_code: str, number: str, date: str, departure: str, suffix: str = "") -> str:
    """LEG "UA1545/2013-02-08/EWR". `number` may carry zeros and a suffix of its own. ValueError if a part is none.

    >>> leg_key("ua", "01545", "2013-02-08", "ewr")
    'UA1545/2013-02-08/EWR'
    """
    digits, own_suffix = flight_number(number + suffix)
    return f"{airline(airline_code)}{digits}{own_suffix}/{iso_date(date)}/{airport(departure)}"


_TAG = re.compile(r"[0-9]{10}")
_LOCATOR = re.compile(r"[A-Z0-9]{5,8}")
_TICKET = re.compile(r"([0-9]{3})[ -]?([0-9]{10})")


def bag_tag(text: str) -> str:
    """Ten-digit licence plate. ValueError if it is none."""
    if not _TAG.fullmatch(tag := text.strip()):
        raise ValueError("not a ten-digit bag tag")
    return tag


def locator(text: str) -> str:
    """Record locator in capitals (six characters; five to eight are met). ValueError if it is none."""
    if not _LOCATOR.fullmatch(code := text.strip().upper()):
        raise ValueError("not a record locator")
    return code


def ticket(text: str) -> str:
    """Thirteen digits of a ticket number, written "016-1234567890" or without the hyphen. ValueError if it is none."""
    if not (match := _TICKET.fullmatch(text.strip())):
        raise ValueError("not a ticket number")
    return match[1] + match[2]


def letters_and_digits(text: str) -> str:
    """A membership or document number as capitals A–Z and digits, whatever else was written between them.

    >>> letters_and_digits("ab 123-456")
    'AB123456'
    """
    return _NOT_ALPHANUMERIC.sub("", unicodedata.normalize("NFKC", text).upper())


_NOT_ALPHANUMERIC = re.compile(r"[^A-Z0-9]")
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))",
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()


def timestamp(text: str) -> int:
    """µs since 1970 UTC of an RFC 3339 time; the offset is required, digits beyond µs are cut, a leap second counts as the next second.

    ValueError (without the text) if it is none.
    """
    match = _RFC3339.fullmatch(text)
    if not match:
        raise ValueError("not an RFC 3339 time with offset")
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    offset_hour, offset_minute = int(match[10] or 0), int(match[11] or 0)
    if hour > 23 or minute > 59 or second > 60 or (second == 60 and minute != 59) or offset_hour > 23 or offset_minute > 59:
        raise ValueError("not an RFC 3339 time with offset")
    try:
        days = dt.date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise ValueError("not a day of the calendar") from None
    offset = (offset_hour * 3600 + offset_minute * 60) * (-1 if match[9] == "-" else 1)
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset
    return seconds * 1_000_000 + int((match[7] or "")[:6].ljust(6, "0"))


def iso_date(text: str) -> str:
    """The date as given if it is YYYY-MM-DD and in the calendar, else ValueError."""
    if not _DATE.fullmatch(text):
        raise ValueError("not a date YYYY-MM-DD")
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError("not a day of the calendar") from None
    return text


def utc_day(instant: int) -> str:
    """ISO date in UTC of µs since 1970. ValueError outside the years 1 to 9999."""
    return dt.date.fromordinal(instant // 86_400_000_000 + _EPOCH_DAY).isoformat()


def local_date(text: str) -> str:
    """Day on the clock of the place an RFC 3339 time was written for: the origin date of a flight. ValueError if it is none."""
    timestamp(text)
    return text[:10]


@lru_cache(maxsize=65_536)
def email(text: str) -> str | None:
    """Address for matching (NFKC, lower-case, domain in IDNA letters), or None if it is not an address. DNS is not asked.

    Dots and +tags stay: they may be another person's. Reserved domains (example.com, .test) are addresses too.
    """
    address = unicodedata.normalize("NFKC", text).strip()
    if len(address) > 320:
        return None
    try:
        found = validate_email(address, check_deliverability=False, test_environment=True, allow_smtputf8=True)
    except EmailNotValidError:
        return None
    return f"{found.local_part}@{found.ascii_domain}".lower() if found.ascii_domain and "." in found.ascii_domain else None


@lru_cache(maxsize=65_536)
def phone(text: str, region_hint: str | None = None) -> str | None:
    """E.164 number, or None if it cannot be one. `region_hint` (ISO country) reads national spellings.

    Fewer than seven digits or one digit repeated (0000000) are no numbers, nor are local ones without their
    area code; possible length is asked for, not assignment, because numbering plans change faster than the library.
    """
    if len(text) > 64:
        return None
    digits = [c for c in unicodedata.normalize("NFKC", text) if c.isdigit()]
    if len(digits) < 7 or len(set(digits)) == 1:
        return None
    try:
        number = phonenumbers.parse(text, region_hint.upper() if region_hint else None)
    except phonenumbers.NumberParseException:
        return None
    national = str(number.national_number)
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE or len(set(national)) == 1:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
