"""Entrants of one board as recipes: networks that differ in their seed alone are one, with as many seeds.

Seeds of one recipe are not independent entrants. Over entrants, a recipe counts once, with the mean over its seeds; over
images, its seeds are tested one by one and their p-values merged (statistics.merged).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from leaderboards.board.by_energy import read_measured
from leaderboards.board.entry import Entry
from leaderboards.board.labels import STAGES
from leaderboards.records.schema import EntrantInfo, Measurement, is_number

NOT_ROBUST = 0.1
"""AutoAttack accuracy below which an entrant counts as a standard one, where its card does not tell how it was trained."""

_SEED = re.compile(r"(.+)-s(\d+)")


@dataclass(frozen=True)
class Network:
    """One entrant with its record: what the tests read of it."""

    entry: Entry

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def entrant(self) -> EntrantInfo:
        assert self.entry.record is not None
        return self.entry.record.entrant

    @property
    def objective(self) -> str:
        """By which it was trained ('sat'); empty where its card does not tell."""
        told = _recipe(self.entrant).get("objective")
        return told if isinstance(told, str) else ""

    def value(self, measure: str, name: str) -> float | None:
        """A finite number of its record; None where there is none."""
        found = self.entry.measured(measure, name)
        return found.value if found is not None and is_number(found.value) else None

    def measurement(self, measure: str) -> Measurement | None:
        return self.entry.record.measurements.get(measure) if self.entry.record else None

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
        home, record = self.entry.home, self.entry.record
        return read_measured(record, measure, home.arrays) if home is not None and record is not None else {}


@dataclass(frozen=True)
class Recipe:
    """Networks that differ in their seed alone, by seed."""

    name: str
    networks: tuple[Network, ...]

    @property
    def seeds(self) -> int:
        return len(self.networks)

    @property
    def objective(self) -> str:
        return self.networks[0].objective

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
    """The measured entries of one board as recipes, in their order there.

    Entrants named <recipe>-s<seed> are one recipe where their cards say that seed, and are equal but for it.
    """
    grouped: dict[tuple[str, bool], list[tuple[int, Network]]] = {}
    cards: dict[str, Any] = {}
    for entry in entries:
        if entry.record is None or (entry.standing is not None and entry.standing.contradictions):
            continue
        network = Network(entry)
        name, seed = seed_of(network.entrant)
        card = _card(network.entrant)
        alone = seed is None or cards.setdefault(name, card) != card
        # an entrant may have the name of a recipe without being one of its seeds
        key = (network.name, False) if alone else (name, True)
        grouped.setdefault(key, []).append((seed or 0, network))
    return tuple(
        Recipe(name if len(found) > 1 else found[0][1].name, tuple(n for _, n in sorted(found, key=lambda one: one[0])))
        for (name, _), found in grouped.items()
    )


def seed_of(entrant: EntrantInfo) -> tuple[str, int | None]:
    """The recipe and the seed in an entrant's name; None as seed where its card does not say that it was trained with it."""
    found = _SEED.fullmatch(entrant.name)
    if found is None or _recipe(entrant).get("seed") != int(found[2]):
        return entrant.name, None
    return found[1], int(found[2])


def _recipe(entrant: EntrantInfo) -> Mapping[str, Any]:
    told = entrant.training.get("recipe")
    return told if isinstance(told, dict) else {}


def _card(entrant: EntrantInfo) -> tuple[Any, ...]:
    """What must be equal of two seeds of one recipe."""
    recipe = {key: value for key, value in _recipe(entrant).items() if key != "seed"}
    told = (entrant.training.get(key) for key in ("norm", "eps", "dataset", "fingerprint", "images"))
    return entrant.architecture, recipe, *told
