"""What the simulator sends: one native message in CloudEvents binary mode, and the times and ids it is made of."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

SOURCES = ("flights", "baggage", "reservations", "checkin", "loyalty", "booking", "contacts")
CONTENT_TYPES = {"flights": "application/xml", "baggage": "text/plain"}
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


class Message(NamedTuple):
    """One record on its way to topic `raw.<source>`. `at_us` is when the replay sends it, µs UTC; `key` is opaque."""

    at_us: int
    source: str
    headers: dict[str, str]
    key: str
    body: bytes


def headers(source: str, ce_id: str, time_us: int, *, origin: str) -> dict[str, str]:
    """CloudEvents 1.0 attributes of a message in the Kafka binding's binary mode."""
    return {
        "ce_specversion": "1.0",
        "ce_id": ce_id,
        "ce_source": f"urn:paxtrail:simulator:{origin}",
        "ce_type": f"paxtrail.{source}.received",
        "ce_time": instant(time_us),
        "content-type": CONTENT_TYPES.get(source, "application/json"),
    }


def opaque(*parts: str) -> str:
    """16 hex digits that stand for `parts`: Kafka keys and ids say nothing about anybody."""
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).hexdigest()


def moment(time_us: int) -> datetime:
    """The UTC datetime of µs since 1970."""
    return _EPOCH + timedelta(microseconds=time_us)


def micros(value: datetime) -> int:
    """µs since 1970 of an aware datetime, exactly."""
    delta = value - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def instant(time_us: int) -> str:
    """RFC 3339 in UTC; fractions of a second only where there are some."""
    return moment(time_us).isoformat().replace("+00:00", "Z")


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The time zone of that name, cached."""
    return ZoneInfo(name)


def local(time_us: int, tz: str) -> datetime:
    """The local datetime of `time_us` in the zone."""
    return moment(time_us).astimezone(zone(tz))


def local_instant(time_us: int, tz: str) -> str:
    """RFC 3339 with the zone's offset, as reservation systems write block times."""
    return local(time_us, tz).isoformat()


def day_month(day: date) -> str:
    """Day and month of a Type B message (`08FEB`)."""
    return f"{day.day:02d}{_MONTHS[day.month - 1]}"
