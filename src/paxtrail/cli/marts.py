"""`paxtrail marts`: tables for analysts, built by dbt and published to PostgreSQL."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import orjson

from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings

_run = click.option("--run", "run_id", help="Id of the batch run whose cut they show (default: the newest that was published).")


@click.group()
def marts() -> None:
    """Tables for analysts: flights, bags, punctuality, customers without names."""


@marts.command()
@_run
@click.option("--full-refresh", "full", is_flag=True, help="From all of silver, whatever was built before.")
def build(run_id: str | None, full: bool) -> None:
    """Build, test and publish the marts; prints counts as one line of JSON. A red test publishes nothing and exits 1.

    \b
    Example: paxtrail marts build
    Example: paxtrail marts build --run 2026-11-22 --full-refresh
    """
    from paxtrail.adapters.marts import build as build_marts

    click.echo(orjson.dumps(build_marts(Settings.load(), run_id, full=full), option=orjson.OPT_SORT_KEYS))


@marts.command()
@click.option("--serve", "served", is_flag=True, help="Show it to browsers of this machine, until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), default=15480, show_default=True, help="Where to serve; 0 takes a free one.")
def docs(served: bool, port: int) -> None:
    """Where the marts' documentation is, as the last build made it: models, columns, tests, where each comes from and who uses it.

    \b
    Example: paxtrail marts docs
    Example: paxtrail marts docs --serve
    """
    from paxtrail.adapters.marts import documentation

    page = documentation(Settings.load())
    if not served:
        click.echo(page)
        return
    with _server(page.parent, port) as server, suppress(KeyboardInterrupt):
        click.echo(f"http://127.0.0.1:{server.server_port}/ until Ctrl-C")
        server.serve_forever()


def _server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Shows the files of a folder on the loopback address."""
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    except OSError as error:
        raise ConfigurationError(f"port {port} cannot be used ({error.strerror}): choose another with --port") from error
