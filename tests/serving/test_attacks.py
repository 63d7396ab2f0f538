"""Hostile callers over the running application: every route × role × token, other people's objects, assignment, paging, polluted paths."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from tests.serving.test_access import MAY_CALL, NAMES, SEES, TABLE, path_of
from tests.serving.test_tokens import segment
from tests.serving.world import COMMENT, EMAIL, LEG_PATH, PASSPORT, PHONE, SUBJECT, TAG, TEXT, Client, World, texts

from paxtrail.serving import issuer, paging

LOOKUP, BATCH = "/v1/profiles/lookup", "/v1/profiles/batch"
OURS = "Bearer "


# -- tokens, on every route ----------------------------------------------------------------------------------------------------------


def bad_tokens(world: World) -> dict[str, str]:
    """Tokens that would be an officer's, each with one thing wrong; by what is wrong."""
    dev, good = issuer.load(world.settings), world.bearer("dpo")
    head, body, signature = good.split(".")
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, body))
    return {
        "none": f"{segment({**header, 'alg': 'none'})}.{body}.",
        "None": f"{segment({**header, 'alg': 'None'})}.{body}.{signature}",
        "HMAC": f"{segment({**header, 'alg': 'HS256'})}.{body}.{signature}",
        "no signature": f"{head}.{body}.",
        "another body": f"{head}.{segment({**claims, 'sub': 'other'})}.{signature}",
        "own key in the header": f"{segment({**header, 'jwk': dev.jwks['keys'][0], 'kid': 'mine'})}.{body}.{signature}",
        "key by address": f"{segment({**header, 'jku': 'https://evil.example.org/keys', 'kid': 'mine'})}.{body}.{signature}",
        "kid that is a path": f"{segment({**header, 'kid': '../../../../dev/null'})}.{body}.{signature}",
        "kid that is SQL": f"{segment({**header, 'kid': chr(39) + ' or 1=1 --'})}.{body}.{signature}",
        "critical extension": f"{segment({**header, 'crit': ['b64'], 'b64': False})}.{body}.{signature}",
        "ID token": f"{segment({**header, 'typ': 'JWT'})}.{body}.{signature}",
        "huge": good + "A" * 8000,
        "deep header": base64.urlsafe_b64encode(b"[" * 5000).decode() + f".{body}.{signature}",
    }


async def test_no_route_answers_to_a_bad_token_or_none(api: Client, world: World) -> None:
    tokens = {**bad_tokens(world), "empty": ""}
    for route in NAMES:
        method, path, body = path_of(route, world)
        for wrong, token in tokens.items():
            headers = {"authorization": OURS + token, "paxtrail-purpose": "data_protection"}
            answer = await api.http.request(method, path, headers=headers, json=body)
            assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer"), (route, wrong, answer.status_code)
            assert token[-40:] not in answer.text or not token
        bare = await api.http.request(method, path, headers={"paxtrail-purpose": "data_protection"}, json=body)
        assert (bare.status_code, bare.json()["code"]) == (401, "token_missing"), route
        by_address = await api.http.request(method, f"{path}?access_token={world.bearer('dpo')}", json=body)
        assert by_address.status_code == 401, route
        by_cookie = {"cookie": f"paxtrail_agent=care~{world.bearer('agent')}", "paxtrail-purpose": "care"}
        assert (await api.http.request(method, path, headers=by_cookie, json=body)).status_code == 401, route
    assert world.sql("select count(*) from reads", database="vault") == [(0,)]


@pytest.mark.parametrize("role", TABLE.roles)
async def test_a_token_without_the_scope_or_purpose_of_a_route_is_refused_there(api: Client, world: World, role: str) -> None:
    rule = TABLE.roles[role]
    for route in sorted(MAY_CALL[role]):
        method, path, body = path_of(route, world)
        for purpose in (*TABLE.purposes, "marketing", "", "care,data_protection"):
            refused = purpose not in rule.purposes or (TABLE.routes[route].purposes and purpose not in TABLE.routes[route].purposes)
            if refused:
                headers = {**world.headers(role, subject=SUBJECT), "paxtrail-purpose": purpose}
                answer = await api.http.request(method, path, headers=headers, json=body)
                assert (answer.status_code, answer.json()["code"]) == (403, "purpose_refused"), (route, purpose)


# -- fields: every role × every class, as answers show them -----------------------------------------------------------------------

SECRETS = {
    "name": ("JOHN", "SMITH", "John", "Smith"),
    "birth_date": ("1970-01-02",),
    "email": (EMAIL,),
    "phone": (PHONE,),
    "document": (PASSPORT,),
    "text": (TEXT, COMMENT),
    "health": ("own wheelchair",),
}
"""What this world holds of a class, as it was sent."""


