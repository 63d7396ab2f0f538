"""A journey as shown: with the flight it is on and the bags it carries as they are now, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from paxtrail.core import outcomes
from paxtrail.core.records import Json
from paxtrail.serving.documents import Found
from paxtrail.serving.permits import Permit
from paxtrail.serving.viewing import Asked, Eyes, Viewing


class Parts:
    """Journeys and their parts out of one snapshot: `settled` documents, and the rows that relate them."""

    def __init__(self, settled: Mapping[tuple[str, str], Found], rows: Iterable[Any]) -> None:
        self.settled = settled
        self.histories: list[Json] = []
        self.total = 0
        self._parts: dict[tuple[str, str], list[str]] = {}
        self._concluded: dict[str, Json] = {}
        for row in rows:
            match row["what"]:
                case "part":
                    self._parts.setdefault((row["key"], row["entity"]), []).append(row["document"])
                case "outcome":
                    self._concluded[row["key"]] = orjson.loads(row["document"])
                case "history":
                    self.histories.append(orjson.loads(row["document"]))
                case "count":
                    self.total = row["version"]

    def texts(self) -> list[str]:
        """All documents, still sealed."""
        return [text for _, _, text in self.settled.values()]

    def keys(self, entity: str) -> list[str]:
        return sorted(key for kind, key in self.settled if kind == entity)

    def _of(self, journey: str, entity: str) -> list[Found]:
        return [self.settled[entity, key] for key in sorted(self._parts.get((journey, entity), ())) if (entity, key) in self.settled]

    def _outcome(self, key: str, as_of: int) -> Json:
        """What became of a journey: as published, else by now; None while open."""
        if (concluded := self._concluded.get(key)) is not None:
            return concluded
        journey = orjson.loads(self.settled["journey", key][2])
        flights = {found[0]: orjson.loads(found[2]) for found in self._of(key, "flight")}
        bags = [orjson.loads(found[2]) for found in self._of(key, "bag")]
        return outcomes.outcome(journey, outcomes.flight_of(journey, flights), bags, as_of=as_of)

    def journey(self, key: str, asked: Asked, eyes: Eyes, permit: Permit, viewing: Viewing) -> dict[str, Any]:
        """The journey with its parts as the caller sees them; where nothing of it may leave, not even which flight it is on."""
        body = {"key": key, "journey": viewing.shown("journey", self.settled["journey", key], asked, eyes, permit)}
        if permit.refused:
            return {**body, "flights": [], "bags": [], "outcome": None}
        return {
            **body,
            "flights": [viewing.shown("flight", found, asked, eyes, None) for found in self._of(key, "flight")],
            "bags": [viewing.shown("bag", found, asked, eyes, permit) for found in self._of(key, "bag")],
            "outcome": self._outcome(key, asked.at),
        }
