"""The demo stays up until Ctrl-C or SIGTERM, as a process; then its stack is taken down, here one that only says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import tenacity

PROGRAM = """
import signal
from types import SimpleNamespace

from paxtrail.demo import run


def demonstrate(settings, screen, choices, stay):
    with run.stack(settings, screen):
        if stay:
            stay()
    return SimpleNamespace(summary=lambda: {"received": 1}, good=True)


def take_down(settings, names):
    ignored = {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} == {signal.SIG_IGN}
    return ["everything", "undisturbed" if ignored else "disturbed"]


run.demonstrate, run.take_down = demonstrate, take_down
run.bring_up = lambda settings, groups: ()

from paxtrail.cli.demo import demo

demo()
"""


@contextmanager
def staying(home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *options],
        env={**os.environ, "PAXTRAIL_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def waits(program: subprocess.Popen[str]) -> None:
    """Returns once the program has said that it stays and does nothing any more."""
    assert program.stdout is not None
    assert any("Ctrl-C stops the demo" in line for line in program.stdout)
    tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda status: status != psutil.STATUS_SLEEPING),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(30),
    )(psutil.Process(program.pid).status)


def test_ctrl_c_takes_the_stack_down_and_ends_with_the_summary(tmp_path: Path) -> None:
    with staying(tmp_path) as program:
        waits(program)
        program.send_signal(signal.SIGINT)
        said, complained = program.communicate(timeout=60)
    assert program.returncode == 0, complained
    assert "stopped everything, undisturbed" in said
    assert json.loads(said.splitlines()[-1]) == {"received": 1}


def test_a_request_to_end_takes_the_stack_down_too(tmp_path: Path) -> None:
    with staying(tmp_path) as program:
        waits(program)
        program.terminate()
        said, complained = program.communicate(timeout=60)
    assert program.returncode == 130, complained
    assert "stopped everything, undisturbed" in said


def test_told_to_end_it_does_not_stay(tmp_path: Path) -> None:
    with staying(tmp_path, "--exit") as program:
        said, complained = program.communicate(timeout=60)
    assert program.returncode == 0, complained
    assert "Ctrl-C" not in said
    assert "stopped everything" in said
