"""`paxtrail keys`: rotation of key-encryption keys and of the look-up secret, beside a running platform."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click
import orjson

from paxtrail.settings import Settings

if TYPE_CHECKING:
    from paxtrail.adapters.rotation import Rotation

_BATCH = click.option("--batch", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Rows of one transaction.")


@click.group()
def keys() -> None:
    """Key-encryption keys and look-up secrets: show, rotate, rewrap, destroy, rotate-lookup, rehash, end-lookup."""


@keys.command()
def show() -> None:
    """What is in force, and what stands under each generation, as one line of JSON.

    \b
    Example: paxtrail keys show
    """
    with _rotation() as rotation:
        _say(rotation.status())


@keys.command()
def rotate() -> None:
    """Begin a new generation of the key-encryption key: every new key is wrapped under it.

    \b
    Example: paxtrail keys rotate && paxtrail keys rewrap
    """
    with _rotation() as rotation:
        _say({"generation": rotation.begin("wrapping")})


@keys.command()
@_BATCH
def rewrap(batch: int) -> None:
    """Wrap every data key under the generation in force; prints counts as one line of JSON. Killed, it goes on when run again.

    \b
    Example: paxtrail keys rewrap
    """
    with _rotation() as rotation:
        _say(rotation.rewrap(batch))


@keys.command()
@click.argument("generation", type=click.IntRange(1))
def destroy(generation: int) -> None:
    """Destroy a GENERATION that nothing is wrapped under any more: keys deleted before are unreadable in the vault's backups too.

    Backups of the vault from before the rewrap cannot be read any more: make a new one first.

    \b
    Example: paxtrail keys destroy 1
    """
    with _rotation() as rotation:
        _say({"destroyed": generation, "was_in_keyring": rotation.destroy(generation)})


@keys.command("rotate-lookup")
def rotate_lookup() -> None:
    """Begin a new look-up secret: identifiers are indexed under it, and found under the old one too.

    \b
    Example: paxtrail keys rotate-lookup && paxtrail keys rehash
    """
    with _rotation() as rotation:
        _say({"lookup": rotation.begin("lookup")})


@keys.command()
@_BATCH
def rehash(batch: int) -> None:
    """Index every identifier under the newest look-up secret; prints counts as one line of JSON. Killed, it goes on when run again.

    \b
    Example: paxtrail keys rehash
    """
    with _rotation() as rotation:
        _say(rotation.rehash(batch))


@keys.command("end-lookup")
@click.argument("number", type=click.IntRange(1))
@click.option("--accept-loss", is_flag=True, help="Also if forgotten identifiers stand under it: seen again, they would be new.")
def end_lookup(number: int, accept_loss: bool) -> None:
    """End the look-up secret NUMBER once nothing is indexed under it.

    \b
    Example: paxtrail keys end-lookup 1
    """
    with _rotation() as rotation:
        _say({"ended": number, "lost": rotation.end_lookup(number, accept_loss=accept_loss)})


@contextmanager
def _rotation() -> Iterator[Rotation]:
    from paxtrail.adapters.rotation import Rotation

    with closing(Rotation(Settings.load())) as found:
        yield found


def _say(counts: dict[str, Any]) -> None:
    click.echo(orjson.dumps(counts, option=orjson.OPT_NON_STR_KEYS))
