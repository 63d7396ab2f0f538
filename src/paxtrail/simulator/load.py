"""Load for benchmarks and chaos: light, valid messages of all sources from templates, with Zipf-like keys and a few crowds.

Customer n has account `UA|LDnnnnnnn`, one booking and one flight: the first 400 share one flight, the others are 150 to a flight;
the first 3,000 bookings carry one agency's phone. The same arguments give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from paxtrail.simulator.messages import DAY, HOUR, SECOND, Message, day_month, headers, instant, moment, opaque

CROWD = 400
PER_FLIGHT = 150
AGENCY_BOOKINGS = 3_000
AGENCY_PHONE = "+12125550199"
MIX = (
    ("booking", 0.29), ("baggage", 0.25), ("checkin", 0.18), ("loyalty", 0.12), ("reservations", 0.10), ("flights", 0.05),
    ("contacts", 0.01),
)  # fmt: skip
"""Share of each source. A reservation makes three events and a flight message one, as the others do."""
EVENTS_PER_RECORD = sum(share * (3 if source == "reservations" else 1) for source, share in MIX)
_CHUNK = 8_192
_LETTERS = "BCDFGHJKLMNPQRSTVWXYZ23456789"


def messages(
    rate: float, seconds: float, customers: int, seed: int, zipf: float = 1.0, *, start_us: int, first: int = 0
) -> Iterator[Message]:
    """`rate * seconds` records, `at_us` evenly spaced from `start_us`; event times are the sending times cut to seconds.

    `zipf` is the exponent of the customers' activity, 0 = all alike. `first` continues the numbering of an earlier run with the same
    seed and start, so that a broker never sees one id twice.
    """
    rng = np.random.default_rng([seed, first])
    total = int(rate * seconds)
    weights = np.cumsum(1.0 / np.arange(1, customers + 1, dtype=np.float64) ** zipf)
    shares = np.cumsum([share for _, share in MIX])
    writer = _Writer(opaque("load", str(seed), str(start_us))[:10], start_us)
    gap = SECOND / rate
    for begin in range(0, total, _CHUNK):
        size = min(_CHUNK, total - begin)
        who = np.searchsorted(weights, rng.random(size) * weights[-1]).tolist()
        what = np.minimum(np.searchsorted(shares, rng.random(size)), len(MIX) - 1).tolist()
        for n in range(size):
            number = begin + n
            yield writer.write(MIX[what[n]][0], who[n], first + number, start_us + int(number * gap))


def population(customers: int, seed: int, *, at_us: int) -> Iterator[Message]:
    """An account and a booking of every customer: the store a benchmark starts from."""
    writer = _Writer(opaque("population", str(seed), str(at_us))[:10], at_us)
    for customer in range(customers):
        yield writer.write("loyalty", customer, 2 * customer, at_us, whole=True)
        yield writer.write("reservations", customer, 2 * customer + 1, at_us)


def crowded_flight(passengers: int, seed: int, *, at_us: int) -> Iterator[Message]:
    """The booking and the check-in of everybody on the one big flight, then the change of its gate that concerns them all."""
    writer = _Writer(opaque("crowd", str(seed), str(at_us))[:10], at_us)
    for customer in range(passengers):
        yield writer.write("reservations", customer, 2 * customer, at_us)
        yield writer.write("checkin", customer, 2 * customer + 1, at_us)
    yield writer.write("flights", 0, 2 * passengers, at_us + SECOND)


def locator(customer: int) -> str:
    """The locator of a customer's one booking."""
    text = ""
    for _ in range(6):
        customer, digit = divmod(customer, len(_LETTERS))
        text += _LETTERS[digit]
    return text[::-1]


def account(customer: int) -> str:
    """The membership number of a customer (programme UA)."""
    return f"LD{customer:07d}"


def name(customer: int) -> tuple[str, str]:
    """(surname, given) of a customer in reservation spelling; letters only, so that each is another person's."""
    letters = "".join(chr(65 + int(digit)) for digit in f"{customer:07d}")
    return f"LOAD{letters}", "KIM"


def flight(customer: int) -> int:
    """The number of the flight a customer is on: 1 for the crowd."""
    return 1 if customer < CROWD else 2 + (customer - CROWD) // PER_FLIGHT % 8_000


