"""The people who fly: members with accounts, families, one booker for several, agencies; the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from paxtrail.simulator.names import MEN, SURNAMES, WOMEN, pnr_name

PROGRAMMES = {
    "AA": "AA", "AS": "AS", "B6": "B6", "DL": "DL", "F9": "F9", "HA": "HA", "UA": "UA", "US": "US", "VX": "VX", "WN": "WN",
    "EV": "UA", "MQ": "AA", "9E": "DL", "OO": "UA", "YV": "US", "FL": "WN",
}  # fmt: skip
"""Whose programme the passengers of an airline belong to: regional partners fly for the big ones."""
TIERS = (("BASE", 60), ("SILVER", 22), ("GOLD", 13), ("PLATINUM", 5))
MEALS = ("VGML", "KSML", "MOML", "GFML", "AVML", "DBML")
AREA_CODES = ("212", "718", "917", "646", "201", "973", "516", "914", "203", "415", "213", "312", "305", "617", "202", "713")
CALIFORNIA = ("415", "213")
"""Area codes whose people live where law lets data be sold until they object."""
GPC_SHARE = 0.08
"""Browsers that send Global Privacy Control."""
MEMBER_SHARE = 0.38
DOCUMENT_SHARE = 0.12


@dataclass(slots=True)
class Account:
    """A frequent flyer's account as its airline keeps it."""

    airline: str
    number: str
    tier: str
    enrolled: str
    balance: int
    seat: str
    meal: str | None
    sequence: int = 0

    @property
    def identifier(self) -> str:
        return f"loyalty:{self.airline}|{self.number}"


@dataclass(slots=True)
class Person:
    """One human being; `busy_until` keeps a person from sitting in two aeroplanes at once."""

    index: int
    surname: str
    given: str
    title: str
    gender: str
    born: date
    language: str
    residence: str
    email: str
    phone: str
    device: str
    kind: str = "ADT"
    account: Account | None = None
    login: str | None = None
    document: dict[str, str] | None = None
    busy_until: int = 0
    introduced: bool = False

    @property
    def subdivision(self) -> str | None:
        return "US-CA" if self.residence == "US" and self.phone[2:5] in CALIFORNIA else None

    @property
    def signals(self) -> bool:
        """Whether this person's browser sends Global Privacy Control."""
        return int(self.device[1:5], 16) < GPC_SHARE * 0x10000

    @property
    def pnr_surname(self) -> str:
        return pnr_name(self.surname)

    @property
    def pnr_given(self) -> str:
        return pnr_name(self.given)


@dataclass(frozen=True, slots=True)
class Agency:
    iata: str
    name: str
    phone: str


@dataclass(frozen=True, slots=True)
class Party:
    """People who travel on one booking. `booker` may be one of them or somebody who stays at home."""

    travellers: tuple[Person, ...]
    booker: Person
    agency: Agency | None
    shared_phone: bool


