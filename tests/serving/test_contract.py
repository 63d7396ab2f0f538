"""The published contract against the running application: generated requests of every role, alone and in chains (schemathesis)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance
from tests.serving.test_access import MAY_CALL
from tests.serving.world import SUBJECT, TAG, World, client

from paxtrail.cli.openapi import CONTRACT
from paxtrail.serving import access, routes
from paxtrail.settings import ROOT

TABLE = access.load(ROOT / "conf")
ROLES = tuple(TABLE.roles)
PROTECTED = {name for name, *_ in routes.ROUTES if not TABLE.is_public(name)}
SEED: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}
# A pattern cannot say which days are in the calendar or what is an address: 422 is right for those. The token is ours, not the
# generated one: what is wrong with tokens has its own tests.
EXCLUDED = [positive_data_acceptance, ignored_auth]

Ask = Callable[[Any, str], httpx.Response]


def in_the_running_application(world: World, work: Callable[[Ask], None]) -> None:
    """Runs `work` in a thread; what it is given sends a generated case as a role."""
    headers = {
        role: world.headers(role, subject=SUBJECT) | ({"paxtrail-purpose": "disruption"} if role in ("supervisor", "operations") else {})
        for role in ROLES
    }

    async def run() -> None:
        async with client(world) as api:
            loop = asyncio.get_running_loop()

            def ask(case: Any, role: str) -> httpx.Response:
                sent = case.as_transport_kwargs(base_url="http://api", headers=headers[role])
                sent.pop("cookies", None)
                if isinstance(sent.get("data"), bytes | str):
                    sent["content"] = sent.pop("data")  # as httpx wants a raw body to be called
                return asyncio.run_coroutine_threadsafe(api.http.request(**sent), loop).result(20)

            await asyncio.to_thread(work, ask)

    asyncio.run(run())


def away(name: str, answer: httpx.Response) -> bool:
    """Whether the answer is that Druid or Kafka, which these tests do not start, is away: the one server error there may be."""
    found = name in ("analytics", "collect") and answer.status_code == 503
    assert not found or (answer.json()["code"], answer.headers["retry-after"]) == ("unavailable", "1")
    return found


def test_no_generated_request_of_any_role_is_answered_by_a_server_error_or_off_the_contract(world: World) -> None:
    schema = schemathesis.openapi.from_file(CONTRACT.read_text())
    answered: Counter[tuple[str, int]] = Counter()

    def work(ask: Ask) -> None:
        for result in schema.get_all_operations():
            check(ask, result.ok())  # type: ignore[union-attr]  # an error would say so by its own exception

    def check(ask: Ask, operation: Any) -> None:
        name = operation.definition.raw["operationId"]

        @settings(max_examples=8, **SEED)
        @given(case=operation.as_strategy())
        def one(case: Any) -> None:
            for role in ROLES:
                answer = ask(case, role)
                answered[role, answer.status_code] += 1
                if name in PROTECTED and name not in MAY_CALL[role]:
                    assert answer.status_code in (403, 404, 405, 422), (role, name)
                if not away(name, answer):
                    case.validate_response(schemathesis.Response.from_any(answer), excluded_checks=EXCLUDED)

        one()

    in_the_running_application(world, work)
    assert {role for role, _ in answered} == set(ROLES)
    assert {200, 403, 404, 422} <= {status for _, status in answered}


def test_no_chain_of_requests_ends_in_a_server_error_or_off_the_contract(world: World) -> None:
    """Each step may use what an answer before it gave: ids, keys, cursors. The look-ups find people."""
    schema = schemathesis.openapi.from_file(CONTRACT.read_text())
    people = [{"bag_tag": TAG}, {"pnr": "K7Q2ZP", "surname": "Smith"}, {"namespace": "loyalty", "value": "UA|AB123456"}]
    steps: Counter[tuple[str, int]] = Counter()

    def work(ask: Ask) -> None:
        class Chain(schema.as_state_machine()):  # type: ignore[misc]  # a class made at run time
            def setup(self) -> None:
                self.asked = 0

            def before_call(self, case: Any) -> None:
                self.asked += 1
                if case.operation.definition.raw["operationId"] == "profiles.lookup":
                    case.body = people[self.asked % len(people)]
                    case.media_type = "application/json"

            def call(self, case: Any, **_: Any) -> Any:
                name = case.operation.definition.raw["operationId"]
                role = next(r for r in ROLES[self.asked % 2 :] + ROLES if name not in PROTECTED or name in MAY_CALL[r])
                answer = ask(case, role)
                steps[name, answer.status_code] += 1
                return schemathesis.Response.from_any(answer)

            def validate_response(self, response: Any, case: Any, **_: Any) -> None:
                if response.status_code != 503:
                    # What was wrong with a look-up is no longer, once it asks for somebody who is there.
                    case.validate_response(response, excluded_checks=[*EXCLUDED, negative_data_rejection])
                else:
                    assert case.operation.definition.raw["operationId"] in ("analytics", "collect")

        Chain.run(settings=settings(max_examples=15, stateful_step_count=8, **SEED))

    in_the_running_application(world, work)
    # Ids came from answers: nobody would guess one.
    assert steps["profiles.lookup", 200] and steps["profiles.read", 200] + steps["profiles.view", 200], steps
