"""What a caller gets to see of sealed values: opened, masked, an icon or nothing, by the field class and the caller's role."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from paxtrail.core.records import Json
from paxtrail.core.sealing import open_
from paxtrail.serving.access import Way

_SEALED = re.compile(r"sealed:([a-z_]+):([0-9a-f]{32}):")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHOWN_OF_MASKED = 3
_DOTS = "•••"


class Eyes:
    """Opens sealed values for one caller: `keys` are those of the owners met, None where deleted for good."""

    def __init__(self, ways: Mapping[str, Way], keys: Mapping[str, bytes | None]) -> None:
        self._ways = ways
        self._keys = keys

    def __call__(self, sealed: str) -> Json:
        """The value as this caller sees it; None where it may not see it, or nobody can any more."""
        _, class_, owner, _ = sealed.split(":", 3)
        way = self._ways.get(class_)
        if way is None:
            return None
        if way == "icon":
            return {"icon": class_}
        key = self._keys.get(owner)
        if key is None:
            return None
        value = open_(key, sealed)
        return value if way == "show" else masked(value)

    def opened(self, sealed: str) -> Json:
        """The value for deciding, whatever the caller may see; None where it cannot be opened. Never to be shown."""
        key = self._keys.get(sealed.split(":", 3)[2])
        return None if key is None else open_(key, sealed)

    def same(self, sealed: str) -> Json:
        """What equal values of one class have in common, whoever sealed them; the sealed text where nobody can open it any more."""
        _, _, owner, _ = sealed.split(":", 3)
        key = self._keys.get(owner)
        return sealed if key is None else open_(key, sealed)


def masked(value: Json) -> Json:
    """A value of which only the last three characters of each text remain; short texts, dates and numbers vanish whole."""
    if isinstance(value, str):
        if _DATE.fullmatch(value):
            return _DOTS
        return _DOTS + (value[-_SHOWN_OF_MASKED:] if len(value) > 2 * _SHOWN_OF_MASKED else "")
    if isinstance(value, dict):
        return {name: masked(member) for name, member in value.items()}
    if isinstance(value, list):
        return [masked(member) for member in value]
    return None if value is None else _DOTS


def owners(ways: Mapping[str, Way], texts: Iterable[str]) -> set[str]:
    """Owners whose keys are needed to show these documents to a caller with these ways; what is but an icon is compared."""
    return {owner for text in texts for class_, owner in _SEALED.findall(text) if class_ in ways} if ways else set()
