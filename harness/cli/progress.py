"""How a run is followed: bars with the time left in a terminal, a line a minute where there is none."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from harness.cli.options import stderr, told
from harness.run.executors.executor import Done
from harness.run.forecast import Forecast, forecast
from harness.run.plan import Plan, Task
from harness.run.progress import News
from harness.run.report import headway, work
from harness.run.selection import Faults
from zoo.faults import escaped

EVERY = 60.0
"""Seconds between two lines where there is no terminal."""

_REFRESHED = 0.5
"""Seconds between two looks at the bars."""

_SHOWN = 8
"""Jobs in flight that have a line of their own."""


class Display:
    """Shows how far a forecast's work is: bars that move, or a line every so often. `title` says of what."""

    def __init__(self, title: str, forecast: Forecast) -> None:
        self.forecast, self._title = forecast, title
        self._lock, self._over = threading.Lock(), threading.Event()
        self._begun = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"),
            console=stderr, transient=True, disable=not stderr.is_terminal,
        )  # fmt: skip
        self._lines: list[TaskID] = []

    def heard(self, news: News) -> None:
        """Take in what the run tells of itself."""
        with self._lock:
            self.forecast(news)

    def ended(self, entrant: str, measure: str, done: Done) -> None:
        """A task has ended, well or not."""
        with self._lock:
            self.forecast.end(entrant, measure, done.task.start)
            if done.fault is not None and done.fault.whole_entrant:
                self.forecast.drop(entrant)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it within the block; a thread does, for work in this process leaves no other time."""
        every = _REFRESHED if stderr.is_terminal else EVERY
        thread = threading.Thread(target=self._show, args=(every,), daemon=True)
        with self._bars:
            thread.start()
            try:
                yield
            finally:
                self._over.set()
                thread.join()

    def _show(self, every: float) -> None:
        while not self._over.wait(every):
            with self._lock:
                seconds = time.monotonic() - self._begun
                line = headway(self.forecast, seconds)
                jobs = [(work(one), one.done, max(one.total, 1.0)) for one in self.forecast.flying[:_SHOWN]]
                part = self.forecast.done / max(self.forecast.examples, 1)
            if not stderr.is_terminal:
                told(f"{self._title}: {line}")
                continue
            rows = [
                (self._title, part, 1.0, headway(self.forecast, seconds, short=True)),
                *((*job, "") for job in jobs),
            ]
            while len(self._lines) < len(rows):
                self._lines.append(self._bars.add_task("", total=1.0, said=""))
            for number, place in enumerate(self._lines):
                if number >= len(rows):
                    self._bars.update(place, visible=False)
                    continue
                name, done, total, said = rows[number]
                self._bars.update(
                    place, description=escape(escaped(name)), completed=done / total, visible=True, said=escape(said)
                )


class Following:
    """Called as each task ends; faults are told as they come, with where they arose under --debug."""

    def __init__(self, plan: Plan, todo: Sequence[Task], faults: Faults) -> None:
        self._plan, self._faults = plan, faults
        self.display = Display(plan.suite.name, forecast(plan))
        self.heard = self.display.heard
        self._debug = "--debug" in sys.argv
        self._left: dict[tuple[int, str], int] = {}
        for task in todo:
            key = task.judged, task.measure.name
            self._left[key] = self._left.get(key, 0) + 1
        self._lost: set[int] = set()  # entrants that do not load: two workers may find out, one line tells

    def __call__(self, done: Done) -> None:
        key = done.task.judged, done.task.measure.name
        name = self._plan.judged[done.task.judged].name
        self.display.ended(name, key[1], done)
        if done.fault is None:
            # a bounded answer that is completed brings tasks that were not planned
            self._left[key] = self._left.get(key, 0) - 1
            if self._left[key] == 0:
                told(f"measured {name}: {key[1]}")
            return
        if done.fault.loading:
            if done.task.judged in self._lost:
                return
            self._lost.add(done.task.judged)
        who = name if done.fault.loading else f"{name}, {key[1]} {done.task.start}-{done.task.stop}"
        self._faults.add(who, done.fault.message, bad_input=done.fault.bad_input)
        if self._debug:
            told(done.fault.trace)


@contextmanager
def following(plan: Plan, todo: Sequence[Task], faults: Faults) -> Iterator[Following]:
    """What follows a run: it is called as each task ends, and hears how far the others are."""
    found = Following(plan, todo, faults)
    with found.display.shown():
        yield found
