"""Who may call what and see what: conf/access.toml as one frozen table; what it does not list is denied."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paxtrail.errors import ConfigurationError, Forbidden

Way = Literal["show", "mask", "icon"]
CLASSES = (
    "public",
    "internal",
    "name",
    "birth_date",
    "gender",
    "email",
    "phone",
    "contact",
    "document",
    "payment",
    "health",
    "care",
    "text",
    "record",
)
CLEAR = frozenset(("public", "internal"))


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RouteRule(_Part):
    """`public` routes need no token; others need `scope`, and one of `purposes` where the route narrows them."""

    public: bool = False
    scope: str = Field(default="", pattern=r"^(cmp(:[a-z]+){1,2})?$")
    purposes: tuple[str, ...] = ()


class Rate(_Part):
    """Calls a second in the long run, and how many may come at once."""

    per_second: float = Field(gt=0)
    burst: int = Field(ge=1)


class RoleRule(_Part):
    purposes: tuple[str, ...]
    rate: Rate
    """Of one client in this role, in one process."""
    scopes: frozenset[str]
    classes: dict[str, Way]
    own_only: bool = False
    """The caller is a customer and sees only what is their own."""
    small_counts: bool = False
    """The caller sees counts of few persons too: an operational role."""


class _Table(_Part):
    token_types: tuple[str, ...]
    purposes: tuple[str, ...]
    hidden_in_lists: tuple[str, ...]
    strangers: Rate
    """Refused tokens from one address."""
    clients: dict[str, Rate]
    """Rates of clients (`client_id`) that need another one than their role's."""
    routes: dict[str, RouteRule]
    roles: dict[str, RoleRule]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as the token says after verification. `kind`: a person or a program."""

    issuer: str
    subject: str
    client: str
    kind: Literal["user", "app"]
    role: str
    scopes: frozenset[str]
    purposes: frozenset[str]
    """Purposes the token is bound to; empty = any that its role allows."""
    sources: frozenset[str] | None = None
    """Sources the token may send for; None = any."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal admitted to one route for one purpose, and what it may see there."""

    principal: Principal
    purpose: str
    own_only: bool
    ways: dict[str, Way]
    """Sealed classes this caller sees, and how."""
    internal: bool
    list_ways: dict[str, Way]
    small_counts: bool = False

    @property
    def role(self) -> str:
        return self.principal.role


class Access:
    """Decisions by the table. `admit` is the only way to become a Caller."""

    def __init__(self, table: _Table) -> None:
        self._table = table
        self._ways: dict[str, dict[str, Way]] = {}
        self._list_ways: dict[str, dict[str, Way]] = {}
        for name, role in table.roles.items():
            self._ways[name] = {c: way for c, way in role.classes.items() if c not in CLEAR}
            self._list_ways[name] = {c: way for c, way in self._ways[name].items() if c not in table.hidden_in_lists}

    @property
    def roles(self) -> dict[str, RoleRule]:
        return self._table.roles

    @property
    def routes(self) -> dict[str, RouteRule]:
        return self._table.routes

    @property
    def purposes(self) -> tuple[str, ...]:
        return self._table.purposes

    @property
    def token_types(self) -> tuple[str, ...]:
        return self._table.token_types

    @property
    def hidden_in_lists(self) -> tuple[str, ...]:
        return self._table.hidden_in_lists

    @property
    def strangers(self) -> Rate:
        return self._table.strangers

    def rate(self, principal: Principal) -> Rate:
        """How often this client may call."""
        return self._table.clients.get(principal.client) or self._table.roles[principal.role].rate

    def is_public(self, route: str) -> bool:
        return (rule := self._table.routes.get(route)) is not None and rule.public

    def admit(self, principal: Principal, route: str, stated: str | None) -> Caller:
        """The caller, if scope, role and stated purpose allow the route; Forbidden else, also for a route without a rule."""
        rule = self._table.routes.get(route)
        role = self._table.roles.get(principal.role)
        if rule is None or rule.public or role is None:
            raise Forbidden("no_rule", "no rule admits this call")
        if rule.scope not in principal.scopes:
            raise Forbidden("insufficient_scope", f"the token lacks the scope {rule.scope}")
        if rule.scope not in role.scopes:
            raise Forbidden("role_refused", "the caller's role may not call this route")
        if stated is None and len(principal.purposes) == 1:
            (stated,) = principal.purposes
        if stated is None:
            raise Forbidden("purpose_required", "state the purpose of this call in the header Paxtrail-Purpose")
        if (
            stated not in role.purposes
            or (rule.purposes and stated not in rule.purposes)
            or (principal.purposes and stated not in principal.purposes)
        ):
            raise Forbidden("purpose_refused", "this role may not call this route for the stated purpose")
        return Caller(
            principal=principal,
            purpose=stated,
            own_only=role.own_only,
            ways=self._ways[principal.role],
            internal=role.classes.get("internal") == "show",
            list_ways=self._list_ways[principal.role],
            small_counts=role.small_counts,
        )


def load(conf: Path) -> Access:
    """The table in `conf`/access.toml; ConfigurationError naming what is wrong in it."""
    file = conf / "access.toml"
    try:
        table = _Table.model_validate(tomllib.loads(file.read_text()))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{file}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    _check(file, table)
    return Access(table)


def _check(file: Path, table: _Table) -> None:
    scopes = {rule.scope for rule in table.routes.values() if not rule.public}
    for name, rule in table.routes.items():
        if rule.public == bool(rule.scope):
            raise ConfigurationError(f"{file}: route {name} needs a scope, or public = true, and not both")
        if unknown := set(rule.purposes) - set(table.purposes):
            raise ConfigurationError(f"{file}: route {name}: unknown purpose {sorted(unknown)[0]}")
    for name, role in table.roles.items():
        for what, unknown in (
            ("purpose", set(role.purposes) - set(table.purposes)),
            ("scope", set(role.scopes) - scopes),
            ("class", set(role.classes) - set(CLASSES)),
        ):
            if unknown:
                raise ConfigurationError(f"{file}: role {name}: unknown {what} {sorted(unknown)[0]}")
