"""One server process for the length of a `with` block: started, awaited until it is of use, stopped exactly."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from paxtrail.errors import Unavailable

_OWN = range(12_000, 32_000)
"""Ports that no kernel gives to a client: one that polls a port of the ephemeral range, where nobody listens yet, can be given
just that port for its own end, and then talks to itself."""


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on now, all different, none of the ephemeral range."""
    found: list[int] = []
    for port in random.sample(_OWN, len(_OWN)):
        if len(found) == count:
            return found
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    raise Unavailable(f"fewer than {count} ports of {_OWN.start}–{_OWN.stop} are free")


def free_row(count: int) -> int:
    """First of `count` ports in a row of the loopback address that nobody listens on now."""
    while True:
        (base,) = free_ports(1)
        try:
            with ExitStack() as held:
                for port in range(base, base + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return base


def await_ready(problem: Callable[[], str], *, seconds: float, every: float = 0.05, alive: Callable[[], bool] = lambda: True) -> None:
    """Returns once `problem`, asked `every` so many seconds, is empty.

    Unavailable with the last problem when time is up or the process has ended.
    """
    end = time.monotonic() + seconds
    while said := problem():
        if not alive():
            raise Unavailable(f"ended before it was ready: {said}")
        if time.monotonic() > end:
            raise Unavailable(said)
        time.sleep(every)


@contextmanager
def running(
    command: list[str],
    problem: Callable[[], str],
    *,
    log: Path,
    seconds: float = 60,
    environment: Mapping[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, ready; stopped at the end with its whole group."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    try:
        try:
            await_ready(problem, seconds=seconds, alive=lambda: process.poll() is None)
        except Unavailable as error:
            raise Unavailable(f"{Path(command[0]).name}: {error}; its log ends with:\n{log.read_text(errors='replace')[-1500:]}") from error
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
