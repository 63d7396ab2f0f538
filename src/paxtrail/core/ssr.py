"""Special service requests: which codes reveal health, belief or custody, which ask for a meal, which for a seat."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import UNSET

_MOBILITY = "WCHR WCHS WCHC WCHP WCBD WCBW WCLB WCMP WCOB"
_MEDICAL = "BLND DEAF DPNA MAAS MEDA STCR OXYG PPOC SVAN ESAN LEGB LEGL LEGR MEIN"
_CUSTODY = "DEPA DEPU"
_CARE = {code: kind for kind, codes in (("mobility", _MOBILITY), ("medical", _MEDICAL), ("custody", _CUSTODY)) for code in codes.split()}

_SEAT_REQUESTS = frozenset(("NSST", "NSSA", "NSSB", "NSSW", "RQST", "SEAT", "SMST"))
_SEAT = re.compile(r"(?<![A-Z0-9])0*([1-9][0-9]{0,2}[A-Z])(?![A-Z0-9])")


def care_kind(code: str) -> str | None:
    """mobility, medical, custody or meal for a code that by itself reveals health, belief or custody; None for any other.

    Every meal counts: which ones tell of health or belief is a matter of inference, and inference counts (CJEU C-184/20).
    """
    return "meal" if is_meal(code) else _CARE.get(code)


def is_meal(code: str) -> bool:
    """Whether a code asks for a meal: four letters that end in ML (VGML, KSML …)."""
    return len(code) == 4 and code.endswith("ML")


def meal_of(requests: Iterable[tuple[str, bool]]) -> Any:
    """The meal asked for: a code, None if every meal was cancelled, UNSET if none was asked for. Items: (code, cancelled)."""
    meals = [(code, cancelled) for code, cancelled in requests if is_meal(code)]
    return _last_standing(meals)


def seat_of(requests: Iterable[tuple[str, Any, bool]]) -> Any:
    """The seat asked for, None if given up, UNSET if none was asked for. Items: (code, text, cancelled)."""
    seats = []
    for code, text, cancelled in requests:
        match = _SEAT.search(text.upper()) if code in _SEAT_REQUESTS and isinstance(text, str) else None
        if match:
            seats.append((match[1], cancelled))
    return _last_standing(seats)


def _last_standing(asked: list[tuple[str, bool]]) -> Any:
    standing = [value for value, cancelled in asked if not cancelled]
    if standing:
        return standing[-1]
    return None if asked else UNSET
