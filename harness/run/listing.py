"""What there is, as rows for people and machines: suites, measures, recipes, and the entrants of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

import zoo
from harness.measures import MEASURES
from harness.run.needs import weights_need
from harness.suites.suite import SUITES, Suite
from harness.training.recipes import built_in
from leaderboards.board.formats import quantity
from zoo import architectures
from zoo.checkpoints import SHIPPED, CheckpointEntrant
from zoo.entrant import EntrantError
from zoo.project import shown_place
from zoo.published import published_result
from zoo.robustbench import RobustBenchEntrant

Row = dict[str, Any]
"""What is listed, by the name of its column, as JSON values."""


def suite_rows() -> list[Row]:
    """The built-in suites."""
    return [
        {
            "name": suite.name,
            "version": suite.version,
            "dataset": suite.dataset,
            "norm": suite.norm,
            "eps": suite.eps,
            "examples": suite.examples if suite.examples is not None else "all",
            "measures": ", ".join(suite.measures),
        }
        for suite in SUITES.values()
    ]


def measure_rows() -> list[Row]:
    """The measures, with default settings and passes for one example of ten classes."""
    return [
        {
            "name": measure.name,
            "version": measure.version,
            "what": (type(measure).__doc__ or "").strip().splitlines()[0],
            "settings": measure.settings(),
            "forward_passes_at_most": measure.cost(10).forward,
            "backward_passes_at_most": measure.cost(10).backward,
        }
        for measure in MEASURES.values()
    ]


def recipe_rows() -> list[Row]:
    """The built-in recipes of training, every field."""
    return [{"name": name, **recipe.to_json(), "beta": recipe.strength} for name, recipe in built_in().items()]


def architecture_rows() -> list[Row]:
    """The architectures: what each is, and its parameters for the images of the suites, ten classes; None where it does not
    take images of that shape."""
    shapes = dict.fromkeys(suite.shape for suite in SUITES.values() if suite.shape[1] <= 64)
    return [
        {
            "name": name,
            "what": architectures.told(name),
            **{f"parameters_{'x'.join(map(str, shape))}": _parameters(name, shape) for shape in shapes},
        }
        for name in architectures.ARCHITECTURES
    ]


@cache
def _parameters(architecture: str, shape: tuple[int, int, int]) -> int | None:
    """How many parameters a network has for images (C, H, W) of ten classes; nothing is allocated."""
    with torch.device("meta"):
        try:
            network = architectures.build(architecture, 10, shape)
        except EntrantError:
            return None
    return sum(parameter.numel() for parameter in network.parameters())


def entrant_rows(suite: Suite, *, model_dir: Path, own_folders: Sequence[Path]) -> list[Row]:
    """A suite's entrants: source, architecture, published accuracies in [0,1], whether their files are here, and of those that
    are not the size, the paths and the addresses."""
    rows: list[Row] = []
    for entrant in zoo.entrants(suite.domain, model_dir=model_dir, own_folders=own_folders):
        card, domain, weights = entrant.card, suite.domain, weights_need(entrant)
        known = published_result(
            domain.dataset, domain.norm, card.name if card.source == "robustbench" else card.published
        )
        rows.append(
            {
                "name": card.name,
                "source": card.source,
                "architecture": card.architecture,
                "where": _where(entrant),
                "published_standard_accuracy": known.standard_accuracy if known else None,
                "published_autoattack_accuracy": known.autoattack_accuracy if known else None,
                "published_best_known_accuracy": known.best_known_accuracy if known else None,
                "files_here": None if weights.why else weights.here,
                "weights": weights.size_text,
                "bytes": weights.size,
                "files_missing": weights.to_json()["missing"],
                "spec": entrant.spec,
            }
        )
    return rows


def _where(entrant: zoo.Entrant) -> str:
    """The folder that an entrant lies in, or is fetched to; words for one that ships."""
    if isinstance(entrant, CheckpointEntrant):
        ships = entrant.card_path.is_relative_to(SHIPPED.resolve())
        return "ships with the project" if ships else shown_place(entrant.card_path.parent)
    if isinstance(entrant, RobustBenchEntrant):
        return shown_place(entrant.model_dir / entrant.dataset / entrant.threat)
    return ""


def as_text(column: str, value: Any) -> str:
    """A cell for people: accuracies in percent, of settings of several things only their names."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and column.startswith("parameters"):
        return quantity(value)
    if isinstance(value, float) and "accuracy" in column:
        return f"{100 * value:.2f} %"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_short(setting)}" for name, setting in value.items())
    return str(value)


def _short(setting: Any) -> str:
    nested = isinstance(setting, dict) and all(isinstance(value, dict) for value in setting.values())
    return f"[{', '.join(setting)}]" if nested else str(setting)
