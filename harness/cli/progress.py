"""How a run is followed in the terminal: bars with the time left, and a line for what is done."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness.cli.options import stderr, told
from harness.run.executors.executor import Done, Report
from harness.run.plan import Plan, Task
from harness.run.selection import Faults
from zoo.faults import escaped


@contextmanager
def following(plan: Plan, todo: Sequence[Task], faults: Faults) -> Iterator[Report]:
    """What is called as each task ends; faults are told as they come, with where they arose under --debug."""
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=stderr, transient=True, disable=not stderr.is_terminal,
    )  # fmt: skip
    debug = "--debug" in sys.argv
    left: dict[tuple[int, str], int] = {}
    for task in todo:
        left[task.judged, task.measure.name] = left.get((task.judged, task.measure.name), 0) + 1
    lost: set[int] = set()  # entrants that do not load: two workers may find out, one line tells
    with progress:
        whole = progress.add_task("all", total=len(todo))
        bars = {
            (judged, measure): progress.add_task(escape(escaped(f"{plan.judged[judged].name} {measure}")), total=count)
            for (judged, measure), count in left.items()
        }

        def report(done: Done) -> None:
            key = done.task.judged, done.task.measure.name
            name = plan.judged[done.task.judged].name
            progress.advance(whole)
            if key in bars:  # a bounded answer that is completed brings tasks that were not planned
                progress.advance(bars[key])
            if done.fault is None:
                left[key] = left.get(key, 0) - 1
                if left[key] == 0:
                    progress.update(bars[key], visible=False)
                    told(f"measured {name}: {key[1]}")
                return
            if done.fault.loading:
                if done.task.judged in lost:
                    return
                lost.add(done.task.judged)
            who = name if done.fault.loading else f"{name}, {key[1]} {done.task.start}-{done.task.stop}"
            faults.add(who, done.fault.message, bad_input=done.fault.bad_input)
            if debug:
                told(done.fault.trace)

        yield report
