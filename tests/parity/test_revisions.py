"""A repaired decoder and journeys' outcomes, on real messages through the real door, Delta and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import orjson
import pytest
from pyspark.sql import SparkSession
from tests.parity.stories import Story, history

from paxtrail.adapters import batch, configuration, keyring
from paxtrail.adapters.cuts import cut_of
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.reprocessing import Reprocessing
from paxtrail.adapters.silver import Job
from paxtrail.adapters.vault import Vault
from paxtrail.core import decoding, outcomes, views
from paxtrail.core.records import Draft, Envelope
from paxtrail.core.sources import Decoder, decoder
from paxtrail.settings import Settings


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


def reprocess(story: Story, source: str, **wanted: Any) -> dict[str, int]:
    with closing(Vault(dsn(story.settings, "vault", "stream"), keyring.load(story.settings))) as vault:
        work = Reprocessing(story.settings, story.lane.spark, story.serving, vault, configuration.schemas(story.settings.conf))
        return work.run(source, **wanted)


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
    story.truth.check()
    assert reprocess(story, "loyalty")["revised"] == 0
    assert story.run_batch(full=False)["healed"] == 0


def test_every_source_decodes_again_to_what_it_was(story: Story) -> None:
    story.tell(history(12, flights=1))
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
