"""Flight messages as an airport's operational database sends them: IATA AIDX 22.1, one leg or several a message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paxtrail.simulator.messages import HOUR, MINUTE, instant, opaque
from paxtrail.simulator.schedule import Flight, airports

_OPEN = (
    '<?xml version="1.0" encoding="utf-8"?><IATA_AIDX_FlightLegNotifRQ xmlns="http://www.iata.org/IATA/2007/00" '
    'Version="22.1" TimeStamp="{stamp}" CorrelationID="{correlation}"><Originator CompanyShortName="NYC" Code="NYC" '
    'CodeContext="3" /><DeliveringSystem CompanyShortName="AODB" Code="AODB" CodeContext="2" />'
)
_CLOSE = "</IATA_AIDX_FlightLegNotifRQ>"
_CALLSIGNS = {
    "AA": "AAL", "AS": "ASA", "B6": "JBU", "DL": "DAL", "EV": "ASQ", "F9": "FFT", "FL": "TRS", "HA": "HAL", "MQ": "ENY",
    "OO": "SKW", "UA": "UAL", "US": "AWE", "VX": "VRD", "WN": "SWA", "YV": "ASH", "9E": "EDV",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Notice:
    """What one message says about a leg at a time: its scope, status, operation times and resources."""

    at: int
    flight: Flight
    scope: str
    times: tuple[tuple[str, str, int], ...]
    """(qualifier, type, µs UTC), the scheduled time first."""
    status: str = "OP"
    gate: str = ""
    belt: str = ""
    delays: tuple[tuple[str, int], ...] = ()
    diverted_to: str = ""


def notices(flight: Flight) -> list[Notice]:
    """Everything the airport says about a flight after its schedule is published, in order of time."""
    off = ("OFB", "SCT", flight.off_scheduled)
    on = ("ONB", "SCT", flight.on_scheduled)
    said: list[Notice] = []
    if flight.cancelled_at is not None:
        if flight.cancelled_at > flight.off_scheduled - 3 * HOUR:
            said.append(Notice(flight.off_scheduled - 3 * HOUR, flight, "Departure", (off,), gate=flight.first_gate))
        said.append(Notice(flight.cancelled_at, flight, "Departure", (off, ("CNL", "ACT", flight.cancelled_at)), status="DX"))
        return said
    if flight.off_actual is None or flight.take_off is None:
        return said
    said.append(Notice(flight.off_scheduled - 3 * HOUR, flight, "Departure", (off,), gate=flight.first_gate))
    late = flight.off_actual - flight.off_scheduled
    if late >= 15 * MINUTE:
        for share, before in ((2, 90 * MINUTE), (3, 25 * MINUTE), (4, -10 * MINUTE)):
            estimate = flight.off_scheduled + late * share // 4 // MINUTE * MINUTE
            at = flight.off_scheduled - before
            if at < flight.off_actual - 20 * MINUTE:
                said.append(Notice(at, flight, "Departure", (off, ("OFB", "EST", estimate))))
    if flight.gate != flight.first_gate:
        said.append(Notice(flight.off_actual - 70 * MINUTE, flight, "Departure", (off,), gate=flight.gate))
    boarding = flight.off_actual - 35 * MINUTE
    said.append(Notice(boarding, flight, "Departure", (off, ("BST", "ACT", boarding)), gate=flight.gate))
    left = ("OFB", "ACT", flight.off_actual)
    said.append(Notice(flight.off_actual + MINUTE, flight, "Departure", (off, left), gate=flight.gate, delays=flight.delays))
    said.append(Notice(flight.take_off + MINUTE, flight, "Departure", (off, left, ("TKO", "ACT", flight.take_off))))
    if flight.on_actual is None or flight.touch_down is None:
        said.append(Notice(flight.take_off + HOUR, flight, "Arrival", (on,), status="DV", diverted_to=flight.diverted_to or ""))
        return said
    said.append(Notice(flight.take_off + 3 * MINUTE, flight, "Arrival", (on, ("ONB", "EST", flight.on_actual + 4 * MINUTE))))
    said.append(Notice(flight.touch_down + MINUTE, flight, "Arrival", (on, ("TDN", "ACT", flight.touch_down)), gate=flight.arrival_gate))
    said.append(
        Notice(
            flight.on_actual + MINUTE, flight, "Arrival",
            (on, ("TDN", "ACT", flight.touch_down), ("ONB", "ACT", flight.on_actual)), gate=flight.arrival_gate, belt=flight.belt,
        )
    )  # fmt: skip
    return sorted(said, key=lambda notice: notice.at)


def published(flight: Flight, at: int) -> list[Notice]:
    """The schedule of a leg as first told: one part for each end."""
    return [
        Notice(at, flight, "Departure", (("OFB", "SCT", flight.off_scheduled),)),
        Notice(at, flight, "Arrival", (("ONB", "SCT", flight.on_scheduled),)),
    ]


def body(parts: Sequence[Notice]) -> bytes:
    """One AIDX message that carries the notices, all of one time, as its FlightLeg elements."""
    correlation = opaque("aidx", parts[0].flight.leg, str(parts[0].at))
    return (_OPEN.format(stamp=instant(parts[0].at), correlation=correlation) + "".join(map(_leg, parts)) + _CLOSE).encode()


def _leg(notice: Notice) -> str:
    flight = notice.flight
    return (
        f'<FlightLeg><LegIdentifier><Airline CodeContext="3">{flight.airline}</Airline><FlightNumber>{flight.number}</FlightNumber>'
        f'<DepartureAirport CodeContext="3">{flight.origin}</DepartureAirport><ArrivalAirport CodeContext="3">{flight.destination}'
        f"</ArrivalAirport><OriginDate>{flight.local_date}</OriginDate></LegIdentifier>"
        f'<LegData InternationalStatus="Domestic"><OperationalStatus RepeatIndex="1" FlightLegScope="{notice.scope}">{notice.status}'
        f"</OperationalStatus>{_irregularities(notice)}<ServiceType>J</ServiceType>"
        f'<PlannedArrivalAptHistory CodeContext="3" RepeatIndex="1">{flight.destination}</PlannedArrivalAptHistory>'
        f'{_resources(notice)}{_times(notice)}<AircraftInfo><AircraftType CodeContext="3">{flight.aircraft}</AircraftType>'
        + (f"<Registration>{flight.registration}</Registration>" if flight.registration else "")
        + f"<CallSign>{_CALLSIGNS.get(flight.airline, flight.airline)}{flight.number}</CallSign></AircraftInfo>"
        f"<ClearanceAgreement>DOM</ClearanceAgreement></LegData>"
        f"<TPA_Extension><ReferenceAirport><IATACode>{flight.origin}</IATACode><ICAOCode>{airports()[flight.origin]['icao']}</ICAOCode>"
        "</ReferenceAirport></TPA_Extension></FlightLeg>"
    )


def _irregularities(notice: Notice) -> str:
    delays = "".join(
        f'<Delay RepeatIndex="{n}"><DelayCode>{code}</DelayCode><Duration>PT{minutes}M</Duration></Delay>'
        for n, (code, minutes) in enumerate(notice.delays, 1)
    )
    return delays + (f'<DiversionAirport CodeContext="3">{notice.diverted_to}</DiversionAirport>' if notice.diverted_to else "")


def _resources(notice: Notice) -> str:
    if not notice.gate and not notice.belt:
        return ""
    flight = notice.flight
    terminal = flight.terminal if notice.scope == "Departure" else flight.arrival_terminal
    gate = f'<PassengerGate RepeatIndex="1">{notice.gate}</PassengerGate>' if notice.gate else ""
    stand = f'<AircraftParkingPosition Qualifier="Gate">{notice.gate}</AircraftParkingPosition>' if notice.gate else ""
    belt = f'<BaggageClaimUnit RepeatIndex="1">{notice.belt}</BaggageClaimUnit>' if notice.belt else ""
    return (
        f'<AirportResources Usage="Actual"><Resource DepartureOrArrival="{notice.scope}">{stand}{gate}'
        f'<AircraftTerminal>{terminal}</AircraftTerminal><PublicTerminal RepeatIndex="1">{terminal}</PublicTerminal>{belt}'
        "</Resource></AirportResources>"
    )


def _times(notice: Notice) -> str:
    return "".join(
        f'<OperationTime OperationQualifier="{qualifier}" CodeContext="ZZZ" RepeatIndex="{n}" TimeType="{kind}">'
        f"{instant(at)}</OperationTime>"
        for n, (qualifier, kind, at) in enumerate(notice.times, 1)
    )


def departure_gate(flight: Flight) -> str | None:
    """The gate last told to the public, None if none was."""
    if flight.flown:
        return flight.gate
    told = flight.cancelled_at is not None and flight.cancelled_at > flight.off_scheduled - 3 * HOUR
    return flight.first_gate if told else None
