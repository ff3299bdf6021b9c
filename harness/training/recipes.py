"""Recipes: an objective with everything else that decides the weights; built in, from a TOML file, or changed field by field.

A built-in recipe is named <objective>-<plan>, such as weat-adv-short; the objective alone stands for the plan that suits
the data. Source of "paper": the code of Mirza et al. 2024; of "overfitting": Rice et al. 2020, whose schedule shows robust
overfitting where one-cycle hides most of it.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from harness.errors import BadInput, one_line
from harness.suites.suite import Suite
from harness.training.objectives import OBJECTIVES, Weighting
from zoo.entrant import did_you_mean

Schedule = Literal["one-cycle", "piecewise"]
Select = Literal["best", "last"]
Drop = Literal["none", "high-energy", "misclassified", "random"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Recipe:
    """SGD on images in [0,1] without mean and standard deviation. Raises BadInput for a field out of its range.

    - schedule: "one-cycle" (peak at a quarter of the epochs) or "piecewise" (a tenth at a half and at three quarters)
    - beta: of the objective; None is the objective's own
    - attack_steps of attack_step_size (a fraction of eps): the inner maximisation
    - crop: padding of random crops (0: none); flips follow the suite
    - warm_up: share of the epochs before MAIL's weights apply
    - weighting: of WEAT: "raw", "normalised" (w / mean w) or "constant" (mean w for each sample)
    - awp: size of the adversarial weight perturbation (Wu et al. 2020; 0: none), applied after awp_warm_up of the epochs
    - ema: decay of the averaged weights, which are then the entrant's (0: none)
    - validation: share of the training images held out; select: the epoch with the best PGD-20 accuracy on them, or the last
    - synthetic_fraction: share of each batch that comes from the synthetic images
    - drop, drop_fraction: samples removed from each batch (see harness/training/removal.py)
    - precision: "bf16" runs the network in bfloat16 (no loss scaling is needed); energies, weights and losses are float32
    - threads: of the CPU; sums, and so the weights, depend on their number
    """

    objective: str
    architecture: str
    epochs: int
    batch_size: int = 128
    lr: float = 0.1
    schedule: Schedule = "one-cycle"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    beta: float | None = None
    attack_steps: int = 10
    attack_step_size: float = 0.25
    crop: int = 4
    warm_up: float = 0.75
    weighting: Weighting = "raw"
    awp: float = 0.0
    awp_warm_up: float = 0.0
    ema: float = 0.0
    validation: float = 0.02
    select: Select = "best"
    synthetic_fraction: float = 0.0
    drop: Drop = "none"
    drop_fraction: float = 0.0
    precision: Precision = "fp32"
    threads: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise BadInput(
                f"expected an objective, got {self.objective!r};{did_you_mean(self.objective, OBJECTIVES)}"
                f" choose one of {', '.join(OBJECTIVES)}"
            )
        for field, low in (
            ("epochs", 1),
            ("batch_size", 1),
            ("attack_steps", 1),
            ("threads", 1),
            ("crop", 0),
            ("seed", 0),
        ):
            if getattr(self, field) < low:
                raise BadInput(f"expected {field} of at least {low}, got {getattr(self, field)}; give a larger one")
        for field in ("lr", "attack_step_size"):
            if not 0 < getattr(self, field) < math.inf:
                raise BadInput(f"expected {field} above 0, got {getattr(self, field)}; correct it")
        for field in ("weight_decay", "beta", "awp"):
            value = getattr(self, field)
            if value is not None and not 0 <= value < math.inf:
                raise BadInput(f"expected {field} of at least 0, got {value}; correct it")
        for field in ("warm_up", "awp_warm_up", "synthetic_fraction"):
            if not 0 <= getattr(self, field) <= 1:
                raise BadInput(f"expected {field} from 0 to 1, got {getattr(self, field)}; correct it")
        for field in ("momentum", "ema", "validation", "drop_fraction"):
            if not 0 <= getattr(self, field) < 1:
                raise BadInput(f"expected {field} from 0 to below 1, got {getattr(self, field)}; correct it")
        if (self.drop == "none") != (self.drop_fraction == 0):
            raise BadInput(
                f"expected drop and drop_fraction together, got {self.drop!r} and {self.drop_fraction}; give both or neither"
            )
        if self.nesterov and not self.momentum:
            raise BadInput("expected momentum above 0 with nesterov, got 0; give momentum, or nesterov=false")
        if self.select == "best" and not self.validation:
            raise BadInput(
                "expected a validation share above 0 to select the best epoch by, got 0; give one, or select=last"
            )

    @property
    def strength(self) -> float:
        """beta, the objective's own where the recipe names none."""
        return OBJECTIVES[self.objective].beta if self.beta is None else self.beta

    def changed(self, fields: Mapping[str, Any], where: str) -> Recipe:
        """The recipe with other values of some fields. Raises BadInput, saying `where`, for one that does not fit."""
        return replace(self, **checked(fields, where))


