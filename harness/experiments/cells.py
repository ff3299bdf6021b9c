"""The cells of an experiment's tables: accuracies and their differences, of one entrant and over seeds."""

from __future__ import annotations

from collections.abc import Callable

from harness.experiments.spread import Spread
from leaderboards.board import formats
from leaderboards.pages.experiment import Cell, Column
from leaderboards.records.schema import Value

NOTHING = Cell(formats.NOTHING)

Write = Callable[[float, int | None], str]

SD = Column("sd, points", "Sample standard deviation over the seeds, in points: the spread of training.")
OVER_SEEDS = (
    "Mean over the seeds. Its 95 % interval takes both the seeds and the test images as drawn at random."
)  # fmt: skip


def accuracy(value: Value | None) -> Cell:
    """An accuracy in percent with its interval; one that is bounded is its interval alone."""
    return number(value, formats.percent)


def number(value: Value | None, write: Write) -> Cell:
    """A number with its interval."""
    if value is not None and value.bounded:
        return Cell(f"{formats.between(value, write)} (bounded)")
    if value is None or value.value is None:
        return NOTHING
    return Cell(write(value.value, value.n), formats.interval(value, write))


def spread(found: Spread | None, write: Write = formats.percent) -> tuple[Cell, Cell]:
    """A mean over seeds with its interval, and the standard deviation."""
    if found is None:
        return NOTHING, NOTHING
    value = Value(value=found.mean, low=found.low, high=found.high, level=0.95, n=found.n)
    return number(value, write), Cell(formats.percent(found.sd, found.n))


def epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"
