"""The deployed program: api/main.py as a process of its own, asked over HTTP with a token of the command line."""

from __future__ import annotations

import os
import sys

import httpx
from tests.serving.world import World

from paxtrail.settings import ROOT
from paxtrail.stack.processes import running


def test_the_program_serves_a_profile_and_stops_when_told(world: World) -> None:
    settings = world.settings
    address = f"http://127.0.0.1:{settings.api.port}"
    environment = {
        "PAXTRAIL_HOME": str(settings.home),
        "PAXTRAIL_POSTGRES__PORT": str(settings.postgres.port),
        "PAXTRAIL_API__PORT": str(settings.api.port),
        "PAXTRAIL_API__ISSUER": settings.api.issuer,
    }

    def problem() -> str:
        try:
            return httpx.get(f"{address}/health/ready", timeout=2).text if httpx.get(f"{address}/health/ready").status_code != 200 else ""
        except httpx.HTTPError:
            return "not listening"

    log = settings.home / "api.log"
    program = [sys.executable, str(ROOT / "api" / "main.py")]
    with (
        running(program, problem, log=log, environment={**os.environ, **environment}),
        httpx.Client(base_url=address) as http,
    ):
        customer = world.customer()
        assert http.get(f"/v1/profiles/{customer}", headers=world.headers()).json()["customer_id"] == customer
        assert http.get(f"/v1/profiles/{customer}").status_code == 401
    assert customer not in log.read_text()
