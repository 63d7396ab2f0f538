"""The `paxtrail` command: one table of subcommands, each imported only when it is run."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import click

from paxtrail.errors import PaxtrailError
from paxtrail.stack import places

# name -> module:command. A module's imports cost only those who run it.
COMMANDS = {
    "up": "paxtrail.cli.stack:up",
    "status": "paxtrail.cli.stack:status",
    "down": "paxtrail.cli.stack:down",
    "provision": "paxtrail.cli.stack:provision",
    "demo": "paxtrail.cli.demo:demo",
    "jars": "paxtrail.cli.jars:jars",
    "environments": "paxtrail.cli.environments:environments",
    "airflow": "paxtrail.cli.airflow:airflow",
    "token": "paxtrail.cli.token:token",
    "openapi": "paxtrail.cli.openapi:openapi",
    "sbom": "paxtrail.cli.sbom:sbom",
    "docs": "paxtrail.cli.docs:docs",
    "decode": "paxtrail.cli.decode:decode",
    "simulate": "paxtrail.cli.simulate:simulate",
    "produce": "paxtrail.cli.produce:produce",
    "landing": "paxtrail.cli.landing:landing",
    "rejects": "paxtrail.cli.rejects:rejects",
    "cut": "paxtrail.cli.cut:cut",
    "batch": "paxtrail.cli.batch:batch",
    "marts": "paxtrail.cli.marts:marts",
    "exports": "paxtrail.cli.exports:exports",
    "reindex": "paxtrail.cli.reindex:reindex",
    "publish": "paxtrail.cli.publish:publish",
    "reprocess": "paxtrail.cli.reprocess:reprocess",
    "rebuild": "paxtrail.cli.rebuild:rebuild",
    "models": "paxtrail.cli.models:models",
    "retention": "paxtrail.cli.retention:retention",
    "keys": "paxtrail.cli.keyring:keys",
    "reads": "paxtrail.cli.reads:reads",
}
PROGRAMS = frozenset(("batch", "cut", "publish", "rebuild", "reprocess", "reindex", "retention", "marts", "exports", "landing", "produce"))
"""Those that a scheduler runs as well: they log and trace as the settings say."""


class Commands(click.Group):
    """A group that looks its commands up in COMMANDS and turns Paxtrail's own errors into one line and exit 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, target in COMMANDS.items() if importlib.util.find_spec(target.partition(":")[0])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PaxtrailError as error:
            raise click.ClickException(f"{error.code}: {error}") from error


@click.command(cls=Commands)
@click.option(
    "--home", type=click.Path(file_okay=False, path_type=Path), help="Folder that everything is written to (default: var/ of the checkout)."
)
@click.option(
    "--port-base", type=click.IntRange(1024, 65000), help=f"First of {places.PORTS} ports in a row for another copy of the stack."
)
@click.version_option("0.1.0", prog_name="paxtrail")
@click.pass_context
def main(context: click.Context, home: Path | None, port_base: int | None) -> None:
    """Paxtrail, an airline customer management platform.

    \b
    Example: paxtrail up && paxtrail status
    Example: paxtrail --home /tmp/second --port-base 21000 up postgres kafka
    """
    places.choose(home, port_base)
    if context.invoked_subcommand in PROGRAMS:
        from paxtrail.adapters.programs import begin

        begin(context.invoked_subcommand)


if __name__ == "__main__":
    main(prog_name="paxtrail")
