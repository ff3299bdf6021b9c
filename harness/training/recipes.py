"""Recipes: an objective with everything else that decides the weights; built in, from a TOML file, or changed field by field.

A built-in recipe is named <objective>-<plan>, such as weat-adv-short; the objective alone stands for the plan that suits
the data (harness/training/plans.py has them, with their sources).
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from harness.errors import BadInput
from harness.suites.suite import Suite
from harness.toml import read_toml
from harness.training.objectives import OBJECTIVES, Objective, Weighting
from harness.training.own_objective import find_objective
from harness.training.plans import OWN, PLANS
from zoo.architectures import builder
from zoo.entrant import did_you_mean

Schedule = Literal["one-cycle", "piecewise"]
Select = Literal["best", "last"]
Drop = Literal["none", "high-energy", "low-energy", "misclassified", "random"]
Precision = Literal["fp32", "bf16"]
AttackStart = Literal["by-loss", "uniform", "noise"]

# what a range is called in a message stands as its description
Count = Annotated[int, Field(ge=1, description="of at least 1")]
Number = Annotated[int, Field(ge=0, description="of at least 0")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, description="above 0")]
AtLeastZero = Annotated[float, Field(ge=0, allow_inf_nan=False, description="of at least 0")]
Share = Annotated[float, Field(ge=0, le=1, description="from 0 to 1")]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1, description="from 0 to below 1")]
Strength = Annotated[float | None, Field(ge=0, allow_inf_nan=False, description="of at least 0")]


@dataclass(frozen=True)
class Recipe:
    """SGD on images in [0,1] without mean and standard deviation. Raises BadInput for a field out of its range.

    - schedule: "one-cycle" (peak at a quarter of the epochs) or "piecewise" (a tenth at a half and at three quarters)
    - cycle_momentum: of one-cycle: momentum runs .95 -> .85 -> .95 against the learning rate, in place of `momentum`
    - beta: of the objective; None is the objective's own
    - attack_steps of attack_step_size (a fraction of eps): the inner maximisation
    - attack_start: "uniform" in the ball, "noise" (x + 0.001 N(0,1)), or "by-loss": uniform for CE, noise for KL
    - clamp_start: noise starts are clamped to [0,1]
    - eps_warm_up: share of the epochs over which the inner attack's eps grows, step by step, from 0 to the suite's (0: at
      once); at MNIST's 0.3 training on PGD examples does not leave the constant classifier without it
    - crop: padding of random crops (0: none); flips follow the suite
    - warm_up: share of the epochs before MAIL's weights apply
    - weighting: of WEAT: "raw", "normalised" (w / mean w) or "constant" (mean w for each sample)
    - awp: size of the adversarial weight perturbation (Wu et al. 2020; 0: none), applied after awp_warm_up of the epochs
    - ema: decay of the averaged weights, which are then the entrant's (0: none)
    - validation: share of the training images held out; select: the epoch with the best PGD-20 accuracy on them, or the last
    - synthetic_fraction: share of each batch that comes from the synthetic images
    - drop, with drop_fraction or drop_count: samples removed from each batch (see harness/training/removal.py)
    - precision: "bf16" runs the network in bfloat16 (no loss scaling is needed); energies, weights and losses are float32
    - threads: of the CPU; sums, and so the weights, depend on their number
    - objective: a name of OBJECTIVES, or `module:attribute` of the user's own code, which objective_settings are given to
    - architecture: a name of zoo.architectures, or `module:callable`
    """

    objective: str
    architecture: str
    epochs: Count
    batch_size: Count = 128
    lr: Positive = 0.1
    schedule: Schedule = "one-cycle"
    momentum: ShareBelowOne = 0.9
    cycle_momentum: bool = False
    nesterov: bool = False
    weight_decay: AtLeastZero = 5e-4
    beta: Strength = None
    attack_steps: Count = 10
    attack_step_size: Positive = 0.25
    attack_start: AttackStart = "by-loss"
    clamp_start: bool = True
    eps_warm_up: Share = 0.0
    crop: Number = 4
    warm_up: Share = 0.75
    weighting: Weighting = "raw"
    awp: AtLeastZero = 0.0
    awp_warm_up: Share = 0.0
    ema: ShareBelowOne = 0.0
    validation: ShareBelowOne = 0.02
    select: Select = "best"
    synthetic_fraction: Share = 0.0
    drop: Drop = "none"
    drop_fraction: ShareBelowOne = 0.0
    drop_count: Number = 0
    precision: Precision = "fp32"
    threads: Count = 1
    seed: Number = 1
    objective_settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked(vars(self))
        _ = self.method  # of the user's own: imported here, so that what is wrong with it is told before data are read
        builder(self.architecture)
        if (self.drop == "none") != (self.drop_fraction == 0 and self.drop_count == 0):
            raise BadInput(
                f"expected drop and drop_fraction together, or drop and drop_count, got {self.drop!r} with"
                f" {self.drop_fraction} and {self.drop_count}; give both or neither"
            )
        if self.drop_fraction and self.drop_count:
            raise BadInput(
                f"expected drop_fraction or drop_count, got {self.drop_fraction} and {self.drop_count}; leave one out"
            )
        if self.drop_count > max(self.batch_size - 2, 0):
            raise BadInput(
                f"expected drop_count to leave two samples of a batch of {self.batch_size}, got {self.drop_count};"
                " give a smaller one"
            )
        if self.cycle_momentum and self.schedule != "one-cycle":
            raise BadInput(
                f"expected cycle_momentum with schedule one-cycle, got {self.schedule}; give cycle_momentum=false with it"
            )
        if self.nesterov and not self.momentum:
            raise BadInput("expected momentum above 0 with nesterov, got 0; give momentum, or nesterov=false")
        if self.select == "best" and not self.validation:
            raise BadInput(
                "expected a validation share above 0 to select the best epoch by, got 0; give one, or select=last"
            )

    @property
    def method(self) -> Objective:
        """The objective itself."""
        return find_objective(self.objective, self.objective_settings)

    @property
    def strength(self) -> float:
        """beta, the objective's own where the recipe names none."""
        return self.method.beta if self.beta is None else self.beta

    def changed(self, fields: Mapping[str, Any], where: str = "") -> Recipe:
        """The recipe with other values of some fields. Raises BadInput, saying `where`, for one that does not fit."""
        return replace(self, **checked(fields, where))

    def to_json(self) -> dict[str, Any]:
        """As cards have it: every field by its name, without the settings of an objective that has none."""
        fields = dataclasses.asdict(self)
        if not self.objective_settings:
            del fields["objective_settings"]
        return fields


