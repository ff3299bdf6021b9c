"""Entrants of one board as recipes: networks that differ in their seed alone are one, with as many seeds.

Seeds of one recipe are not independent entrants. Over entrants, a recipe counts once, with the mean over its seeds; over
images, its seeds are tested one by one and their p-values merged (statistics.merged).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from leaderboards.board.by_energy import read_measured
from leaderboards.board.entry import Entry
from leaderboards.board.groups import Group, grouped
from leaderboards.board.labels import STAGES
from leaderboards.records.schema import EntrantInfo, Measurement, Record, is_number

NOT_ROBUST = 0.1
"""AutoAttack accuracy below which an entrant counts as a standard one, where its card does not tell how it was trained."""


@dataclass(frozen=True)
class Network:
    """One entrant with its record: what the tests read of it."""

    entry: Entry

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def record(self) -> Record:
        assert self.entry.record is not None, "only measured entries are networks"
        return self.entry.record

    @property
    def entrant(self) -> EntrantInfo:
        return self.record.entrant

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What its card says of how it was trained; empty where it does not."""
        told = self.entrant.training.get("recipe")
        return told if isinstance(told, dict) else {}

    @property
    def objective(self) -> str:
        """By which it was trained ('sat'); empty where its card does not tell."""
        told = self.recipe.get("objective")
        return told if isinstance(told, str) else ""

    def value(self, measure: str, name: str) -> float | None:
        """A finite number of its record; None where there is none."""
        found = self.entry.measured(measure, name)
        return found.value if found is not None and is_number(found.value) else None

    def measurement(self, measure: str) -> Measurement | None:
        return self.record.measurements.get(measure)

    @property
    def autoattack(self) -> float | None:
        return self.value("autoattack", "autoattack_accuracy")

    @cached_property
    def energies(self) -> Mapping[str, np.ndarray]:
        return self._arrays("energies")

    @cached_property
    def robust(self) -> np.ndarray | None:
        """Whether each image is correct after all of AutoAttack, (n,) bool; None where that is not known of every image."""
        measurement = self.measurement("autoattack")
        stage = self._arrays("autoattack").get("stage")
        return stage == len(STAGES) if stage is not None and measurement and not measurement.bounded else None

    @cached_property
    def correct(self) -> np.ndarray | None:
        """Whether each unchanged image is classified correctly, (n,) bool."""
        found = self.energies.get("natural_correct")
        return found if found is not None else self._arrays("standard").get("correct")

    def _arrays(self, measure: str) -> Mapping[str, np.ndarray]:
        home = self.entry.home
        return read_measured(self.record, measure, home.arrays) if home is not None else {}


@dataclass(frozen=True)
class Recipe:
    """Networks that differ in their seed alone, by seed; `group` is how the board has them, None for one network."""

    name: str
    networks: tuple[Network, ...]
    group: Group | None = None

    @property
    def seeds(self) -> int:
        return len(self.networks)

    @property
    def objective(self) -> str:
        return self.networks[0].objective

    @property
    def architecture(self) -> str:
        return self.networks[0].entrant.architecture

    def mean(self, measure: str, name: str) -> float | None:
        """The mean over its seeds of a number; None where any of them has none."""
        found = [network.value(measure, name) for network in self.networks]
        return mean(found)

    @property
    def autoattack(self) -> float | None:
        return self.mean("autoattack", "autoattack_accuracy")

    @property
    def standard(self) -> bool | None:
        """Whether it was trained without an attack: by its card, else by its AutoAttack accuracy; None where neither tells."""
        if self.objective:
            return self.objective == "standard"
        return None if self.autoattack is None else self.autoattack < NOT_ROBUST


def mean(found: Sequence[float | None]) -> float | None:
    """The mean of numbers; None where one of them is None, or there are none."""
    known = [number for number in found if number is not None]
    return float(np.mean(known)) if known and len(known) == len(found) else None


def recipes_of(entries: Iterable[Entry]) -> tuple[Recipe, ...]:
    """The measured entries of one board as recipes, in their order there: seeds that form a group on it (board.groups) are
    one."""
    measured = [
        entry
        for entry in entries
        if entry.record is not None and not (entry.standing is not None and entry.standing.contradictions)
    ]
    return tuple(
        Recipe(line.name, tuple(Network(member) for member in line.members), line)
        if isinstance(line, Group)
        else Recipe(line.name, (Network(line),))
        for line in grouped(measured)
    )
