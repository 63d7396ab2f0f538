"""One server process for the length of a `with` block: started, awaited until it is of use, stopped exactly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from paxtrail.errors import Unavailable


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on now, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


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


def await_ready(problem: Callable[[], str], *, seconds: float, alive: Callable[[], bool] = lambda: True) -> None:
    """Returns once `problem` is empty; raises Unavailable with the last problem when time is up or the process has ended."""
    end = time.monotonic() + seconds
    while said := problem():
        if not alive():
            raise Unavailable(f"ended before it was ready: {said}")
        if time.monotonic() > end:
            raise Unavailable(said)
        time.sleep(0.05)


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
