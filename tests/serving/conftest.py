"""Fixtures of the API's tests: a filled world and a client of the running application."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.serving import world as worlds

from paxtrail.settings import Settings


@pytest.fixture
def world(clean_postgres: Settings) -> worlds.World:
    # Nobody listens there: unless a test says otherwise, Druid is away, whatever other tests of this run have started.
    away = clean_postgres.druid.model_copy(update={"broker_port": 1})
    found = worlds.World(clean_postgres.model_copy(update={"druid": away}))
    found.fill()
    return found


@pytest.fixture
async def api(world: worlds.World) -> AsyncIterator[worlds.Client]:
    async with worlds.client(world) as found:
        yield found
