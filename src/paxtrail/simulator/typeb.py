"""Baggage messages as baggage systems send them: IATA RP 1745 Type B (BSM, BPM, BTM, BUM, BNS)."""

from __future__ import annotations

from dataclasses import dataclass

from paxtrail.simulator.messages import day_month, local, moment
from paxtrail.simulator.schedule import Flight

NUMERIC = {
    "AA": "001", "DL": "006", "UA": "016", "B6": "279", "WN": "526", "US": "037", "AS": "027", "HA": "173", "VX": "984",
    "F9": "422", "FL": "332", "EV": "890", "MQ": "838", "9E": "430", "OO": "302", "YV": "533",
}  # fmt: skip
"""IATA numeric code by designator, for licence plates and tickets."""


@dataclass(frozen=True, slots=True)
class Label:
    """What is printed on a passenger's bags of one flight: consecutive tags under one name."""

    first_tag: str
    count: int
    flight: Flight
    surname: str
    given: str
    locator: str
    """Empty on a rush label: the bag flies without its owner."""
    cabin: str
    seat: str
    sequence: int
    weight: int
    title: str = ""
    inbound: str = ""
    """Text of an `.I` element, for bags that come from another flight."""

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(f"{int(self.first_tag) + n:010d}" for n in range(self.count))


def sourced(label: Label, *, indicator: str = "L", action: str = "", rush: bool = False) -> bytes:
    """BSM: the bags are announced (`indicator` L accepted here, T from another flight), deleted, or rushed after their owner."""
    lines = ["BSM", action, f".V/1{indicator}{label.flight.origin}", _inbound(label), _outbound(label.flight, label.cabin)]
    lines += [_plates(label), f".S/Y/{label.seat}/C/{label.sequence:03d}/{label.sequence:03d}"]
    lines += [f".W/K/{label.count}/{label.weight * label.count}", *_owner(label), ".E/RUSH" if rush else "", "ENDBSM"]
    return _text(lines)


def processed(label: Label, at: int, step: str, *, tag: str = "") -> bytes:
    """BPM of a `step`: sorted, screened, loaded at the origin; arrived, delivered at the destination. `tag` = of one bag only."""
    away = step in ("arrived", "delivered")
    flight = label.flight
    code, place = {
        "sorted": ("S", "SORT2"), "screened": ("S", "HBS3"), "loaded": ("R", f"GATE{flight.gate}"),
        "arrived": ("S", "BELT"), "delivered": ("D", f"CLAIM{flight.belt}"),
    }[step]  # fmt: skip
    lines = ["BPM", f".V/1{'X' if away else 'L'}{flight.destination if away else flight.origin}"]
    lines.append(f".J/{code}/BHS01/SC{label.sequence % 40:02d}/{_processing_time(at)}/{place}")
    lines.append(f".I/{_flight(flight)}/{_day(flight)}/{flight.origin}" if away else _outbound(flight, ""))
    lines.append(f".N/{tag}001" if tag else _plates(label))
    if step == "screened":
        lines.append(".X//CLR///HBS302/HBSLEVEL1")
    if step == "loaded":
        lines.append(f".U/AKE{10000 + label.sequence:05d}{flight.airline}")
    return _text([*lines, *_owner(label), "ENDBPM"])


def report(kind: str, label: Label, at: int, *, tag: str = "") -> bytes:
    """BUM (unloaded), BNS (not seen) or BTM (handed over between flights) at the origin."""
    lines = [kind, f".V/1{'T' if kind == 'BTM' else 'L'}{label.flight.origin}", f".J/S/BHS01/SC01/{_processing_time(at)}/HALL1"]
    lines += [_inbound(label) if kind == "BTM" else "", _outbound(label.flight, label.cabin)]
    return _text([*lines, f".N/{tag}001" if tag else _plates(label), *_owner(label), f"END{kind}"])


def _text(lines: list[str]) -> bytes:
    return ("\r\n".join(line for line in lines if line) + "\r\n").encode()


def _flight(flight: Flight) -> str:
    return f"{flight.airline}{int(flight.number):04d}"


def _day(flight: Flight) -> str:
    return day_month(local(flight.off_scheduled, flight.origin_tz).date())


def _outbound(flight: Flight, cabin: str) -> str:
    return f".F/{_flight(flight)}/{_day(flight)}/{flight.destination}" + (f"/{cabin}" if cabin else "")


def _inbound(label: Label) -> str:
    return f".I/{label.inbound}" if label.inbound else ""


def _plates(label: Label) -> str:
    return f".N/{label.first_tag}{label.count:03d}"


def _owner(label: Label) -> list[str]:
    return [f".P/{label.surname}/{label.given}{label.title}", f".L/{label.locator}" if label.locator else ""]


def _processing_time(at: int) -> str:
    when = moment(at)
    return f"{day_month(when.date())}/{when:%H%M%S}Z"
