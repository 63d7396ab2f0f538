"""`paxtrail reads`: the record of reads, for the office of data protection: whole, who read whom, who read unusually much."""

from __future__ import annotations

import asyncio
import datetime as dt
import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click
import orjson

from paxtrail.settings import Settings

if TYPE_CHECKING:
    from paxtrail.serving.audit import Audit

BROKEN = 3


@click.group()
def reads() -> None:
    """The record of reads: verify, of, unusual."""


@reads.command()
@click.option("--unchained", default=0, show_default=True, help="So many records from before there were chains are accepted.")
def verify(unchained: int) -> None:
    """Check every record against its chain and every chain against its head; one line of JSON per break, and a last one with counts.

    Exit 0: all is as it was written. Exit 3: something was edited, deleted, swapped, truncated, planted or forged.

    \b
    Example: paxtrail reads verify
    """
    from paxtrail.adapters.read_chains import verify as verified

    verdict = verified(Settings.load(), unchained=unchained)
    for one in verdict.breaks:
        click.echo(orjson.dumps(one._asdict()))
    click.echo(orjson.dumps({"chains": verdict.chains, "records": verdict.records, "breaks": len(verdict.breaks)}))
    if verdict.breaks:
        raise SystemExit(BROKEN)


@reads.command()
@click.argument("customer_id")
@click.option("--limit", default=200, show_default=True, help="How many at most.")
def of(customer_id: str, limit: int) -> None:
    """Who read a customer's data: one line of JSON per read, newest first. The question is recorded as a read of yours.

    \b
    Example: paxtrail reads of 0198c3a2f0b17d6c8e1a4b5c6d7e8f90
    """
    from paxtrail.serving.reads import Read

    async def ask() -> None:
        at = dt.datetime.now(dt.UTC)
        by = Read(at, getpass.getuser(), "paxtrail reads of", "dpo", "data_protection", "reads.of", (), "")
        async with _opened(Settings.load()) as audit:
            for item in (await audit.of(by, customer_id, None, limit))["items"]:
                click.echo(orjson.dumps(item))

    asyncio.run(ask())


@reads.command()
@click.option("--minutes", type=int, help="The window that ends now (default: reads.window_minutes).")
@click.option("--above", type=int, help="Distinct customers (default: reads.unusual_above of the caller's role).")
def unusual(minutes: int | None, above: int | None) -> None:
    """Callers who read more distinct customers in a window than is usual: one line of JSON each, the most first.

    \b
    Example: paxtrail reads unusual --minutes 1440 --above 300
    """

    async def ask() -> None:
        settings = Settings.load()
        async with _opened(settings) as audit:
            for one in await audit.volumes(minutes or settings.reads.window_minutes, above):
                click.echo(orjson.dumps(one._asdict()))

    asyncio.run(ask())


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Audit]:
    """The record of reads, and a writer for the reads that questions to it are."""
    from paxtrail.adapters.postgres import dsn
    from paxtrail.serving import audit, reads
    from paxtrail.serving.metrics import Metrics
    from paxtrail.serving.store import Store, pool

    store, vault, metrics = Store(await pool(dsn(settings, "serving", "api"), 1)), await pool(dsn(settings, "vault", "api"), 1), Metrics()
    writer = reads.opened(settings, vault, metrics)
    asked = await audit.opened(settings, store, writer, metrics)
    writer.start()
    try:
        yield asked
    finally:
        await asked.stop()
        await writer.stop()
        store.pool.terminate()
        vault.terminate()
