"""Everything the serving store answers, in the words of the expected answer: states rendered and histories united as the API does."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from functools import cached_property
from typing import Any

import orjson
import psycopg

from paxtrail.adapters import configuration, keyring
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.rejects import rejects
from paxtrail.adapters.vault import Vault
from paxtrail.core import folds, outcomes, views
from paxtrail.core.records import Identifier, Json
from paxtrail.core.sealing import is_sealed, open_, parts
from paxtrail.settings import Settings

Document = dict[str, Json]


def identifier(text: str) -> Identifier:
    """The identifier that the simulator writes as `namespace:value`."""
    namespace, _, value = text.partition(":")
    return Identifier(namespace, value)


class Served:
    """One reading of the serving store at `as_of` (µs UTC), with the role of the API; nothing is written."""

    def __init__(self, settings: Settings, as_of: int) -> None:
        self._settings = settings
        self._as_of = as_of
        self._tables = configuration.attributes(settings.conf)
        self._connection = psycopg.connect(dsn(settings, "serving", "api"), autocommit=True)
        # All of it is read out of one snapshot.
        self._connection.execute("begin isolation level repeatable read read only")

    def close(self) -> None:
        self._connection.close()

    def _rows(self, statement: str, *arguments: object) -> Iterator[tuple[Any, ...]]:
        with self._connection.cursor(name="served") as cursor:
            cursor.itersize = 5000
            yield from cursor.execute(statement, arguments)

    # -- the ledger ---------------------------------------------------------------------------------------------------------

    def ledger(self) -> dict[str, dict[str, Any]]:
        """By source: received, accepted, duplicates, conflicts among them, refused by code (from bronze.rejects)."""
        codes = Counter((reject.source, reject.code) for reject in rejects(self._settings))
        statement = "select source, sum(received), sum(accepted), sum(duplicates), sum(refused) from ledger group by 1 order by 1"
        found: dict[str, dict[str, Any]] = {}
        for source, received, accepted, duplicates, refused in self._rows(statement):
            by_code = {code: n for (of, code), n in sorted(codes.items()) if of == source and code != "conflict"}
            found[source] = {
                "received": int(received),
                "accepted": int(accepted),
                "duplicates": int(duplicates),
                "conflicts": codes[source, "conflict"],
                "refused": by_code,
                "refused_records": int(refused),
            }
        return found

    # -- entities -----------------------------------------------------------------------------------------------------------

    def _states(self, entity: str) -> Iterator[tuple[str, dict[str, Json]]]:
        statement = "select key, array_agg(state order by epoch) from states where entity = %s group by key"
        for key, states in self._rows(statement, entity):
            yield key, folds.unite(self._tables[entity], [orjson.loads(state) for state in states])

    def _documents(self, entity: str) -> dict[str, Document]:
        return {key: views.document(entity, key, state, self._tables[entity]) for key, state in self._states(entity)}

    @cached_property
    def flights(self) -> dict[str, Document]:
        """Documents of all flights by leg key."""
        return self._documents("flight")

    @cached_property
    def bags(self) -> dict[str, Document]:
        """Documents of all bags by tag."""
        return self._documents("bag")

    @cached_property
    def journeys(self) -> dict[str, Document]:
        """Documents of all journeys by key."""
        return self._documents("journey")

    @cached_property
    def orders(self) -> set[str]:
        """Keys of all orders."""
        return {key for (key,) in self._rows("select distinct key from states where entity = 'order'")}

    # -- customers ----------------------------------------------------------------------------------------------------------

    @cached_property
    def links(self) -> dict[str, str]:
        """Customer id of every token."""
        return dict(self._rows("select token, customer_id from links"))

    @cached_property
    def _relations(self) -> dict[tuple[str, str], set[str]]:
        found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        statement = "select from_key, kind, to_key from relations where kind in ('travels', 'carries', 'on', 'party_to')"
        for from_key, kind, to_key in self._rows(statement):
            found[kind, from_key].add(to_key)
        return dict(found)

    def related(self, kind: str, key: str) -> set[str]:
        """Keys that `key` has this relation to."""
        return self._relations.get((kind, key), set())

    @cached_property
    def _concluded(self) -> dict[str, Json]:
        statement = "select key, state from states where entity = 'outcome' and epoch = 0"
        return {key: found for key, text in self._rows(statement) if (found := orjson.loads(text))}

    @cached_property
    def _histories(self) -> dict[str, Json]:
        return {key: orjson.loads(text) for key, text in self._rows("select key, state from states where entity = 'history' and epoch = 0")}

    def outcome(self, key: str) -> Json:
        """What became of a journey: as published, else by the same function from the documents of now; None while it is open."""
        if (published := self._concluded.get(key)) is not None:
            return published
        journey = self.journeys[key]
        legs = [self.flights[leg] for leg in sorted(self.related("on", key)) if leg in self.flights]
        flight = next((one for one in legs if one["key"] == journey.get("leg")), legs[0] if legs else None)
        bags = [self.bags[tag] for tag in sorted(self.related("carries", key)) if tag in self.bags]
        return outcomes.outcome(journey, flight, bags, as_of=self._as_of)

    @cached_property
    def customers(self) -> dict[str, Document]:
        """By customer id: the document, with the outcomes of its journeys and the total of its history, as a 360 view has them."""
        tokens: defaultdict[str, list[str]] = defaultdict(list)
        for token, customer in self.links.items():
            tokens[customer].append(token)
        states = dict(self._states("profile"))
        return {customer: self._customer(customer, of, states) for customer, of in tokens.items()}

    def _customer(self, customer: str, tokens: Iterable[str], states: Mapping[str, Mapping[str, Json]]) -> Document:
        own = sorted(tokens)
        journeys = sorted(set().union(*(self.related("travels", token) for token in own)))
        histories = [self._histories[token] for token in own if token in self._histories]
        document = views.customer_document(
            customer,
            {token: states[token] for token in own if token in states},
            self._tables["profile"],
            journeys=journeys,
            orders=(),
            history=histories,
        )
        concluded = {key: self.outcome(key) for key in journeys if key in self.journeys}
        since = outcomes.history(one for key, one in concluded.items() if one is not None and key not in self._concluded)
        document["linked"] = own
        document["history"] = outcomes.totals(outcomes.unite([*histories, since]))
        document["outcomes"] = sorted([self.journeys[key].get("leg"), one["result"] if one else "booked"] for key, one in concluded.items())
        return document

    # -- the vault ----------------------------------------------------------------------------------------------------------

    def tokens(self, names: Iterable[str]) -> dict[str, str]:
        """Token of each `namespace:value` that has one."""
        with closing(Vault(dsn(self._settings, "vault", "api"), keyring.load(self._settings))) as vault:
            wanted = {identifier(name): name for name in names}
            return {wanted[one]: token for one, token in vault.find(wanted).items()}

    def opened(self, texts: Iterable[Json]) -> dict[str, Json]:
        """The values of sealed texts; what is not sealed, or cannot be opened any more, is left out."""
        sealed = [text for text in texts if is_sealed(text)]
        with closing(Vault(dsn(self._settings, "vault", "api"), keyring.load(self._settings))) as vault:
            keys = vault.keys(parts(text).owner for text in sealed)
        return {text: open_(key, text) for text in sealed if (key := keys[parts(text).owner]) is not None}