def tag(customer: int) -> str:
    """The licence plate of a customer's bag (the serial repeats after a million)."""
    return f"0016{customer % 1_000_000:06d}"


@dataclass(slots=True)
class _Writer:
    """Fills the templates; what changes once a second is kept."""

    run: str
    start_us: int
    _second: int = -1
    _now: str = ""

    def write(self, source: str, customer: int, number: int, at: int, *, whole: bool = False) -> Message:
        second = at // SECOND
        if second != self._second:
            self._second, self._now = second, instant(second * SECOND)
        head = _HEADS[source] | {"ce_id": f"{self.run}-{number:x}", "ce_time": self._now}
        key, text = _account(self, customer, number) if whole else _TEMPLATES[source](self, customer, number)
        return Message(at, source, head, key, text.encode())

    @property
    def now(self) -> str:
        return self._now

    @property
    def departs(self) -> int:
        """Three hours after the start, on the hour: one day for the whole run."""
        return (self.start_us + 3 * HOUR) // HOUR * HOUR

    @property
    def day(self) -> str:
        return instant(self.departs - 5 * HOUR)[:10]


_HEADS = {source: headers(source, "", 0, origin="load") for source, _ in MIX}


def _booking(w: _Writer, customer: int, number: int) -> tuple[str, str]:
    device = f"ld{customer:012x}"
    to = ("LAX", "SFO", "MIA", "ORD", "BOS")[number % 5]
    return device, (
        f'{{"event":"search","session":"s{customer:x}","device":"{device}","customer":{{"loyalty":{{"airline":"UA",'
        f'"number":"{account(customer)}"}}}},"at":"{w.now}","channel":"web","origin":"EWR","destination":"{to}",'
        f'"departs":"{w.day}","returns":null,"passengers":{{"adults":1,"children":0,"infants":0}},"cabin":"Y","results":{number % 40}}}'
    )


def _baggage(w: _Writer, customer: int, number: int) -> tuple[str, str]:
    clock = moment(w.start_us if w._second < 0 else w._second * SECOND)
    stamp = f"{day_month(clock.date())}/{clock:%H%M%S}Z"
    step, extra = (("S/BHS/SC1", ""), ("S/BHS/SC2", ".X//CLR///HBS302\r\n"), ("R/BHS/SC3", ".U/AKE10001UA\r\n"))[number % 3]
    surname, given = name(customer)
    day = day_month(moment(w.departs - 5 * HOUR).date())
    return tag(customer), (
        f"BPM\r\n.V/1LEWR\r\n.J/{step}/{stamp}/BELT\r\n.F/UA{flight(customer):04d}/{day}/LAX\r\n.N/{tag(customer)}001\r\n{extra}"
        f".P/{surname}/{given}\r\n.L/{locator(customer)}\r\nENDBPM\r\n"
    )


def _checkin(w: _Writer, customer: int, number: int) -> tuple[str, str]:
    surname, given = name(customer)
    event, more = (("accepted", '"channel":"web"'), ("seat_changed", '"cabin":"Y"'), ("boarded", '"gate":"C71"'))[number % 3]
    return locator(customer), (
        f'{{"event":"{event}","locator":"{locator(customer)}","surname":"{surname}","given":"{given}","flight":{{"airline":"UA",'
        f'"number":"{flight(customer)}","from":"EWR","to":"LAX","date":"{w.day}"}},"at":"{w.now}","sequence":{number},'
        f'"seat":"{1 + number % 33}{"ABCDEF"[customer % 6]}",{more}}}'
    )


def _account(w: _Writer, customer: int, number: int) -> tuple[str, str]:
    surname, given = name(customer)
    tier = ("BASE", "BASE", "SILVER", "GOLD")[customer % 4]
    return account(customer), (
        f'{{"event":"account_updated","account":{{"airline":"UA","number":"{account(customer)}"}},"at":"{w.now}","sequence":{number},'
        f'"status":"active","tier":"{tier}","enrolled":"2010-05-01","member":{{"surname":"{surname.title()}","given":"{given.title()}",'
        f'"title":"Ms","birthDate":"1970-01-02","gender":"F","email":"load{customer}@example.com","emailVerified":true,'
        f'"phone":"+1212{2_000_000 + customer % 7_000_000:07d}","phoneVerified":true,"residence":"US","nationality":"US"}},'
        f'"preferences":{{"seat":"aisle","language":"en"}},"balance":{1000 + number % 90_000}}}'
    )


