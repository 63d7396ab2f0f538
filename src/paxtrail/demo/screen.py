"""What the demo shows while it works: a moving bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_LINE_EVERY_S = 10.0
_WIDTH = 168
"""Columns where there is no terminal: tables must not wrap in a log."""


class Screen:
    """Says things in order; at most one bar at a time."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(width=_WIDTH, highlight=False)
        self._began = time.monotonic()

    def title(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str) -> None:
        """One line, with the seconds since the start."""
        self.console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/dim]  {text}")

    def ready(self, part: str, seconds: float, where: str) -> None:
        """A part of the stack is up."""
        self.say(f"{part:11} ready after {seconds:4.1f} s   {where}")

    def show(self, what: RenderableType) -> None:
        self.console.print(what)

    @contextmanager
    def bar(self, total: int) -> Iterator[Bar]:
        """A bar up to `total`, gone when the block ends."""
        if not self.console.is_terminal:
            yield Bar(self, total)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} of {task.total:,}"), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield Bar(self, total, progress, progress.add_task("", total=total))


class Bar:
    """How far something is."""

    def __init__(self, screen: Screen, total: int, progress: Progress | None = None, task: TaskID | None = None) -> None:
        self._screen, self._total, self._progress, self._task = screen, total, progress, task
        self._next = 0.0

    def at(self, done: int, text: str) -> None:
        """So many are done; `text` says more."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, description=text)
        elif (now := time.monotonic()) >= self._next:
            self._next = now + _LINE_EVERY_S
            self._screen.say(f"{done:,} of {self._total:,} records   {text}")
