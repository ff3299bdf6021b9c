"""What others publish of classifiers: numbers to set beside measured ones, never among them.

Facts copied from RobustBench's leaderboard, in zoo/published.csv, and for MNIST from the table of AutoAttack's authors
(github.com/fra31/auto-attack), in zoo/autoattack.csv: percent there, fractions here. The AutoAttack accuracy
is an upper bound on the true robust accuracy; where a stronger, adaptive attack got below it, that is the best known
accuracy, and the leaderboard ranks by it.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction


@dataclass(frozen=True)
class PublishedResult:
    """One row. Accuracies are in [0,1], mean corruption errors (mce) are fractions of the baseline's and may exceed 1.

    `norm` is "Linf", "L2" or "corruptions"; `eps` is the radius for images in [0,1], mostly None for corruptions.
    `in_zoo` tells whether the package robustbench can load the entry, `unreliable` whether its page warns that
    AutoAttack may overestimate its robustness. Texts are plain; fields are None where nothing is published.
    """

    dataset: str
    norm: str
    name: str
    in_zoo: bool
    eps: float | None
    standard_accuracy: float
    autoattack_accuracy: float | None
    best_known_accuracy: float | None
    reported_accuracy: float | None
    corruptions_accuracy: float | None
    corruptions_mce: float | None
    corruptions_accuracy_3d: float | None
    corruptions_mce_3d: float | None
    unreliable: bool
    additional_data: bool | None
    forward_passes: int | None
    architecture: str
    title: str
    authors: str
    venue: str
    link: str

    @property
    def robust_accuracy(self) -> float | None:
        """What the leaderboard ranks by: the best known accuracy where there is one, else AutoAttack's."""
        return self.autoattack_accuracy if self.best_known_accuracy is None else self.best_known_accuracy


@functools.cache
def published(dataset: str, norm: str) -> tuple[PublishedResult, ...]:
    """Every entry of one leaderboard, in its file's order; empty for one that nobody publishes here."""
    return tuple(row for row in _rows() if (row.dataset, row.norm) == (dataset, norm))


def published_result(dataset: str, norm: str, name: str) -> PublishedResult | None:
    """What is published of one entry, or None."""
    return next((row for row in published(dataset, norm) if row.name == name), None)


@functools.cache
def _rows() -> tuple[PublishedResult, ...]:
    files = (importlib.resources.files("zoo") / name for name in ("published.csv", "autoattack.csv"))
    return tuple(
        _read(defaultdict(str, row))
        for file in files
        for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    )


def _read(row: Mapping[str, str]) -> PublishedResult:
    return PublishedResult(
        dataset=row["dataset"],
        norm=row["threat"],
        name=row["name"],
        in_zoo=row["in_zoo"] == "1",
        eps=float(Fraction(row["eps"])) if row["eps"] else None,
        standard_accuracy=float(Decimal(row["standard_accuracy"]) / 100),
        autoattack_accuracy=_fraction(row["autoattack_accuracy"]),
        best_known_accuracy=_fraction(row["best_known_accuracy"]),
        reported_accuracy=_fraction(row["reported_accuracy"]),
        corruptions_accuracy=_fraction(row["corruptions_accuracy"]),
        corruptions_mce=_fraction(row["corruptions_mce"]),
        corruptions_accuracy_3d=_fraction(row["corruptions_accuracy_3d"]),
        corruptions_mce_3d=_fraction(row["corruptions_mce_3d"]),
        unreliable=row["unreliable"] == "1",
        additional_data=row["additional_data"] == "1" if row["additional_data"] else None,
        forward_passes=int(row["forward_passes"]) if row["forward_passes"] else None,
        architecture=_text(row["architecture"]),
        title=_text(row["title"]),
        authors=_text(row["authors"]),
        venue=_text(row["venue"]),
        link=_text(row["link"]),
    )


def _fraction(percent: str) -> float | None:
    # decimal arithmetic: 95.51 % is the float nearest to 0.9551, as it would be if read from 0.9551
    return float(Decimal(percent) / 100) if percent else None


def _text(text: str) -> str:
    # some fields hold the leaderboard page's own line breaks
    return " ".join(text.replace("<br/>", " ").replace("<br>", " ").split())
