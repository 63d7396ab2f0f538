"""The API application: routes, guard, errors and limits around the services of `context`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from paxtrail.adapters import configuration, tracing
from paxtrail.adapters.programs import begin
from paxtrail.errors import ConfigurationError
from paxtrail.serving import access, agent, context, issuer, problems, routes, shapes, tokens
from paxtrail.serving.access import Access
from paxtrail.serving.edge import Edge
from paxtrail.serving.guard import Gate, Guarded
from paxtrail.serving.limits import Limits
from paxtrail.serving.metrics import Metrics
from paxtrail.settings import Settings


def create(settings: Settings) -> FastAPI:
    """The application of these settings; ConfigurationError if a route has no rule or a rule no route."""
    table = access.load(settings.conf)
    if unheard := sorted(set(table.purposes) - set(configuration.consent(settings.conf).purposes)):
        raise ConfigurationError(
            f"conf/consent.toml says nothing of the purpose {unheard[0]} of conf/access.toml; list it under [purposes]"
        )
    dev = settings.api.dev_issuer
    metrics = Metrics()
    app = bare(table, dev_issuer=dev)
    if dev:
        jwks = issuer.load(settings).jwks
        app.state.jwks = jwks
        keys = tokens.KeySet.of(jwks)
    else:
        keys = tokens.key_set(settings.api.jwks)
    verifier = tokens.Verifier(
        keys,
        issuer=settings.api.issuer,
        audience=settings.api.audience,
        token_types=table.token_types,
        roles=frozenset(table.roles),
    )
    app.state.gate = Gate(table, verifier, Limits(table, factor=settings.api.rate_factor))
    app.state.secure_cookies = not dev  # one machine has no certificate
    app.state.changes_s = settings.api.changes_s
    app.add_middleware(Edge, metrics=metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await verifier.prepare()
        serving = await context.start(settings, verifier, metrics)
        app.state.serving = serving
        try:
            yield
        finally:
            await serving.close()
            tracing.stop()

    app.router.lifespan_context = lifespan
    return app


def bare(table: Access, *, dev_issuer: bool) -> FastAPI:
    """Routes and error handling without anything behind them: enough for the published contract."""
    app = FastAPI(
        title="Paxtrail",
        version="1",
        description=shapes.ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.router.route_class = Guarded
    routes.register(app, dev_issuer=dev_issuer)
    agent.register(app)
    problems.install(app)
    names = {getattr(route, "name", "") for route in app.routes}
    if missing := sorted(names - set(table.routes)) + sorted(set(table.routes) - names - {"dev.jwks"}):
        raise ConfigurationError(f"conf/access.toml and the routes differ: {', '.join(missing)}")
    return app


def from_environment() -> FastAPI:
    """The application of $PAXTRAIL_ENV, as uvicorn asks for it."""
    return create(begin("api"))
