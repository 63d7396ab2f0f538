"""The streams of two lanes as they are run, on real topics: at the same time, killed, and with a source that moves between them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.kill.test_kills import sent_to
from tests.parity.truth import Truth

from paxtrail.adapters.lanes import tables
from paxtrail.core.sources import SOURCES
from paxtrail.settings import ROOT, Settings
from paxtrail.simulator.messages import Message
from paxtrail.simulator.noise import Noise
from paxtrail.simulator.replay import producer, replay
from paxtrail.simulator.simulation import Simulation
from paxtrail.simulator.world import Options
from paxtrail.stack.places import environment
from paxtrail.tables import bronze

OTHERS = tuple(source for source in SOURCES if source not in ("flights", "checkin", "baggage"))
BEFORE = {"operations": ("flights", "checkin", "baggage"), "customer": OTHERS}
AFTER = {"operations": ("flights", "checkin"), "customer": (*OTHERS, "baggage")}


def configured(settings: Settings, folder: Path, lanes: Mapping[str, tuple[str, ...]]) -> Settings:
    """The settings, and a folder that other programs load them from."""
    shutil.copytree(ROOT / "conf", folder)
    head, _, rest = (folder / "local.toml").read_text().partition("[lanes]")
    own = "\n".join(f"{lane} = {list(sources)}" for lane, sources in lanes.items())
    (folder / "local.toml").write_text(f"{head}[lanes]\n{own}\n\n[{rest.partition(chr(10) + '[')[2]}")
    return settings.model_copy(update={"conf": folder, "lanes": lanes})


def send(settings: Settings, messages: list[Message]) -> None:
    replay(messages, producer(settings.kafka.brokers))


def run(settings: Settings, **variables: str) -> dict[str, int]:
    """Exit status of each lane's stream, all run at once until nothing is left."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    started = {}
    for lane in settings.lanes:
        with (settings.logs / f"{lane}.log").open("ab") as log:
            command = [sys.executable, str(ROOT / "streaming" / "events.py"), "--lane", lane, "--once"]
            started[lane] = subprocess.Popen(command, env={**os.environ, **environment(settings), **variables}, stdout=log, stderr=log)
    return {lane: process.wait() for lane, process in started.items()}


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_a_source_moves_between_streams_and_each_record_counts_once(clean_postgres: Settings, kafka: Settings, tmp_path: Path) -> None:
    world = clean_postgres.model_copy(update={"kafka": kafka.kafka})
    options = Options(end_us=int(time.time() * 1e6), seed=31, limit=2, passengers=3, history_days=3)
    messages = list(Simulation(options, Noise(duplicates=0.1, conflicts=0.03, disorder=0.3, late=0.1, broken=0.05)).messages())
    half = len(messages) // 2
    before = configured(world, tmp_path / "before", BEFORE)
    send(before, messages[:half])
    # One of the two dies between Delta and PostgreSQL; its micro-batch, bags among it, stays unfinished while the bags move.
    assert sorted(run(before, PAXTRAIL_STREAM__FAILPOINT="after_append").values()) == [-9, 0]
    after = configured(world, tmp_path / "after", AFTER)
    send(after, messages[half:])
    assert run(after) == {"operations": 0, "customer": 0}
    Truth(after, sent_to(world)).check()
    assert tables(bronze.EVENTS, after).keys() == {"operations", "customer"}
