"""A small world for tests of the API: records through the real door into a real serving store, and clients that ask."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
import psycopg

from paxtrail.adapters import configuration, keyring, serving_store
from paxtrail.adapters.claims import Claims
from paxtrail.adapters.door import Door, Position
from paxtrail.adapters.postgres import Role, dsn
from paxtrail.adapters.scoring import Champion
from paxtrail.adapters.vault import Vault
from paxtrail.core.records import Identifier, Record
from paxtrail.serving import access, application, issuer
from paxtrail.settings import Settings

ARRIVAL = 1_360_350_000_000_000  # 2013-02-08T19:00:00Z
LEG = "UA1545/2013-02-08/EWR"
LEG_PATH = f"/v1/flights/{LEG}"
TAG = "0016123456"
PASSPORT = "X1234567"
EMAIL = "john.smith@example.org"
PHONE = "+12125550100"
SUBJECT = "app-user-7"
TEXT = "Terrible, my bag is lost and I am very angry."
COMMENT = "Secret comment"

FLIGHT = """<?xml version="1.0" encoding="UTF-8"?>
<IATA_AIDX_FlightLegNotifRQ xmlns="http://www.iata.org/IATA/2007/00" Version="16.1" TimeStamp="{told}" SequenceNmbr="1">
  <Originator CompanyShortName="OPS"/>
  <FlightLeg>
    <LegIdentifier><Airline CodeContext="3">UA</Airline><FlightNumber>1545</FlightNumber>
      <DepartureAirport CodeContext="3">EWR</DepartureAirport><ArrivalAirport CodeContext="3">IAH</ArrivalAirport>
      <OriginDate>2013-02-08</OriginDate></LegIdentifier>
    <LegData InternationalStatus="Domestic">
      <OperationalStatus CodeContext="2005" RepeatIndex="1">{status}</OperationalStatus>
      <OperationTime OperationQualifier="OFB" TimeType="SCT">2013-02-08T10:15:00Z</OperationTime>
      <OperationTime OperationQualifier="OFB" TimeType="EST">{estimated}</OperationTime>
      <OperationTime OperationQualifier="ONB" TimeType="SCT">2013-02-08T14:19:00Z</OperationTime>
    </LegData>
  </FlightLeg>
