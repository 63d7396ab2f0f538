"""A repaired decoder and journeys' outcomes, on real messages through the real door, Delta and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from pyspark.sql import SparkSession
from tests.lane import Sent, cloud_event
from tests.ml.made import labelled
from tests.parity.stories import Story, history
from tests.serving.world import account, contact, passenger, reservation

from paxtrail.adapters import batch, lake, reprocessing
from paxtrail.adapters.cuts import cut_of
from paxtrail.adapters.scoring import release, written
from paxtrail.adapters.silver import Job
from paxtrail.cli.main import main
from paxtrail.core import decoding, identity, outcomes, views
from paxtrail.core.folds import view
from paxtrail.core.records import Draft, Entity, Envelope, Identifier, Relation
from paxtrail.core.sources import Decoder, decoder
from paxtrail.ml.labelled import Labelled
from paxtrail.ml.training import train
from paxtrail.settings import Settings
from paxtrail.stack.places import environment
from paxtrail.tables.contracts import Table
from paxtrail.tables.silver import EDGES, LINKS, RELATIONS


@pytest.fixture
def story(clean_postgres: Settings, spark: SparkSession) -> Iterator[Story]:
    told = Story(clean_postgres, spark, seed=11)
    yield told
    told.close()


def repaired(source: str) -> Decoder:
    """The decoder of loyalty as if it had read tiers wrongly until now."""
    real = decoder(source)
    if source != "loyalty":
        return real

    def decode(envelope: Envelope, body: bytes) -> list[Draft]:
        return [_with_better_tier(draft) for draft in real.decode(envelope, body)]

    return replace(real, decode=decode)


def _with_better_tier(draft: Draft) -> Draft:
    tier = draft.facts.get("tier")
    return replace(draft, facts=draft.facts | {"tier": f"{tier}!"}) if tier else draft


def reprocess(story: Story, source: str) -> dict[str, int]:
    """What `paxtrail reprocess` prints, run with the session of the tests."""

    @contextmanager
    def session(settings: Settings, _: str) -> Iterator[SparkSession]:
        with lake.batch_locked(settings):
            yield story.spark

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(story.settings).items():
            patch.setenv(name, value)
        patch.setattr(reprocessing, "batch_session", session)
        result = CliRunner().invoke(main, ["reprocess", "--source", source])
    assert result.exit_code == 0, result.output
    counts: dict[str, int] = json.loads(result.stdout)
    return counts


def test_what_a_faulty_decoder_wrote_heals_at_the_next_cut(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    told = history(11, flights=1)
    story.tell(told[: len(told) // 2])
    assert story.run_batch(full=True)["drifted"] == 0
    story.tell(told[len(told) // 2 :])
    assert reprocess(story, "loyalty")["revised"] == 0
    monkeypatch.setattr(decoding, "decoder", repaired)
    counts = reprocess(story, "loyalty")
    assert counts["revised"] > 0
    assert (counts["refused"], counts["unreadable"]) == (0, 0)
    published = story.run_batch(full=False)
    assert published["drifted"] == 0
    assert published["healed"] > 0
    story.truth.check(revised=True)
    assert reprocess(story, "loyalty")["revised"] == 0
    assert story.run_batch(full=False)["healed"] == 0


def with_other_memberships(source: str) -> Decoder:
    """The decoder of reservations as if it had read membership numbers wrongly until now."""
    real = decoder(source)
    if source != "reservations":
        return real

    def decode(envelope: Envelope, body: bytes) -> list[Draft]:
        return [_of_other_members(draft) for draft in real.decode(envelope, body)]

    return replace(real, decode=decode)


def _of_other_members(draft: Draft) -> Draft:
    def read(one: Identifier) -> Identifier:
        return Identifier("loyalty", one.value + "9") if one.namespace == "loyalty" else one

    def end(entity: Entity) -> Entity:
        return entity if isinstance(entity.key, str) else Entity(entity.kind, read(entity.key))

    return replace(
        draft,
        owner=read(draft.owner),
        subject=draft.subject and read(draft.subject),
        identifiers=tuple(read(one) for one in draft.identifiers),
        entities=tuple(end(entity) for entity in draft.entities),
        relations=tuple(Relation(end(r.origin), r.kind, end(r.target)) for r in draft.relations),
    )


def silver_keys(story: Story, table: Table) -> set[tuple[str, ...]]:
    names = [name for name in table.names if name != "epoch"]
    rows = story.lane.spark.read.format("delta").load(table.path(story.settings.lake)).select(*names).collect()
    return {tuple(row) for row in rows}


def test_links_and_relations_that_only_a_faulty_decoder_said_go_at_the_next_publication(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = history(11, flights=1)
    story.tell(told[: len(told) // 2])
    assert story.run_batch(full=True)["drifted"] == 0
    story.tell(told[len(told) // 2 :])
    before = len(set(dict(story.truth.sql("select token, customer_id from links")).values()))
    monkeypatch.setattr(decoding, "decoder", with_other_memberships)
    assert reprocess(story, "reservations")["revised"] > 0
    published = story.run_batch(full=False)
    assert published["drifted"] == 0
    assert all(published["by"][name]["healed"] > 0 for name in ("edges", "relations"))
    story.truth.check(revised=True)  # every relation and every link, as the repaired decoder's history gives them, and none besides
    assert len(set(dict(story.truth.sql("select token, customer_id from links")).values())) > before
    tables = (EDGES, LINKS, RELATIONS)
    silver = [silver_keys(story, table) for table in tables]
    assert set(story.truth.sql("select a_namespace, a, b_namespace, b from edges")) == silver[0]
    again = story.run_batch(full=True)
    assert (again["healed"], again["drifted"]) == (0, 0)
    assert [silver_keys(story, table) for table in tables] == silver
    story.truth.check(revised=True)


@pytest.mark.proof
def test_an_edge_that_the_stream_sees_again_after_the_cut_stays(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def booked(version: int, locator: str, number: str) -> Sent:
        john = passenger(1, "LINKSON", locator, loyalty={"airline": "UA", "number": number})
        body = json.dumps(reservation(locator, version=version, passengers=[john])).encode()
        return cloud_event("reservations", f"{locator}-{version}", body, arrival=1_799_000_000_000_000 + version)

    first = [booked(1, "LNKAAA", "AB123456"), booked(1, "LNKBBB", "CD654321")]
    accounts = [json.dumps(account(number)).encode() for number in ("AB123456", "CD654321")]
    story.tell([*first, *(cloud_event("loyalty", f"links-{n}", a, arrival=1_799_000_000_000_000) for n, a in enumerate(accounts))])
    story.run_batch(full=True)
    edges = set(story.truth.sql("select a, b from edges"))
    assert len(edges) == 2
    monkeypatch.setattr(decoding, "decoder", with_other_memberships)
    assert reprocess(story, "reservations")["revised"] == 2
    story.run_batch(full=False, publish=False)
    story.tell([booked(2, "LNKAAA", "AB123456")])  # the stream's workers still read what was thought wrong
    seen_again = {(a, b) for a, b, epoch in story.truth.sql("select a, b, epoch from edges") if epoch == 3}
    assert len(seen_again) == 1
    for _ in range(2):
        published = story.publish(story.runs[-1]) if len(story.runs) == 2 else story.run_batch(full=True)
        assert published["drifted"] == 0
        served = story.truth.sql("select a_namespace, a, b_namespace, b from edges")
        assert {(a, b) for _, a, _, b in served} & edges == seen_again
        # By the rule: the passenger whom two memberships claim is nobody's, the other one is the repaired membership's.
        links = dict(story.truth.sql("select token, customer_id from links"))
        assert {token: links[token] for edge in served for token in (edge[1], edge[3])} == identity.customers(served)
        assert len(served) == 3
        story.runs.append("again")


TONES = {"my bag zorbed again": "negative", "the seat is gated": "neutral", "our crew floofed": "positive"}
"""Texts whose tone only the trained model knows."""
TURNED = {"negative": "positive", "neutral": "neutral", "positive": "negative"}


def heard(story: Story) -> dict[str, tuple[str, str]]:
    """What profiles say of each contact: label and model."""
    profiles = [view(story.truth.tables["profile"], state) for (kind, _), state in story.truth.served().items() if kind == "profile"]
    told = [one["value"] for profile in profiles for one in profile.get("contacts", ())]
    return {one["contact"]: (one["sentiment"], one["model"]) for one in told}


def test_stream_and_batch_serve_what_a_trained_champion_said_and_reprocess_asks_the_next_one(
    clean_postgres: Settings, spark: SparkSession
) -> None:
    folder = clean_postgres.home / "models"
    models = clean_postgres.models.model_copy(update={"folder": folder})
    story = Story(clean_postgres.model_copy(update={"models": models}), spark, seed=11)
    data = labelled(300)

    def calls(*texts: str, after: int = 0) -> list[Sent]:
        bodies = [json.dumps(contact(name=f"C-{n}", text=text)[1]).encode() for n, text in enumerate(texts, after)]
        return [cloud_event("contacts", f"champion-{n}", b, arrival=1_799_000_000_000_000 + n) for n, b in enumerate(bodies, after)]

    with closing(story):
        story.tell(calls("my bag zorbed", after=9))
        assert heard(story) == {"C-9": ("neutral", "lexicon/1")}
        release(folder, "sentiment/2", written(train(data)))
        story.tell(calls(*TONES))
        first = {"C-9": ("neutral", "lexicon/1"), **{f"C-{n}": (tone, "sentiment/2") for n, tone in enumerate(TONES.values())}}
        assert heard(story) == first
        assert story.run_batch(full=True)["drifted"] == 0
        assert heard(story) == first

        release(folder, "sentiment/3", written(train(Labelled(data.texts, [TURNED[label] for label in data.labels]))))
        story.tell(calls("my crew zorbed", after=5))
        second = {**first, "C-5": ("positive", "sentiment/3")}
        assert heard(story) == second
        counts = reprocess(story, "contacts")
        assert (counts["revised"], counts["unchanged"]) == (4, 1)
        assert heard(story) == second  # effective at the next cut
        published = story.run_batch(full=False)
        assert published["drifted"] == 0 and published["healed"] > 0
        tones = {"C-9": "negative", "C-5": "negative", **{f"C-{n}": tone for n, tone in enumerate(TONES.values())}}
        assert heard(story) == {name: (TURNED[tone], "sentiment/3") for name, tone in tones.items()}
        story.truth.check()  # as if the newest champion had scored all of it
        assert reprocess(story, "contacts")["revised"] == 0


def test_every_source_decodes_again_to_what_it_was(story: Story) -> None:
    story.tell(history(12))
    for source in ("flights", "baggage", "reservations", "checkin", "loyalty", "booking", "contacts"):
        counts = reprocess(story, source)
        assert counts["records"] > 0, source
        assert counts["unchanged"] == counts["records"], source


def test_outcomes_of_the_batch_are_those_a_read_would_give(story: Story) -> None:
    story.tell(history(13, flights=2))
    cut_time = 1_800_000_000_000_000
    batch.cut_open(story.settings, "a", cut_time=cut_time)
    batch.make(Job(story.settings, story.lane.spark, story.serving, cut_of(story.serving, "a")))
    assert batch.publish(story.settings, "a")["drifted"] == 0
    tables, states = story.truth.tables, story.truth.served()
    documents = {at: views.document(*at, state, tables[at[0]]) for at, state in states.items() if at[0] != "profile"}
    relations = story.truth.sql("select from_kind, from_key, kind, to_kind, to_key from relations order by to_key")
    expected: dict[str, Any] = {}
    for key in sorted(key for kind, key in documents if kind == "journey"):
        journey = documents["journey", key]
        mine = [(k, to) for a, b, kind, k, to in relations if (a, b) == ("journey", key) and kind in ("on", "carries")]
        parts = [at for at in mine if at in documents]
        flights = {to: documents[k, to] for k, to in parts if k == "flight"}
        flight = flights.get(str(journey.get("leg"))) or next(iter(flights.values()), None)
        outcome = outcomes.outcome(journey, flight, [documents[at] for at in parts if at[0] == "bag"], as_of=cut_time)
        if outcome is not None:
            expected[key] = outcome
    served = {key: orjson.loads(text) for key, text in story.truth.sql("select key, state from states where entity = 'outcome'")}
    travels = {(a, to) for kind, a, b, _, to in ((r[2], r[1], r[0], r[3], r[4]) for r in relations) if (b, kind) == ("profile", "travels")}
    assert len(expected) > 0
    assert served == {key: {"profiles": sorted(a for a, to in travels if to == key), **outcome} for key, outcome in expected.items()}
    histories = {key: orjson.loads(text) for key, text in story.truth.sql("select key, state from states where entity = 'history'")}
    persons = {a for a, to in travels if to in expected}
    assert histories == {p: outcomes.history(expected[to] for a, to in travels if a == p and to in expected) for p in persons}
