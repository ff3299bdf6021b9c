"""How trainings are followed: one bar over all of them in a terminal, a line a minute where there is none, a line an epoch."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from harness.cli.options import stderr, told
from harness.run.report import duration
from harness.training.dynamics import Epoch
from harness.training.pace import Work
from harness.training.standing import Observer, Standing
from zoo.faults import escaped

BLINK, MINUTE = 0.5, 60.0
"""Seconds between two looks at the bar, and between two lines of a log."""


class Following(Observer):
    """Tells of trainings that come one after the other; `bar` is None where there is no terminal."""

    def __init__(
        self,
        bar: Progress | None = None,
        tell: Callable[[str], None] = told,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bar, self._tell, self._clock = bar, tell, clock
        self._task: TaskID | None = None
        self._name, self._earlier, self._later = "", 0.0, ()  # type: tuple[str, float, tuple[Work, ...]]
        self._shown = -MINUTE
        self._one: Work | None = None

    def next(self, name: str, later: Sequence[Work] = ()) -> None:
        """The name of the training that begins now, and the work of those that come after it."""
        if self._one is not None:
            self._earlier += self._one.passes
        self._name, self._later, self._one = name, tuple(later), None

    def begins(self, standing: Standing) -> None:
        self._one = standing.pace.work
        self._shown = self._clock()
        self._draw(standing, "")

    def stepped(self, standing: Standing) -> None:
        now = self._clock()
        if now - self._shown < (BLINK if self._bar is not None else MINUTE):
            return
        self._shown = now
        if self._bar is not None:
            self._draw(standing, _figures(standing))
        else:
            self._tell(f"{self._where(standing)}  {_figures(standing)}  {self._left(standing)}".rstrip())

    def evaluates(self, standing: Standing) -> None:
        self._draw(standing, f"{_figures(standing)}, evaluating")

    def followed(self, epoch: Epoch, rows: Sequence[Mapping[str, Any]], standing: Standing) -> None:
        name = f"{self._name}  " if self._name else ""
        self._tell(f"{name}{epoch.line}  {self._left(standing)}".rstrip())
        self._shown = self._clock()
        self._draw(standing, "")

    def _draw(self, standing: Standing, figures: str) -> None:
        if self._bar is None:
            return
        whole = self._earlier + standing.pace.work.passes + sum(work.passes for work in self._later)
        done = self._earlier + standing.pace.done * standing.pace.work.passes
        words = escape(escaped(f"{self._where(standing)}  {figures}".rstrip()))
        if self._task is None:
            self._task = self._bar.add_task(words, total=whole, completed=done, left="")
        self._bar.update(self._task, total=whole, completed=done, description=words, left=self._left(standing))

    def _where(self, standing: Standing) -> str:
        epoch = min(standing.epoch, standing.epochs)
        at = f"epoch {epoch}/{standing.epochs}, step {standing.step}/{standing.steps}"
        return f"{self._name}  {at}" if self._name else at

    def _left(self, standing: Standing) -> str:
        """The time that is left for this training and those after it; empty where it is not known, or nothing is left."""
        pace = standing.pace
        parts = [pace.left, *(pace.of(work) for work in self._later)]
        seconds = sum(part for part in parts if part is not None)
        return f"about {duration(seconds)} left" if seconds and None not in parts else ""


def _figures(standing: Standing) -> str:
    figures = standing.figures
    return f"loss {figures[0]:.4f}, {figures[1]:.1%} right in training" if figures is not None else ""


@contextmanager
def following_training(speaks: bool = True) -> Iterator[Following]:
    """What follows trainings, to be told of each; of several processes one speaks."""
    if not speaks or not stderr.is_terminal:
        yield Following(tell=told if speaks else lambda line: None)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    with Progress(*columns, console=stderr, transient=True) as bar:
        yield Following(bar)


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM has come: a training saves where it stands then, and ends."""
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        yield stop.is_set
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupted(speaks: bool = True) -> int:
    """What is said when a training has saved and stopped; the exit status."""
    if speaks:
        told("asked to stop: saved; run the same command again to go on")
    return 128 + signal.SIGTERM
