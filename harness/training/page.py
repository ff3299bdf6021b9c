"""The page of a training, written while it goes on: what the dynamics hold, as charts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.training.dynamics import Epoch
from harness.training.phases import Phases
from harness.training.standing import Observer, Standing
from leaderboards.records.dynamics import Dynamics, Phase, columns

EVERY = 20.0
"""Seconds before the first page, and between two, at least, but for the last: an epoch may take less time than a page."""


def page_of(place: Path) -> Path:
    """Of the entrant <place>.safetensors."""
    return place.with_name(f"{place.name}.training.html")


class Page(Observer):
    """Writes the page of an entrant's training. `made` is what its card says of how it is made."""

    def __init__(
        self,
        place: Path,
        suite: str,
        epochs: int,
        made: Mapping[str, Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place, self.suite, self.epochs, self.made, self._clock = place, suite, epochs, made, clock
        self._written = clock()

    def followed(self, epoch: Epoch, rows: Sequence[Mapping[str, Any]], standing: Standing) -> None:
        now = self._clock()
        if epoch.number < epoch.epochs and now - self._written >= EVERY:
            self.write(rows)
            self._written = now

    def write(
        self,
        rows: Sequence[Mapping[str, Any]],
        sentences: Sequence[str] = (),
        phases: Phases | None = None,
        overfitting_epoch: int | None = None,
    ) -> None:
        """The page of what the rows hold, with what was found in them when training has ended."""
        from leaderboards.pages.training import TrainingView, write_training  # charts take a second to import

        series = {name: tuple(array.tolist()) for name, array in columns(rows).items()}
        found = tuple(Phase(phase.first, phase.last) for phase in phases.phases) if phases is not None else ()
        dynamics = Dynamics(series, found, overfitting_epoch)
        view = TrainingView(self.place.name, self.suite, self.epochs, dynamics, tuple(sentences), self.made)
        write_training(page_of(self.place), view)
