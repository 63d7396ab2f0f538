"""Who is asked for, and with which token: customers of the store in Zipf order, the API's addresses, the development issuer's token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

import numpy as np
import psycopg

from paxtrail.adapters import keyring
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.vault import Vault
from paxtrail.benchmark.client import Wish
from paxtrail.core.records import Identifier
from paxtrail.errors import Unavailable
from paxtrail.serving import access, issuer
from paxtrail.settings import Settings
from paxtrail.simulator.load import account

ROLE, PURPOSE = "agent", "care"
PATHS = 20_000


def headers(settings: Settings) -> dict[str, str]:
    """What an agent's request carries."""
    token = issuer.load(settings).token(access.load(settings.conf), ROLE, subject="benchmark", purposes=(PURPOSE,))
    return {"Authorization": f"Bearer {token}", "Paxtrail-Purpose": PURPOSE, "Accept": "application/json"}


def members(settings: Settings, customers: int) -> list[str]:
    """Customer ids of the first `customers` of the load, in the order of their activity."""
    wanted = [Identifier("loyalty", f"UA|{account(n)}") for n in range(customers)]
    with closing(Vault(dsn(settings, "vault", "api"), keyring.load(settings))) as vault:
        tokens = vault.find(wanted)
    with psycopg.connect(dsn(settings, "serving", "api")) as connection:
        statement = "select token, customer_id from links where token = any(%s)"
        links: dict[str, str] = dict(connection.execute(statement, (list(tokens.values()),)).fetchall())
    return [links[tokens[one]] for one in wanted if one in tokens and tokens[one] in links]


def customer(settings: Settings, number: str) -> str:
    """Customer id of a member of programme UA; Unavailable if the store does not know it."""
    with closing(Vault(dsn(settings, "vault", "api"), keyring.load(settings))) as vault:
        tokens = list(vault.find([Identifier("loyalty", f"UA|{number}")]).values())
    with psycopg.connect(dsn(settings, "serving", "api")) as connection:
        row = connection.execute("select customer_id from links where token = any(%s)", (tokens,)).fetchone()
    if row is None:
        raise Unavailable(f"the member {number} has not arrived")
    return str(row[0])


def zipf(keys: Sequence[str], *, seed: int = 1, count: int = PATHS) -> list[str]:
    """`count` of the keys, the n-th of them 1/n as often as the first."""
    weights = 1.0 / np.arange(1, len(keys) + 1)
    chosen = np.random.default_rng(seed).choice(len(keys), size=count, p=weights / weights.sum())
    return [keys[index] for index in chosen.tolist()]


def wish(
    settings: Settings,
    ids: Sequence[str],
    *,
    seconds: float,
    rate: float = 0,
    connections: int = 16,
    suffix: str = "",
    given: Mapping[str, str] | None = None,
) -> Wish:
    """Reads of these customers' profiles (`suffix` "/360": their views)."""
    paths = [f"/v1/profiles/{one}{suffix}" for one in zipf(ids)]
    return Wish(settings.api.host, settings.api.port, paths, given or headers(settings), seconds, rate, connections)


def recorded(settings: Settings) -> int:
    """Reads on record."""
    with psycopg.connect(dsn(settings, "vault", "postgres")) as connection:
        row = connection.execute("select count(*) from reads").fetchone()
    return int(row[0]) if row else 0