@pytest.mark.parametrize("role", TABLE.roles)
async def test_no_answer_of_any_route_holds_a_value_of_a_class_its_role_may_not_see(api: Client, world: World, role: str) -> None:
    said: list[str] = []
    for route in sorted(MAY_CALL[role] - {"collect", "analytics"}):
        for purpose in TABLE.roles[role].purposes:
            method, path, body = path_of(route, world)
            headers = world.headers(role, purpose, subject=SUBJECT)
            answer = await api.http.request(method, path, headers=headers, json=body)
            if answer.status_code == 200:
                said += list(texts(answer.json()))
    found = {name: {secret for secret in secrets for text in said if secret in text} for name, secrets in SECRETS.items()}
    for name, secrets in found.items():
        if SEES[role].get(name) != "show":
            assert secrets == set(), (role, name)
    # And what it may see is there: a test of answers that hold nothing would prove nothing.
    if {"profiles.read"} & MAY_CALL[role] and SEES[role].get("email") == "show":
        assert found["email"] and found["name"]


# -- objects: a customer's own and nobody else's ---------------------------------------------------------------------------------


async def test_a_customers_token_sees_itself_only_on_every_route(api: Client, world: World) -> None:
    """The flight is nobody's. What is another's answers as what does not exist does, to the letter."""
    john = world.customer()
    ((ann,),) = world.sql("select distinct customer_id from links where customer_id <> %s", john)
    world.feed(("baggage", BAG_OF_ANN))
    mine = {"customer_id": john, "key": world.journey(john), "tag": TAG}
    hers = {"customer_id": str(ann), "key": world.journey(str(ann)), "tag": TAG_OF_ANN}
    nobodys = {"customer_id": "0" * 32, "key": "0" * 32, "tag": "9999999999"}
    checked = set()
    for route in sorted(MAY_CALL["channel"]):
        template = template_of(route)
        for name in mine:
            if "{" + name + "}" in template:
                answers = [await api.get(template.format(**ids), "channel", subject=SUBJECT) for ids in (mine, hers, nobodys)]
                assert [a.status_code for a in answers] == [200, 404, 404], route
                assert answers[1].content == answers[2].content, route
                # Somebody who signed in and is no customer, and an issuer's subject that only looks like the customer's.
                for subject in ("nobody", SUBJECT.upper(), SUBJECT + " ", john):
                    answer = await api.get(template.format(**mine), "channel", subject=subject)
                    assert answer.status_code == (401 if subject.endswith(" ") else 404), (route, subject)
                checked.add(route)
    assert checked == MAY_CALL["channel"] - {"flights.read", "flights.timeline"}


TAG_OF_ANN = "0016654321"
BAG_OF_ANN = "BSM\n.V/1LEWR\n.F/UA1545/08FEB/IAH/Y\n.N/0016654321001\n.P/BROWN/ANN\n.L/BR0WNX\nENDBSM\n"


def template_of(route: str) -> str:
    from paxtrail.serving import routes

    return next(path for name, _, path, *_ in routes.ROUTES if name == route)


# -- assignment and parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", ["role", "purpose", "customer_id", "own_only", "__proto__", "constructor", "limit", ""])
@pytest.mark.parametrize(("path", "body"), [(LOOKUP, {"bag_tag": TAG}), (BATCH, {"ids": ["0" * 32]})])
async def test_a_member_that_nobody_declared_is_refused(api: Client, path: str, body: dict[str, Any], extra: str) -> None:
    assert (await api.post(path, body, "dpo")).status_code == 200
    answer = await api.post(path, {**body, extra: "dpo"}, "dpo")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "__proto__" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"bag_tag": TAG, "pnr": "K7Q2ZP", "surname": "Smith"},
        {"bag_tag": [TAG]},
        {"bag_tag": {"$ne": ""}},
        {"bag_tag": int(TAG)},
        {"pnr": "K7Q2ZP"},
        {"namespace": "internal", "value": "x"},
        {"namespace": "email", "value": "a\x00b"},
        {"namespace": "email", "value": "a" * 321},
        [{"bag_tag": TAG}],
        None,
        True,
    ],
    ids=repr,
)
async def test_a_body_of_another_shape_is_refused(api: Client, body: Any) -> None:
    assert (await api.post(LOOKUP, body)).status_code == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"ids": ["0" * 32] * 101}, 422),
        ({"ids": ["0" * 32] * 60, "identifiers": [{"namespace": "idp", "value": "x"}] * 60}, 422),
        ({"ids": []}, 422),
        ({"ids": ["0" * 32] * 100}, 200),
    ],
    ids=["101", "120 of both", "none", "100"],
)
async def test_a_batch_is_bounded(api: Client, body: Any, status: int) -> None:
    assert (await api.post(BATCH, body, "dpo")).status_code == status