def _loyalty(w: _Writer, customer: int, number: int) -> tuple[str, str]:
    return account(customer), (
        f'{{"event":"miles_posted","account":{{"airline":"UA","number":"{account(customer)}"}},"at":"{w.now}","sequence":{number},'
        f'"posting":"{w.run}{number:x}","miles":500,"kind":"flight","balance":{1000 + number % 90_000}}}'
    )


def _reservation(w: _Writer, customer: int, number: int) -> tuple[str, str]:
    surname, given = name(customer)
    contacts = f'{{"kind":"email","value":"load{customer}@example.com","of":"passenger","passenger":1}}'
    if customer < AGENCY_BOOKINGS:
        contacts += f',{{"kind":"phone","value":"{AGENCY_PHONE}","of":"agency"}}'
    departs, arrives = instant(w.departs - 5 * HOUR)[:-1] + "-05:00", instant(w.departs - 2 * HOUR)[:-1] + "-08:00"
    return locator(customer), (
        f'{{"locator":"{locator(customer)}","owner":"UA","created":"{instant((w.start_us - 20 * DAY) // DAY * DAY)}","version":{number},'
        f'"updated":"{w.now}","status":"active","pointOfSale":{{"country":"US"}},"contacts":[{contacts}],"passengers":[{{"ref":1,'
        f'"type":"ADT","surname":"{surname}","given":"{given}","title":"MS","loyalty":{{"airline":"UA","number":"{account(customer)}"}}}}],'
        f'"segments":[{{"ref":1,"airline":"UA","number":"{flight(customer)}","from":"EWR","to":"LAX","departs":"{departs}",'
        f'"arrives":"{arrives}","class":"Y","status":"HK"}}],"ssrs":[],"tickets":[{{"number":"016{customer:010d}","passenger":1,'
        f'"coupons":[{{"segment":1,"status":"O"}}]}}]}}'
    )


def _flight(w: _Writer, customer: int, number: int) -> tuple[str, str]:
    leg = flight(customer)
    scheduled, estimated = instant(w.departs), instant(w.departs + number % 60 * 60 * SECOND)
    return str(leg), (
        f'<IATA_AIDX_FlightLegNotifRQ xmlns="http://www.iata.org/IATA/2007/00" Version="22.1" TimeStamp="{w.now}"><FlightLeg>'
        f"<LegIdentifier><Airline>UA</Airline><FlightNumber>{leg}</FlightNumber><DepartureAirport>EWR</DepartureAirport>"
        f"<ArrivalAirport>LAX</ArrivalAirport><OriginDate>{w.day}</OriginDate></LegIdentifier><LegData>"
        '<OperationalStatus RepeatIndex="1" FlightLegScope="Departure">OP</OperationalStatus><AirportResources Usage="Actual">'
        f'<Resource DepartureOrArrival="Departure"><PassengerGate RepeatIndex="1">C{1 + number % 99}</PassengerGate></Resource>'
        f'</AirportResources><OperationTime OperationQualifier="OFB" TimeType="SCT">{scheduled}</OperationTime>'
        f'<OperationTime OperationQualifier="OFB" TimeType="EST">{estimated}</OperationTime></LegData></FlightLeg>'
        "</IATA_AIDX_FlightLegNotifRQ>"
    )


def _contact(w: _Writer, customer: int, number: int) -> tuple[str, str]:
    text = ("Where is my bag? This is awful.", "Which gate is it?", "Thank you, wonderful crew!")[number % 3]
    return account(customer), (
        f'{{"event":"received","contact":"{w.run}{number:x}","at":"{w.now}","sequence":1,"channel":"chat","reason":"baggage","language":"en",'
        f'"customer":{{"loyalty":{{"airline":"UA","number":"{account(customer)}"}}}},"text":"{text}"}}'
    )


_TEMPLATES: dict[str, Callable[[_Writer, int, int], tuple[str, str]]] = {
    "booking": _booking,
    "baggage": _baggage,
    "checkin": _checkin,
    "loyalty": _loyalty,
    "reservations": _reservation,
    "flights": _flight,
    "contacts": _contact,
}
