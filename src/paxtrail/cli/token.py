"""`paxtrail token`: an access token of the development issuer."""

from __future__ import annotations

import click

from paxtrail.serving import access, issuer
from paxtrail.settings import Settings


class _Command(click.Command):
    """Its help ends with the roles and purposes there are."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        table = access.load(Settings.load().conf)
        with formatter.section("Roles and their purposes (conf/access.toml)"):
            formatter.write_dl([(name, ", ".join(sorted(role.purposes))) for name, role in sorted(table.roles.items())])


@click.command(cls=_Command)
@click.option("--role", default="agent", show_default=True, help="One of the roles below.")
@click.option("--purpose", "purposes", multiple=True, help="Bind the token to this purpose; with one, the header may be left out.")
@click.option("--source", "sources", multiple=True, help="Let the token send for this source only (role source).")
@click.option("--subject", default="developer", show_default=True, help="Who the token speaks for; for the role channel, the customer.")
@click.option("--ttl", default=3600, show_default=True, type=click.IntRange(1, issuer.MAX_TTL_S), help="Seconds it is valid.")
def token(role: str, purposes: tuple[str, ...], sources: tuple[str, ...], subject: str, ttl: int) -> None:
    """Print an access token for this machine's API (env local only).

    \b
    Example: curl -H "Authorization: Bearer $(paxtrail token --role agent --purpose care)" http://127.0.0.1:8080/v1/profiles/ID
    """
    settings = Settings.load()
    table = access.load(settings.conf)
    click.echo(issuer.load(settings).token(table, role, subject=subject, purposes=purposes, sources=sources, ttl_s=ttl))
