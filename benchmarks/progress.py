"""The time left that a run says beside the time that was left: python benchmarks/progress.py [--help].

Each case is a run of its own, measured into an empty folder with workers as `harness run` starts them. Every so often the
estimate is noted; when the run is over, each note is held against what was left then. The ratio is the larger of the two over
the smaller, with a sign: x1.3 says that too much was said, /1.3 too little. The last seconds are left out: who waits ten
seconds needs no estimate.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import threading
import time

if "--processor" in sys.argv:  # before anything takes a clock of its own
    time.perf_counter = time.monotonic = time.process_time

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.classifier.devices import devices
from harness.run.executors.executor import Done, executor_for
from harness.run.forecast import Forecast, Left
from harness.run.progress import News
from harness.run.selection import Faults, chosen_entrants, chosen_measures
from harness.run.session import Request, Session, begin
from harness.suites.files import find_suite

LAST = 10.0
"""Seconds before the end that are not held against an estimate."""

COLUMNS = (
    "run",
    "workers",
    "dry run says",
    "took",
    "of it after a minute",
    "said then",
    "ratio",
    "worst ratio after a minute",
)


@dataclass(frozen=True)
class Case:
    """A run: suite, entrants, measures, and how many of the examples."""

    suite: str
    entrants: str
    measures: str
    limit: int | None

    @classmethod
    def parse(cls, text: str) -> Case:
        """From `suite entrants measures limit`; `-` stands for all."""
        suite, entrants, measures, limit = shlex.split(text)
        return cls(
            suite, *("" if part == "-" else part for part in (entrants, measures)), None if limit == "-" else int(limit)
        )

    @property
    def name(self) -> str:
        who = self.entrants or "all entrants"
        return f"{self.suite}, {who}, {self.measures or 'all measures'}, {self.limit or 'all'}"


class Notes:
    """Follows a run, and notes what it says is left."""

    def __init__(self, forecast: Forecast, every: float) -> None:
        self.forecast, self.notes = forecast, list[tuple[float, Left]]()
        self._lock, self._over, self._every, self._begun = threading.Lock(), threading.Event(), every, time.monotonic()
        self._thread = threading.Thread(target=self._note, daemon=True)
        self._thread.start()

    def heard(self, news: News) -> None:
        with self._lock:
            self.forecast(news)

    def done(self, name: str, done: Done) -> None:
        with self._lock:
            self.forecast.end(name, done.task.measure.name, done.task.start)

    def _note(self) -> None:
        while not self._over.wait(self._every):
            with self._lock:
                left = self.forecast.left()
                if left is not None:
                    self.notes.append((time.monotonic() - self._begun, left))

    def over(self) -> float:
        self._over.set()
        self._thread.join()
        return time.monotonic() - self._begun


def session_of(case: Case, out: Path, given: argparse.Namespace) -> Session:
    suite = find_suite(case.suite)
    specs = [name for name in case.entrants.split(",") if name]
    found = begin(
        Request(
            suite=suite,
            measures=tuple(chosen_measures([name for name in case.measures.split(",") if name], suite)),
            entrants=tuple(chosen_entrants(specs, suite, model_dir=Path("models"), own_folders=(), allow_pickle=())),
            named=True,
            out=out,
            device=devices("cpu", given.workers)[0],
            data_dir=given.data_dir,
            limit=case.limit,
        ),
        Faults(print),
    )
    assert found is not None
    return found


def ratio(said: float, was: float) -> str:
    """How far an estimate is off, as a factor."""
    return f"x{said / was:.2f}" if said >= was else f"/{was / said:.2f}"


def measured(case: Case, given: argparse.Namespace) -> Sequence[str]:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as out:
        session = session_of(case, Path(out), given)
        workers = devices("cpu", given.workers)
        said = session.estimate(workers, Faults(print))
        notes = Notes(session.forecast(), given.every)
        names = [judged.name for judged in session.plan.judged]
        session(
            executor_for(workers, given.workers), lambda done: notes.done(names[done.task.judged], done), notes.heard
        )
        took = notes.over()
    if given.all:
        for at, left in notes.notes:
            off = ratio(left.likely, took - at) if min(left.likely, took - at) > 1 else ""
            print(
                f"    {at:6.0f} s: {left.low:.0f} - {left.likely:.0f} - {left.high:.0f} s, was {took - at:.0f} s, {off}",
                flush=True,
            )
    after = [(at, left) for at, left in notes.notes if at >= given.after and took - at > LAST]
    worst = max(
        after, key=lambda one: max(one[1].likely / (took - one[0]), (took - one[0]) / one[1].likely), default=None
    )
    cells = ["", "", "", ""]
    if after and worst:
        at, left = after[0]
        cells = [
            f"{took - at:.0f} s",
            f"{left.likely:.0f} s ({left.low:.0f} to {left.high:.0f})",
            ratio(left.likely, took - at),
        ]
        cells.append(ratio(worst[1].likely, took - worst[0]))
    return case.name, str(given.workers), f"{said.low:.0f} to {said.high:.0f} s", f"{took:.0f} s", *cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+", help="each 'suite entrants measures limit'; - stands for all")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two notes")
    parser.add_argument("--after", type=float, default=60.0, help="seconds from which on notes count")
    parser.add_argument(
        "--processor",
        action="store_true",
        help="processor time on every clock, for a machine with other work: with --workers 0",
    )
    parser.add_argument("--all", action="store_true", help="print every note, too")
    given = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for case in map(Case.parse, given.cases):
        print("| " + " | ".join(measured(case, given)) + " |", flush=True)


if __name__ == "__main__":
    main()
