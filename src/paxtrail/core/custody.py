"""Who has the bag: the scans of a tag cut into trips, and the state of custody of each (IATA Resolution 753).

The scans are ordered by the time they were made, never by arrival. A tag is used again within days, so a new episode begins after a
gap of more than five days, or where a bag is accepted from its passenger for a leg this episode does not know.

Custody is that of the last scan that says any; a check-in or BSM that only repeats the acceptance does not take a bag back.
A bag is **mishandled** if any of these stands at the end of the episode:

rushed       it was sent after its passenger
not_seen     it was missed at loading and afterwards neither loaded on that leg nor seen to arrive from it
offloaded    it was taken off a leg, not loaded on it again, and not because its passenger did not fly (authority N, status N or S)
on_hand      it was found without an owner
left_behind  it was loaded on a leg nobody planned, from an airport whose planned leg it was never loaded on
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from paxtrail.core.records import Json

Scan: TypeAlias = dict[str, Json]

GAP = 5 * 86_400_000_000
"""A longer silence of a tag ends its episode (µs)."""

_ORDER = ("accepted", "transfer", "rushed", "sorted", "screened", "loaded", "not_seen", "offloaded", "on_hand", "arrived", "delivered")
_PLACE = {custody: place for place, custody in enumerate((*_ORDER, "cancelled"))}
"""Scans of one moment are taken in this order."""
_ENDED = ("delivered", "cancelled", "arrived")
_DETAILS = ("station", "leg", "inbound_leg", "location", "container", "screening", "exceptions", "source_indicator", "action")


def episodes(recent: Sequence[Json]) -> list[list[Scan]]:
    """Scans of each episode in order of scan time, the oldest episode first; `recent` as the view of the attribute gives it."""
    scans = sorted((_scan(entry) for entry in reversed(recent)), key=lambda scan: (scan["at"], _PLACE.get(scan.get("custody", ""), -1)))
    found: list[list[Scan]] = []
    for scan in scans:
        if found and not _opens(scan, found[-1]):
            found[-1].append(scan)
        else:
            found.append([scan])
    return found


def _scan(entry: Mapping[str, Json]) -> Scan:
    scan = {"at": entry["at"], **{name: value for name, value in entry["value"].items() if value is not None}}
    if not scan["what"].startswith("bag."):
        scan = {"custody": "accepted", "action": "NEW", "station": scan.pop("departure", None), **scan}
        scan.setdefault("destination", scan.pop("arrival", None))
    return scan


def _opens(scan: Scan, episode: list[Scan]) -> bool:
    if scan["at"] - episode[-1]["at"] > GAP:
        return True
    leg, known = scan.get("leg"), [s["leg"] for s in episode if s.get("leg")]
    if scan.get("custody") != "accepted" or leg is None or leg in known:
        return False
    # Check-in also names the bags of a connection; only from where the trip began, or after its end, is that a new trip.
    return bool((known and scan["what"] == "bag.sourced") or (known and _from(leg) == _from(known[0])) or _custody(episode) in _ENDED)


def _from(leg: str) -> str:
    return leg.rpartition("/")[2]


def _custody(episode: list[Scan]) -> str | None:
    custody: str | None = None
    for scan in episode:
        said = scan.get("custody")
        if said and (said != "accepted" or custody in (None, *_ENDED)):
            custody = said
    return custody


def summary(episode: list[Scan]) -> dict[str, Json]:
    """The episode as a document shows it: custody, station, legs, why it is mishandled, weight, owner's name, its scans."""
    custody, last = _custody(episode), episode[-1]
    legs = list(dict.fromkeys(scan["leg"] for scan in episode if scan.get("leg")))
    first = legs[0] if legs else next((scan["inbound_leg"] for scan in episode if scan.get("inbound_leg")), None)
    reasons = mishandled(episode)
    named = next((scan for scan in reversed(episode) if scan.get("surname")), {})
    latest = {name: _last(episode, name) for name in ("weight_kg", "pieces", "destination", "onward")}
    body = {
        "first_leg": first,
        "legs": legs or None,
        "leg": legs[-1] if legs else first,
        "custody": custody,
        "station": _last(episode, "station"),
        "started": episode[0]["at"],
        "last_scan": last["at"],
        "mishandled": bool(reasons),
        "reasons": reasons or None,
        **latest,
        "name": {part: named[part] for part in ("surname", "given") if part in named} or None,
        "scans": [{"at": s["at"], "custody": s.get("custody"), **{n: s[n] for n in _DETAILS if s.get(n)}} for s in episode],
    }
    return {name: value for name, value in body.items() if value is not None}


def mishandled(episode: list[Scan]) -> list[str]:
    """Why the bag is mishandled, in the order of the table above; empty if it is not."""
    reasons: set[str] = set()
    for place, scan in enumerate(episode):
        custody, leg, later = scan.get("custody"), scan.get("leg"), episode[place + 1 :]
        if custody in ("rushed", "on_hand"):
            reasons.add(custody)
        elif custody == "not_seen" and not _flew(later, leg):
            reasons.add("not_seen")
        elif custody == "offloaded" and not _flew(later, leg) and not _without_passenger(scan):
            reasons.add("offloaded")
    if not reasons and _left_behind(episode):
        reasons.add("left_behind")
    return [reason for reason in ("rushed", "not_seen", "offloaded", "on_hand", "left_behind") if reason in reasons]


def _flew(scans: Sequence[Scan], leg: str | None) -> bool:
    loaded = any(scan.get("custody") == "loaded" and scan.get("leg") == leg for scan in scans)
    return loaded or (leg is not None and any(scan.get("inbound_leg") == leg for scan in scans))


def _without_passenger(scan: Scan) -> bool:
    return scan.get("authority_to_load") == "N" or scan.get("passenger_status") in ("N", "S")


def _left_behind(episode: list[Scan]) -> bool:
    on_legs = [scan for scan in episode if scan.get("leg")]
    planned = {scan["leg"] for scan in on_legs if scan["what"] in ("bag.sourced", "bag.transferred") or scan["what"].startswith("checkin.")}
    loaded = {scan["leg"] for scan in on_legs if scan.get("custody") == "loaded"}
    missed = {_from(leg) for leg in planned - loaded}
    return any(_from(leg) in missed for leg in loaded - planned)


def _last(episode: list[Scan], name: str) -> Json:
    return next((scan[name] for scan in reversed(episode) if scan.get(name) is not None), None)
