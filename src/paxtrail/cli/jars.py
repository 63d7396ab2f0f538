"""`paxtrail jars`: the Java libraries of the lock, in this user's cache."""

from __future__ import annotations

import click

from paxtrail.stack.jars import CORE, SETS, SetName, jar_folder, lock_file, read_lock, verify


@click.command()
@click.argument("sets", nargs=-1, type=click.Choice(SETS), metavar="[SET]...")
@click.option("--verify", "check", is_flag=True, help="Compare every cached file with the lock again.")
def jars(sets: tuple[SetName, ...], check: bool) -> None:
    """Fetch the Java libraries that are not cached yet and check them against the lock (conf/jars/*.lock).

    Without SETs those of the core: spark, kafka.

    \b
    Example: paxtrail jars
    Example: paxtrail jars druid --verify
    """
    for name in sets or CORE:
        folder = jar_folder(name)
        locked = read_lock(lock_file(name))
        for jar in locked if check else ():
            verify(jar, folder / jar.file)
        click.echo(f"{name:6} {len(locked):3} jars  {folder}")
