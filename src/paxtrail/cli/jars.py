"""`paxtrail jars`: the Java libraries of the lock, in this user's cache."""

from __future__ import annotations

import click

from paxtrail.stack.jars import SETS, jar_folder, lock_file, read_lock, verify


@click.command()
@click.option("--verify", "check", is_flag=True, help="Compare every cached file with the lock again.")
def jars(check: bool) -> None:
    """Fetch the Java libraries that are not cached yet and check them against the lock (conf/jars/*.lock).

    \b
    Example: paxtrail jars
    Example: paxtrail jars --verify
    """
    for name in SETS:
        folder = jar_folder(name)
        locked = read_lock(lock_file(name))
        for jar in locked if check else ():
            verify(jar, folder / jar.file)
        click.echo(f"{name:6} {len(locked):3} jars  {folder}")