@dataclass(slots=True)
class People:
    """Makes people and parties from one random stream, and remembers the members so that some fly again."""

    rng: Random
    today: date
    made: int = 0
    members: dict[str, list[Person]] = field(default_factory=dict)
    agencies: tuple[Agency, ...] = ()
    _numbers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.agencies = tuple(
            Agency(f"{5_100_000 + n * 7919 % 890_000:08d}", f"{SURNAMES[n * 7 % len(SURNAMES)]} Travel", self._phone()) for n in range(40)
        )

    def party(self, airline: str, room: int, departs: int, arrives: int) -> Party:
        """A party of at most `room` for a flight; nobody in it is busy then."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.62 or room == 1:
            travellers: tuple[Person, ...] = (self._again(airline, departs) or self._adult(airline),)
        elif draw < 0.80 or room == 2:
            partner = self._adult(airline)
            travellers = (self._adult(airline, surname=partner.surname if rng.random() < 0.7 else None), partner)
        elif draw < 0.96 or room < 5:
            travellers = self._family(airline, min(room, rng.randint(3, 5)))
        else:
            travellers = tuple(self._adult(airline) for _ in range(5))
        for person in travellers:
            person.busy_until = arrives
        outside = len(travellers) == 5 and travellers[0].surname != travellers[1].surname
        booker = self._adult(airline) if outside else travellers[0]
        agency = self._agency() if rng.random() < 0.28 else None
        return Party(travellers, booker, agency, shared_phone=len(travellers) > 1 and rng.random() < 0.6)

    def looker(self) -> Person:
        """Somebody who only looks at offers and never books."""
        return self._adult("", member=False)

    def namesake(self, person: Person, airline: str) -> Person:
        """Another person of the same name, with an account of their own."""
        twin = self._adult(airline, surname=person.surname, member=True)
        twin.given, twin.title, twin.gender = person.given, person.title, person.gender
        twin.email = self._email(twin.given, twin.surname)
        return twin

    def _agency(self) -> Agency:
        weights = [1 / (n + 1) for n in range(len(self.agencies))]
        return self.rng.choices(self.agencies, weights)[0]

    def _again(self, airline: str, departs: int) -> Person | None:
        """A member who flew before, the most frequent first (Zipf), if that person is free."""
        known = self.members.get(PROGRAMMES.get(airline, ""), [])
        if not known or self.rng.random() > 0.25:
            return None
        rank = min(len(known) - 1, int(self.rng.paretovariate(0.6)) - 1)
        person = known[rank]
        return person if person.busy_until + 64_800_000_000 < departs else None

    def _family(self, airline: str, size: int) -> tuple[Person, ...]:
        first = self._adult(airline)
        family = [first, self._adult(airline, surname=first.surname)]
        while len(family) < size:
            child = self._adult(airline, surname=first.surname, member=False)
            years = self.rng.randint(1, 15)
            child.born = self.today - timedelta(days=365 * years + self.rng.randint(0, 360))
            child.kind, child.title = ("CHD", "MSTR" if child.gender == "M" else "MISS")
            child.email, child.phone, child.login, child.document = first.email, first.phone, None, None
            family.append(child)
        return tuple({person.given: person for person in reversed(family)}.values())[::-1]

    def _adult(self, airline: str, *, surname: str | None = None, member: bool | None = None) -> Person:
        rng = self.rng
        self.made += 1
        gender = rng.choice("MF")
        given = rng.choice(MEN if gender == "M" else WOMEN)
        surname = surname or rng.choice(SURNAMES)
        person = Person(
            index=self.made,
            surname=surname,
            given=given,
            title="MR" if gender == "M" else rng.choice(("MRS", "MS")),
            gender=gender,
            born=self.today - timedelta(days=rng.randint(19 * 366, 80 * 365)),
            language=rng.choices(("en", "es", "fr", "de"), (85, 10, 3, 2))[0],
            residence=rng.choices(("US", "CA", "GB", "DE", "MX"), (88, 4, 4, 2, 2))[0],
            email=self._email(given, surname),
            phone=self._phone(),
            device=f"d{rng.getrandbits(64):016x}",
        )
        programme = PROGRAMMES.get(airline)
        if programme and (member or (member is None and rng.random() < MEMBER_SHARE)):
            person.account = self._account(programme)
            self.members.setdefault(programme, []).append(person)
        if rng.random() < 0.3:
            person.login = f"u{rng.getrandbits(48):012x}"
        if rng.random() < DOCUMENT_SHARE:
            country = "US" if rng.random() < 0.8 else person.residence
            expires = self.today + timedelta(days=rng.randint(200, 3000))
            person.document = {
                "type": "P",
                "number": f"{rng.choice('ACEX')}{rng.randrange(10**7, 10**8)}",
                "country": country,
                "expires": expires.isoformat(),
            }
        return person

    def _account(self, programme: str) -> Account:
        rng = self.rng
        while True:
            number = f"{rng.choice('ABCDEFGHJKLMNPQRSTVWXYZ')}{rng.choice('ABCDEFGHJKLMNPQRSTVWXYZ')}{rng.randrange(10**6):06d}"
            if f"{programme}{number}" not in self._numbers:
                break
        self._numbers.add(f"{programme}{number}")
        tier = rng.choices([name for name, _ in TIERS], [weight for _, weight in TIERS])[0]
        enrolled = self.today - timedelta(days=rng.randint(60, 5000))
        floor = {"BASE": 500, "SILVER": 12_000, "GOLD": 30_000, "PLATINUM": 80_000}[tier]
        return Account(
            airline=programme,
            number=number,
            tier=tier,
            enrolled=enrolled.isoformat(),
            balance=floor + int(rng.paretovariate(1.3) * 1000) % 90_000,
            seat=rng.choice(("aisle", "window")),
            meal=rng.choice(MEALS) if rng.random() < 0.15 else None,
        )

    def _email(self, given: str, surname: str) -> str:
        return f"{pnr_name(given).lower()}.{pnr_name(surname).lower()}{self.made}@example.com"

    def _phone(self) -> str:
        return f"+1{self.rng.choice(AREA_CODES)}{self.rng.randrange(2_010_000, 9_890_000):07d}"
