"""`paxtrail up`, `status`, `down` as a person runs them: on a home and ports of their own, with real servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from paxtrail.settings import ROOT, Settings
from paxtrail.stack import places
from paxtrail.stack.processes import await_ready, free_ports, free_row
from paxtrail.stack.supervision import Supervisor

Run = Callable[..., subprocess.CompletedProcess[str]]


def _copy(home: Path) -> Run:
    base = str(free_row(places.PORTS))

    def run(*arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        options = ["--home", str(home), *(["--port-base", base] if arguments[0] == "up" else [])]
        command = [sys.executable, "-m", "paxtrail.cli.main", *options, *arguments]
        # A private cache would fetch the jars again; everything else of the developer's own copy stays out.
        environment = {**{k: v for k, v in os.environ.items() if not k.startswith("PAXTRAIL_")}, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    return run


def _parts(run: Run) -> dict[str, dict[str, Any]]:
    return {part["part"]: part for part in json.loads(run("status", "--json", fails=True).stdout)["parts"]}  # fails: no stream here


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="paxtrail-stack-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "home"


@pytest.fixture(scope="module")
def run(home: Path) -> Iterator[Run]:
    """The command on a copy whose PostgreSQL, Kafka and topics are up; whatever a test leaves is stopped."""
    command = _copy(home)
    command("up", "postgres", "kafka", "topics")
    yield command
    command("down")


def test_parts_are_healthy_once_up_returns(run: Run) -> None:
    parts = _parts(run)
    assert {name for name, part in parts.items() if part["healthy"]} == {"postgres", "kafka", "topics"}
    assert parts["postgres"]["memory_bytes"] > 10_000_000
    assert parts["stream"]["problem"] == "is not running"


def test_up_leaves_alone_what_runs(run: Run) -> None:
    before = _parts(run)
    run("up", "postgres", "kafka")
    after = _parts(run)
    assert [after[name]["pid"] for name in ("postgres", "kafka")] == [before[name]["pid"] for name in ("postgres", "kafka")]


@pytest.mark.parametrize("part", ["postgres", "kafka"])
def test_a_killed_part_comes_back_by_itself(run: Run, part: str) -> None:
    pid = _parts(run)[part]["pid"]
    os.kill(pid, signal.SIGKILL)

    def problem() -> str:
        now = _parts(run)[part]
        return "" if now["healthy"] and now["pid"] != pid else f"not back: {now}"

    await_ready(problem, seconds=90)


def test_a_second_copy_runs_beside_the_first_and_its_down_stops_it_only(run: Run, home: Path) -> None:
    second_home = home.parent / "second"
    second = _copy(second_home)
    first_pid = _parts(run)["postgres"]["pid"]
    try:
        second("up", "postgres", "kafka")
        assert _parts(second)["kafka"]["healthy"]
        pids = [part["pid"] for part in _parts(second).values() if part["pid"]]
        assert len(pids) == 2
    finally:
        second("down")
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert _parts(run)["postgres"]["pid"] == first_pid
    assert _parts(run)["kafka"]["healthy"]


def test_parts_whose_supervisor_was_killed_are_taken_over(tmp_path_factory: pytest.TempPathFactory) -> None:
    with tempfile.TemporaryDirectory(prefix="paxtrail-stack-") as folder:
        Path(folder).chmod(0o711)
        own_home = Path(folder) / "home"
        command = _copy(own_home)
        try:
            command("up", "postgres")
            orphan = _parts(command)["postgres"]["pid"]
            supervisor = psutil.Process(int((own_home / "run" / "supervisord.pid").read_text()))
            supervisor.kill()
            supervisor.wait(10)
            assert psutil.pid_exists(orphan)
            command("up", "postgres")
            assert _parts(command)["postgres"]["pid"] != orphan
            assert not psutil.pid_exists(orphan)
        finally:
            command("down")


def test_a_port_that_is_taken_is_named(home: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="paxtrail-stack-") as folder, socket.socket() as taken:
        Path(folder).chmod(0o711)
        base = free_row(places.PORTS)
        taken.bind(("127.0.0.1", base + 2))
        taken.listen()
        command = [sys.executable, "-m", "paxtrail.cli.main", "--home", folder, "--port-base", str(base)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run([*command, "up", "postgres"], capture_output=True, text=True, check=False, env=environment)
        subprocess.run([*command, "down"], capture_output=True, check=True, env=environment)
    assert done.returncode == 1
    assert f"port {base + 2} is taken" in done.stderr


def test_a_long_home_gets_a_socket_that_is_short_enough(settings: Settings) -> None:
    long = settings.model_copy(update={"home": Path("/tmp") / ("x" * 100)})
    assert len(os.fsencode(Supervisor(long).socket)) <= 90
    assert Supervisor(long).socket != Supervisor(settings).socket


def test_a_free_port_is_none_that_a_client_could_be_given() -> None:
    first, _ = (int(n) for n in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = free_ports(500)
    assert len(set(ports)) == 500
    assert max(ports) < first