@pytest.mark.parametrize("route", [name for name in NAMES if name != "collect"])
async def test_a_query_parameter_that_is_unknown_or_repeated_is_refused_on_every_route(api: Client, world: World, route: str) -> None:
    method, path, body = path_of(route, world)
    role = next(role for role, may in MAY_CALL.items() if route in may)
    headers = world.headers(role, "disruption" if route == "flights.customers" else None, subject=SUBJECT)
    for query in (
        "role=dpo",
        "limit=1&limit=200",
        "limit=1&LIMIT=2",
        "limit[]=1",
        "cursor=a&cursor=b",
        "&".join(["a=1"] * 30),
        "%00",
        "a;b",
        "=",
        "?",
    ):
        answer = await api.http.request(method, f"{path}?{query}", headers=headers, json=body)
        assert answer.status_code in (400, 422), (route, query, answer.status_code)
        assert answer.json()["code"] in ("unknown_parameter", "malformed", "invalid"), (route, query)


@pytest.mark.parametrize("limit", ["0", "-1", "201", "1e2", "0x10", "９", "", "null", "9" * 400, "1%00"])
async def test_a_page_is_bounded(api: Client, limit: str) -> None:
    assert (await api.get(f"{LEG_PATH}/timeline?limit={limit}")).status_code == 422


async def test_a_cursor_made_by_hand_or_for_another_list_is_refused(api: Client, world: World) -> None:
    of, there = "flight/UA1545/2013-02-08/EWR", f"{LEG_PATH}/timeline?cursor="
    assert (await api.get(there + paging.encode(of, 2**62, "x"))).status_code == 200
    for cursor in (
        paging.encode("flight/else", 1, "x"),
        paging.encode(of, 2**63, "x"),
        paging.encode(of, "1", "x"),
        paging.encode(of, 1, 1),
        paging.encode(of, 1, "a\0b"),
        paging.encode(of, 1, "x", 1),
        base64.urlsafe_b64encode(b"[" * 250).decode().rstrip("="),
        base64.urlsafe_b64encode(b'["' + b"\xff" * 9 + b'"]').decode().rstrip("="),
        "A",
    ):
        answer = await api.get(there + cursor)
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor_refused"), cursor


# -- paths ------------------------------------------------------------------------------------------------------------------------

POLLUTED = [
    "%2e%2e",
    "%2f",
    "%00",
    "%0d%0a",
    ";role=dpo",
    "%c0%ae",
    "%ff",
    "'",
    '"',
    "%25",
    "\\",
    "*",
    "{customer_id}",
    "％",
    "%F0%9F%92%A9",
]


@pytest.mark.parametrize("route", [name for name in NAMES if "{" in template_of(name)])
async def test_a_polluted_path_is_no_path(api: Client, world: World, route: str) -> None:
    """Before, in and after each part of the path that a caller chooses: refused, unknown, or no such method; never a server error."""
    method, path, body = path_of(route, world)
    role = next(role for role, may in MAY_CALL.items() if route in may)
    headers = world.headers(role, "disruption" if route == "flights.customers" else None, subject=SUBJECT)
    parts = path.split("/")
    for place in range(3, len(parts)):
        for bad in POLLUTED:
            for changed in (bad, parts[place] + bad, bad + parts[place], parts[place] + "/" + bad):
                address = "/".join([*parts[:place], changed, *parts[place + 1 :]])
                answer = await api.http.request(method, httpx_raw(address), headers=headers, json=body)
                assert answer.status_code in (400, 404, 405, 422), (route, changed, answer.status_code)
                assert answer.headers["content-type"] == "application/problem+json"


def httpx_raw(address: str) -> str:
    return quote(address, safe="/%;'\"*{}\\")


@pytest.mark.parametrize(
    "path",
    ["//v1/profiles", "/V1/health/live", "/v1", "/health/live/", "/%2e%2e/etc/passwd", "/agent/static/..%2fagent.py"],
)
async def test_what_is_near_a_route_is_none(api: Client, path: str) -> None:
    answer = await api.http.get(path)
    assert (answer.status_code, answer.json()["code"]) in ((404, "not_found"), (422, "invalid"))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "QUERY", "X" * 200])
async def test_a_method_that_is_not_declared_is_refused(api: Client, world: World, method: str) -> None:
    headers = {**world.headers("dpo"), "x-http-method-override": "GET", "x-method-override": "GET"}
    for path in (LOOKUP, LEG_PATH, f"/v1/profiles/{world.customer()}"):
        assert (await api.http.request(method, path, headers=headers)).status_code == 405
