"""A record of every source, with personal values that are easy to find again."""

from __future__ import annotations

import json
from typing import Any

from tests.core.samples import data

RESERVATION: dict[str, Any] = {
    "locator": "K7Q2ZP",
    "owner": "UA",
    "created": "2013-01-20T14:03:11Z",
    "version": 3,
    "updated": "2013-02-07T09:00:00Z",
    "status": "active",
    "pointOfSale": {"country": "US", "agency": {"iata": "05123456", "name": "Acme Travel"}},
    "contacts": [
        {"kind": "email", "value": "secret@b.com", "of": "passenger", "passenger": 1},
        {"kind": "phone", "value": "+12125550100", "of": "booker"},
        {"kind": "phone", "value": "+12125550199", "of": "agency"},
    ],
    "passengers": [
        {
            "ref": 1,
            "type": "ADT",
            "surname": "SECRETO",
            "given": "JUANITO",
            "title": "MR",
            "birthDate": "1970-01-02",
            "gender": "M",
            "language": "en",
            "residence": "US",
            "loyalty": {"airline": "UA", "number": "SE123456"},
            "document": {"type": "P", "number": "X1234567", "country": "US"},
        },
    ],
    "segments": [
        {
            "ref": 1,
            "airline": "UA",
            "number": "1545",
            "from": "EWR",
            "to": "IAH",
            "departs": "2013-02-08T05:15:00-05:00",
            "arrives": "2013-02-08T08:19:00-06:00",
            "class": "Y",
            "status": "HK",
        },
    ],
    "ssrs": [{"code": "VGML", "passenger": 1, "segment": 1, "status": "HK", "text": "SECRETTEXT"}],
    "tickets": [{"number": "0161234567890", "passenger": 1, "coupons": [{"segment": 1, "status": "O"}]}],
    "price": {"amount": "123.45", "currency": "USD"},
    "remarks": ["SECRETREMARK"],
}
CHECKIN: dict[str, Any] = {
    "event": "accepted",
    "locator": "K7Q2ZP",
    "surname": "SECRETO",
    "given": "JUANITO",
    "flight": {"airline": "UA", "number": "1545", "from": "EWR", "to": "IAH", "date": "2013-02-08"},
    "at": "2013-02-08T09:00:00Z",
    "sequence": 17,
    "seat": "12A",
    "cabin": "Y",
    "boardingNumber": 17,
    "channel": "kiosk",
    "bags": [{"tag": "0016123456", "weight": {"value": "23", "unit": "K"}}],
    "ticket": "0161234567890",
    "loyalty": {"airline": "UA", "number": "SE123456"},
}
LOYALTY: dict[str, Any] = {
    "event": "account_updated",
    "account": {"airline": "UA", "number": "SE123456"},
    "at": "2013-02-08T09:00:00Z",
    "sequence": 5,
    "status": "active",
    "tier": "GOLD",
    "tierExpires": "2013-12-31",
    "enrolled": "2010-05-01",
    "member": {
        "surname": "Secreto",
        "given": "Juanito",
        "birthDate": "1970-01-02",
        "gender": "M",
        "email": "secret@b.com",
        "emailVerified": True,
        "phone": "+12125550100",
        "residence": "US",
    },
    "preferences": {"seat": "aisle", "meal": "VGML", "language": "en"},
    "balance": 12345,
}
BOOKING: dict[str, Any] = {
    "event": "step",
    "session": "s-1",
    "device": "d-1",
    "customer": {"loyalty": {"airline": "UA", "number": "SE123456"}},
    "at": "2013-02-08T09:00:00Z",
    "channel": "web",
    "step": "payment",
    "origin": "EWR",
    "destination": "LAX",
    "departs": "2013-03-01",
    "locator": "K7Q2ZP",
    "price": {"amount": "123.45", "currency": "USD"},
}
CONTACT: dict[str, Any] = {
    "event": "received",
    "contact": "C-1",
    "at": "2013-02-08T09:00:00Z",
    "sequence": 1,
    "channel": "email",
    "reason": "baggage",
    "language": "en",
    "customer": {
        "loyalty": {"airline": "UA", "number": "SE123456"},
        "booking": {"locator": "K7Q2ZP", "surname": "SECRETO", "given": "JUANITO", "created": "2013-01-20"},
        "email": "secret@b.com",
        "phone": "+12125550100",
    },
    "subject": "SECRETSUBJECT",
    "text": "My SECRETBAG is lost, this is terrible.",
}
BAGGAGE = "BSM\n.V/1LEWR\n.F/UA1545/08FEB/IAH/Y\n.N/0016123456002\n.S/Y/12A/C/017\n.W/K/2/38\n.P/SECRETO/JUANITO\n.L/K7Q2ZP\nENDBSM"
SAMPLES = {
    "flights": data("flights/delayed.xml"),
    "baggage": BAGGAGE.encode(),
    "reservations": json.dumps(RESERVATION).encode(),
    "checkin": json.dumps(CHECKIN).encode(),
    "loyalty": json.dumps(LOYALTY).encode(),
    "booking": json.dumps(BOOKING).encode(),
    "contacts": json.dumps(CONTACT).encode(),
}
PERSONAL = ("SECRET", "JUANITO", "SE123456", "X1234567", "12125550", "K7Q2ZP", "0161234567890", "1970-01-02")
