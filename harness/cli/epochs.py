"""How training is followed in the terminal: a line an epoch, and a bar within it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.cli.options import stderr, told
from harness.training.dynamics import Epoch


@contextmanager
def following(speaks: bool) -> Iterator[tuple[Callable[[Epoch], None], Callable[[int, int], None]]]:
    """What is called after each epoch and after each step; of several processes one speaks."""
    if not speaks:
        yield (lambda epoch: None), (lambda step, steps: None)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("training", total=None)

        def report(epoch: Epoch) -> None:
            told(epoch.line)

        def moved(step: int, steps: int) -> None:
            bar.update(task, completed=step, total=steps)

        yield report, moved
