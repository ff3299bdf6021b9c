"""Recipes: an objective with everything else that decides the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from harness.errors import BadInput
from harness.suites import Suite
from harness.training.objectives import OBJECTIVES
from zoo.entrant import did_you_mean


@dataclass(frozen=True)
class Recipe:
    """SGD with a one-cycle learning rate (peak at a quarter), images in [0,1] without mean and standard deviation.

    The inner attack has `attack_steps` steps of `attack_step_size` (a fraction of eps). `crop` is the padding of random
    crops (0: none); flips follow the suite. `warm_up` is the share of the epochs before MAIL's weights apply.
    """

    objective: str
    architecture: str
    epochs: int
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    attack_steps: int = 10
    attack_step_size: float = 0.25
    crop: int = 4
    warm_up: float = 0.75
    seed: int = 1


DIGITS_EPOCHS = {
    "standard": 30,
    "sat": 60,
    "trades": 60,
    "mart": 60,
    "mail-trades": 60,
    "weat-nat": 100,
    "weat-adv": 100,
}
"""WEAT's weights, not normalised, are also a smaller learning rate: on digits it needs more epochs to arrive."""


def recipe(objective: str, suite: Suite, *, architecture: str | None, epochs: int | None, seed: int | None) -> Recipe:
    """The recipe of an objective for a suite, with what the user changed. Raises BadInput for an unknown objective."""
    if objective not in OBJECTIVES:
        raise BadInput(
            f"expected a recipe, got {objective!r};{did_you_mean(objective, OBJECTIVES)}"
            f" choose one of {', '.join(OBJECTIVES)}"
        )
    if suite.shape[1] <= 8:
        found = Recipe(objective, "digits-cnn", DIGITS_EPOCHS[objective], nesterov=True, lr=0.05, crop=0)
    else:
        found = Recipe(objective, "resnet-18", 100)
    changes: dict[str, Any] = {"architecture": architecture, "epochs": epochs, "seed": seed}
    return replace(found, **{key: value for key, value in changes.items() if value is not None})