</IATA_AIDX_FlightLegNotifRQ>"""

BAG = "BSM\n.V/1LEWR\n.F/UA1545/08FEB/IAH/Y\n.N/0016123456001\n.P/SMITH/JOHNMR\n.L/K7Q2ZP\nENDBSM\n"

SEGMENT = {
    "ref": 1, "airline": "UA", "number": "1545", "from": "EWR", "to": "IAH", "departs": "2013-02-08T05:15:00-05:00",
    "arrives": "2013-02-08T08:19:00-06:00", "class": "Y", "status": "HK",
}  # fmt: skip


def passenger(ref: int, surname: str, given: str, **more: Any) -> dict[str, Any]:
    return {"ref": ref, "type": "ADT", "surname": surname, "given": given, "title": "MR", "birthDate": "1970-01-02", "gender": "M", **more}


def reservation(locator: str = "K7Q2ZP", version: int = 1, passengers: Sequence[dict[str, Any]] = (), **more: Any) -> dict[str, Any]:
    """A PNR on the flight of this world."""
    return {
        "locator": locator,
        "owner": "UA",
        "created": "2013-01-20T14:03:11Z",
        "version": version,
        "updated": f"2013-02-07T09:{version:02d}:00Z",
        "status": "active",
        "contacts": [],
        "passengers": list(passengers),
        "segments": [SEGMENT],
        "ssrs": [],
        "tickets": [],
        "remarks": [],
        **more,
    }


def smith(version: int = 1, **more: Any) -> dict[str, Any]:
    """John Smith, gold, in a wheelchair, with a passport, an e-mail and a ticket."""
    john = passenger(
        1,
        "SMITH",
        "JOHN",
        loyalty={"airline": "UA", "number": "AB123456"},
        document={"type": "P", "number": PASSPORT, "country": "US", "expires": "2020-01-01"},
    )
    return reservation(
        version=version,
        passengers=[john],
        contacts=[
            {"kind": "email", "value": EMAIL, "of": "passenger", "passenger": 1},
            {"kind": "phone", "value": PHONE, "of": "passenger", "passenger": 1},
        ],
        ssrs=[{"code": "WCHR", "passenger": 1, "segment": 1, "status": "HK", "text": "own wheelchair"}],
        tickets=[{"number": "0161234567890", "passenger": 1, "coupons": [{"segment": 1, "status": "O"}]}],
        remarks=["prefers to be called Jack"],
        **more,
    )


def account(number: str = "AB123456", sequence: int = 1, **member: Any) -> dict[str, Any]:
    return {
        "event": "account_updated", "account": {"airline": "UA", "number": number}, "at": "2013-02-01T00:00:00Z", "sequence": sequence,
        "status": "active", "tier": "GOLD", "enrolled": "2010-05-01", "balance": 12345,
        "member": {"surname": "Smith", "given": "John", "email": EMAIL, "emailVerified": True, "nationality": "US", **member},
    }  # fmt: skip


def app_search(subject: str, issuer_: str, number: str | None = None) -> dict[str, Any]:
    """A search by a signed-in customer."""
    customer: dict[str, Any] = {"idp": {"issuer": issuer_, "subject": subject}}
    if number is not None:
        customer["loyalty"] = {"airline": "UA", "number": number}
    return {
        "event": "search", "session": "s1", "device": "d1", "customer": customer, "at": "2013-02-08T10:00:00Z", "channel": "app",
        "origin": "EWR", "destination": "LAX", "departs": "2013-03-01", "returns": None,
        "passengers": {"adults": 1, "children": 0, "infants": 0}, "cabin": "Y", "results": 3,
    }  # fmt: skip


def contact(event: str = "received", name: str = "C-77", at: str = "2013-02-08T12:00:00Z", **more: Any) -> tuple[str, dict[str, Any]]:
    """What the contact centre tells of a chat with John about his bag."""
    known = {"loyalty": {"airline": "UA", "number": "AB123456"}}
    return "contacts", {"event": event, "contact": name, "at": at, "channel": "chat", "reason": "baggage", "customer": known, **more}


def said(*acts: dict[str, Any], at: str = "2013-02-03T00:00:00Z") -> tuple[str, dict[str, Any]]:
    """What John says of consent."""
    return "loyalty", {"event": "consent_changed", "account": {"airline": "UA", "number": "AB123456"}, "at": at, "consents": list(acts)}


class World:
    """Feeds records and looks things up behind the API's back."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.schemas = configuration.schemas(settings.conf)
        self.tables = configuration.attributes(settings.conf)
        self._seq = 0

    def feed(self, *records: tuple[str, Any], contexts: Sequence[str] = ()) -> None:
        """One micro-batch of (source, body) pairs; `contexts` are the trace contexts of the first of them."""
        self._seq += 1
        numbered = []
        for place, (source, body) in enumerate(records):
            raw = body if isinstance(body, str) else json.dumps(body)
            headers = {"ce_specversion": "1.0", "ce_id": f"{self._seq}-{place}", "ce_source": "tests", "ce_type": "tests.received"}
            if place < len(contexts):
                headers["ce_traceparent"] = contexts[place]
            offset = self._seq * 1000 + place
            numbered.append((Position(f"raw.{source}", 0, offset), Record(source, headers, raw.encode(), ARRIVAL + offset)))
        settings = self.settings
        with (
            closing(Vault(dsn(settings, "vault", "stream"), keyring.load(settings))) as vault,
            closing(Claims(dsn(settings, "serving", "stream"))) as claims,
            psycopg.connect(dsn(settings, "serving", "stream"), options=serving_store.SESSION) as connection,
        ):
            admitted = list(Door(vault, claims, self.schemas, Champion(settings.models.folder)).admit(numbered))
            refused = [(one.source, one.reject) for one in admitted if one.outcome != "accepted"]
            assert not refused, [(source, reject and (reject["code"], reject["reason"], reject["at"])) for source, reject in refused]
            connection.commit()
            rows = [row for one in admitted for row in one.events]
            batch = serving_store.Batch("main", self._seq, {}, rows, [])
            assert serving_store.commit(connection, batch, self.tables, lambda: None)

    def fill(self) -> None:
        """The world of most tests: a flight, John Smith on it with a bag he has complained about, and Ann Brown who is somebody else."""
        self.feed(
            ("flights", self.flight()),
            ("reservations", smith()),
            ("loyalty", account()),
            ("booking", app_search(SUBJECT, self.settings.api.issuer, "AB123456")),
            ("baggage", BAG),
            contact(text=TEXT),
            contact("surveyed", score=1, scale=5, comment=COMMENT),
            ("reservations", reservation("BR0WNX", passengers=[passenger(1, "BROWN", "ANN")])),
        )

    @staticmethod
    def flight(told: str = "2013-02-08T09:00:00Z", estimated: str = "2013-02-08T10:45:00Z", status: str = "OP") -> str:
        return FLIGHT.format(told=told, estimated=estimated, status=status)

    def token(self, namespace: str, value: str) -> str:
        """Token of an identifier that must have one."""
        with closing(Vault(dsn(self.settings, "vault", "stream"), keyring.load(self.settings))) as vault:
            return vault.find([Identifier(namespace, value)])[Identifier(namespace, value)]

    def customer(self, namespace: str = "loyalty", value: str = "UA|AB123456") -> str:
        """Current id of the customer with this identifier."""
        ((found,),) = self.sql("select customer_id from links where token = %s", self.token(namespace, value))
        return str(found)

    def journey(self, customer: str) -> str:
        ((found,),) = self.sql(
            "select r.to_key from links l join relations r on r.from_key = l.token and r.kind = 'travels' where l.customer_id = %s",
            customer,
        )
        return str(found)

    def sql(self, statement: str, *arguments: object, database: str = "serving", role: Role = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(dsn(self.settings, "vault" if database == "vault" else "serving", role), autocommit=True) as connection:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []

    def forget(self, *tokens: str) -> None:
        with closing(Vault(dsn(self.settings, "vault", "postgres"), keyring.load(self.settings))) as vault:
            vault.forget(tokens)

    def bearer(self, role: str, *, subject: str = "tester", **more: Any) -> str:
        return issuer.load(self.settings).token(access.load(self.settings.conf), role, subject=subject, **more)

    def headers(self, role: str = "agent", purpose: str | None = None, **more: Any) -> dict[str, str]:
        stated = purpose or access.load(self.settings.conf).roles[role].purposes[0]
        return {"authorization": f"Bearer {self.bearer(role, **more)}", "paxtrail-purpose": stated}


class Client:
    """Asks the application in this process as a role."""

    def __init__(self, http: httpx.AsyncClient, world: World, app: Any) -> None:
        self.http = http
        self.world = world
        self.app = app

    async def get(self, path: str, role: str = "agent", *, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        return await self.http.get(path, headers={**self.world.headers(role, **more), **(headers or {})})

    async def post(self, path: str, body: Any, role: str = "agent", **more: Any) -> httpx.Response:
        return await self.http.post(path, json=body, headers=self.world.headers(role, **more))


@asynccontextmanager
async def client(world: World) -> AsyncIterator[Client]:
    """The application of these settings, started, and a client for it."""
    app = application.create(world.settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
            yield Client(http, world, app)


def texts(value: Any) -> Iterator[str]:
    """Every text anywhere in an answer."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts(member)