def built_in() -> dict[str, Recipe]:
    """Every built-in recipe by its full name."""
    return {
        f"{objective}-{plan}": Recipe(objective=objective, **(fields | OWN.get((objective, plan), {})))
        for plan, fields in PLANS.items()
        for objective in OBJECTIVES
    }


def full_name(name: str, suite: Suite) -> str:
    """A built-in recipe's full name: an objective alone stands for the plan that suits the suite's images."""
    if name not in OBJECTIVES:
        return name
    grey, side = suite.shape[0] == 1, suite.shape[1]
    return f"{name}-{'digits' if side <= 8 else 'mnist' if grey and side <= 28 else 'paper'}"


@cache
def _fields() -> dict[str, tuple[Any, TypeAdapter[Any]]]:
    """A recipe's fields by name: the type with its range, and what holds a value against it."""
    hints = get_type_hints(Recipe, include_extras=True)
    # strict: true is no number of epochs, and "5" none either
    return {name: (hint, TypeAdapter(hint, config=ConfigDict(strict=True))) for name, hint in hints.items()}


_TYPES = {"int_type": "int", "float_type": "float", "string_type": "str", "bool_type": "bool", "dict_type": "a table"}
"""pydantic's faults, as the type that was expected."""


def checked(fields: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Values by a recipe's field names, each of its type and in its range. Raises BadInput, saying `where`, for the first
    wrong one."""
    known, place = _fields(), f" {where}" if where else ""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        if key not in known:
            raise BadInput(
                f"expected a recipe's field{place}, got {key!r};{did_you_mean(key, known)} the fields are {', '.join(known)}"
            )
        hint, adapter = known[key]
        try:
            found[key] = adapter.validate_python(value)
        except ValidationError as error:
            fault = error.errors()[0]["type"]
            if fault == "literal_error":
                wanted = f"to be {' or '.join(get_args(hint))}"
            else:
                wanted = f"to be {_TYPES[fault]}" if fault in _TYPES else hint.__metadata__[0].description
            raise BadInput(f"expected {key} {wanted}{place}, got {value!r}; correct it") from error
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
        except (ValueError, RecursionError):
            value = text  # a word without quotes
        fields |= checked({key: value}, "after --set")
    return fields


def read_recipe(path: Path, suite: Suite) -> Recipe:
    """A recipe from a TOML file: fields by their names, and `base`, the built-in one that they change. Raises BadInput."""
    fields = read_toml(path, "a recipe")
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
