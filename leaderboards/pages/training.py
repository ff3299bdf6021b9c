"""The page of a training: its course epoch by epoch, as charts and as a table, with the recipe that it follows.

It lies beside the entrant and belongs to no site. While training goes on it is written again and again, with what is known so
far, so its charts have no pictures beneath: readers without JavaScript have the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from leaderboards.board import formats
from leaderboards.charts.scripts import Script
from leaderboards.charts.training_charts import EVERY, training_charts
from leaderboards.charts.vega import Chart
from leaderboards.pages import bundle
from leaderboards.pages.details import pairs
from leaderboards.pages.environment import fill, make_environment
from leaderboards.pages.experiment import Cell, Column, Table
from leaderboards.records.dynamics import EPOCH, Dynamics
from leaderboards.records.files import write_atomically
from leaderboards.records.schema import is_number

HELD_OUT = "Of held-out images: they come from the training data, and nothing is trained on them."
TRAIN = "Of fixed training images."

SHOWN: tuple[tuple[Column, str, float], ...] = (
    (Column("loss", "Mean of the training objective over the batches of the epoch."), "loss", 1.0),
    (Column("standard, train, %", f"Share of unchanged images that are correct. {TRAIN}"), "train.standard_accuracy", 100.0),
    (Column("standard, held out, %", HELD_OUT), "validation.standard_accuracy", 100.0),
    (Column("PGD-20, train, %", f"Share that is still correct under PGD with 20 steps. {TRAIN}"), "train.pgd_accuracy", 100.0),
    (Column("PGD-20, held out, %", HELD_OUT), "validation.pgd_accuracy", 100.0),
    (Column("E(x), train", f"Mean E(x) of unchanged images. {TRAIN}"), "train.marginal_energy", 1.0),
    (Column("ΔE(x), train", f"Mean E(x) − E(x_adv) under the training attack. {TRAIN}"), "train.delta_marginal_energy", 1.0),
    (Column("ΔE(x), held out", HELD_OUT), "validation.delta_marginal_energy", 1.0),
    (Column("learning rate", "At the end of the epoch."), "lr", 1.0),
)  # fmt: skip
"""Columns of the table, the series that each shows, and by what its numbers are multiplied: 100 for percent."""


@dataclass(frozen=True)
class TrainingView:
    """A training of `epochs` epochs as far as it has come. `suite` is its title, `sentences` say what was found in its course,
    `recipe` and `data` how it is trained."""

    name: str
    suite: str
    epochs: int
    dynamics: Dynamics
    sentences: tuple[str, ...]
    recipe: Mapping[str, Any]

    @property
    def root(self) -> str:
        return ""

    @property
    def scripts(self) -> Sequence[Script]:
        return (bundle.charts(),) if self.charts else ()

    @property
    def done(self) -> int:
        """Epochs that have ended."""
        return len(self.dynamics.series[EPOCH])

    @property
    def lead(self) -> str:
        """How far it has come, in words."""
        if self.done < self.epochs:
            return f"Epoch {self.done} of {self.epochs} has ended. Training goes on: load this page again to see more."
        return f"Training has ended after {self.epochs} epoch{'' if self.epochs == 1 else 's'}."

    @property
    def charts(self) -> tuple[Chart, ...]:
        return training_charts(self.dynamics, EVERY)

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """How it is trained, as pairs of words."""
        return pairs(self.recipe)

    @property
    def table(self) -> Table:
        """A row an epoch, the last one first: it is what a reader of a training that goes on looks for."""
        series = self.dynamics.series
        shown = [one for one in SHOWN if one[1] in series]
        rows = tuple(
            (Cell(str(int(epoch))), *(_cell(series[name][i], factor) for _, name, factor in shown))
            for i, epoch in reversed(list(enumerate(series[EPOCH])))
        )
        return Table(
            "Every epoch, the last one first", (Column("epoch", words=True), *(column for column, _, _ in shown)), rows
        )

    @property
    def explained(self) -> tuple[Column, ...]:
        return tuple(column for column in self.table.columns if column.says)


def _cell(value: float, factor: float) -> Cell:
    if not is_number(value):
        return Cell(formats.NOTHING)
    return Cell(formats.percent(value, 1) if factor > 1 else formats.decimal(value))


def write_training(path: Path, view: TrainingView) -> None:
    """Write the page; it is whole at any moment."""
    write_atomically(path, fill(_environment(), "training.html", view).encode(), lasting=False)


@cache
def _environment() -> jinja2.Environment:
    """A training writes its page many times: the templates are compiled once."""
    return make_environment()