PLANS: dict[str, dict[str, Any]] = {
    "paper": {"architecture": "resnet-18", "epochs": 100},
    "short": {"architecture": "resnet-18", "epochs": 30},
    "overfitting": {"architecture": "resnet-18", "epochs": 200, "schedule": "piecewise"},
    "digits": {
        "architecture": "digits-cnn",
        "epochs": 60,
        "lr": 0.05,
        "nesterov": True,
        "crop": 0,
        "validation": 0.1,
        "select": "last",  # by one-cycle's end nothing overfits here, and 139 images choose by noise
    },
}
"""Everything but the objective, by the name that a recipe ends in."""

DIGITS_EPOCHS = {"standard": 30, "weat-nat": 100, "weat-adv": 100}
"""WEAT's weights, not normalised, are also a smaller learning rate: on digits it needs more epochs to arrive."""


def built_in() -> dict[str, Recipe]:
    """Every built-in recipe by its full name."""
    return {
        f"{objective}-{plan}": Recipe(
            objective=objective, **(fields | ({"epochs": DIGITS_EPOCHS.get(objective, 60)} if plan == "digits" else {}))
        )
        for plan, fields in PLANS.items()
        for objective in OBJECTIVES
    }


def full_name(name: str, suite: Suite) -> str:
    """A built-in recipe's full name: an objective alone stands for the plan that suits the suite's images."""
    return f"{name}-{'digits' if suite.shape[1] <= 8 else 'paper'}" if name in OBJECTIVES else name


def checked(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values by a recipe's field names, each of its type. Raises BadInput, saying `where`, for the first wrong one."""
    hints = get_type_hints(Recipe)
    found: dict[str, Any] = {}
    for key, value in fields.items():
        if key not in hints:
            raise BadInput(
                f"expected a recipe's field {where}, got {key!r};{did_you_mean(key, hints)} the fields are {', '.join(hints)}"
            )
        hint, choices = hints[key], get_args(hints[key])
        if choices and all(isinstance(choice, str) for choice in choices):
            fits, wanted = value in choices, " or ".join(choices)
        else:
            kinds = tuple(kind for kind in choices or (hint,) if kind is not type(None))
            if float in kinds and type(value) is int:
                value = float(value)
            # bool is a subclass of int, and true is no number of epochs
            fits = type(value) in kinds
            wanted = " or ".join(kind.__name__ for kind in kinds)
        if not fits:
            raise BadInput(f"expected {key} to be {wanted} {where}, got {value!r}; correct it")
        found[key] = value
    return found


def parsed(assignments: Iterable[str]) -> dict[str, Any]:
    """--set FIELD=VALUE, repeated, as a recipe's fields. Raises BadInput."""
    fields: dict[str, Any] = {}
    for assignment in assignments:
        key, sign, text = (part.strip() for part in assignment.partition("="))
        if not sign or not key or not text:
            raise BadInput(f"expected --set FIELD=VALUE, got {assignment!r}; write it so, such as --set lr=0.05")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text  # a word without quotes
        fields |= checked({key: value}, "after --set")
    return fields


def read_recipe(path: Path, suite: Suite) -> Recipe:
    """A recipe from a TOML file: fields by their names, and `base`, the built-in one that they change. Raises BadInput."""
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"expected a recipe in TOML in {path}, got {one_line(error)}; correct the file") from error
    base = fields.pop("base", None)
    given = checked(fields, f"in {path}")
    if base is not None:
        return find_recipe(str(base), suite).changed(given, f"in {path}")
    absent = [f.name for f in dataclasses.fields(Recipe) if f.default is dataclasses.MISSING and f.name not in given]
    if absent:
        raise BadInput(f"expected {', '.join(absent)} in {path}, got none; add what is missing, or a base")
    return Recipe(**given)


def find_recipe(name: str, suite: Suite) -> Recipe:
    """A built-in recipe by name, or a user's own by the path of its TOML file. Raises BadInput for an unknown one."""
    recipes = built_in()
    if (full := full_name(name, suite)) in recipes:
        return recipes[full]
    if Path(name).suffix == ".toml":
        return read_recipe(Path(name), suite)
    known = [*OBJECTIVES, *recipes]
    raise BadInput(
        f"expected a recipe, got {name!r};{did_you_mean(name, known)} choose one of {', '.join(OBJECTIVES)}, alone or"
        f" with -{', -'.join(PLANS)}, or give the path of a .toml file"
    )
