"""Suites: a data set, a threat model, the measures taken, and a version. Changing what a suite measures bumps its version.

The built-in ones are constants; a user's own suite is a TOML file with the same fields (`harness run --suite my.toml`).
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from harness.errors import BadInput, one_line
from harness.threat import Norm, ThreatModel
from zoo.entrant import Domain, did_you_mean

PAPER_ENTRANTS = tuple(
    f"robustbench:{name}"
    for name in (
        "Engstrom2019Robustness",
        "Zhang2020Geometry",
        "Zhang2019Theoretically",
        "Wang2020Improving",
        "Wu2020Adversarial",
        "Cui2023Decoupled_WRN-34-10",
        "Cui2023Decoupled_WRN-28-10",
        "Wang2023Better_WRN-70-16",
        "Standard",
    )
)
"""The eight models that "Shedding More Light ..." (ECCV 2024) compares, and RobustBench's standard one."""


@dataclass(frozen=True)
class Suite:
    """What entrants are measured on, and how.

    `eps` is a fraction of the pixel range, written as a number or as text such as "8/255". `examples` counts the examples
    judged (the first of the split; None: all). `shard_size` is the unit of work, and the batch in which AutoAttack draws
    its random starts: another size is another (equally valid) draw. `entrants` are judged by default, besides every own
    entrant of the suite; `zoo_dataset` is RobustBench's name for the data, where it has models for it,
    and `base` the suite that this one varies.
    """

    name: str
    version: int
    title: str
    dataset: str
    classes: int
    shape: tuple[int, int, int]
    norm: Norm
    eps: str
    examples: int | None = None
    shard_size: int = 250
    measures: tuple[str, ...] = ("standard", "autoattack", "energies")
    entrants: tuple[str, ...] = ()
    zoo_dataset: str = ""
    flip: bool = True
    description: str = ""
    base: str = ""

    @property
    def threat(self) -> ThreatModel:
        return ThreatModel(self.norm, parse_eps(self.eps))

    @property
    def domain(self) -> Domain:
        """What an entrant must accept and give; entrants are looked up by the suite's and RobustBench's names."""
        return Domain(self.name, self.zoo_dataset or self.dataset, self.norm, self.classes, self.shape)

    @property
    def domains(self) -> tuple[Domain, ...]:
        """Where own entrants are looked for: the suite's, and those of the suite that it varies."""
        own = self.domain
        return (own, dataclasses.replace(own, suite=self.base)) if self.base else (own,)

    def on(self, dataset: str) -> Suite:
        """The suite on other data: it carries the data's name, so that its figures never stand among the original's."""
        if dataset == self.dataset:
            return self
        return replace(
            self,
            name=self.name.replace(self.dataset, dataset) if self.dataset in self.name else f"{self.name}-on-{dataset}",
            title=f"{self.title}, on {dataset}",
            dataset=dataset,
            zoo_dataset=self.zoo_dataset or self.dataset,
            base=self.base or self.name,
            description=(
                f"The suite {self.name} on the data set {dataset}: not comparable with figures on {self.dataset}."
                f" {self.description}"
            ).strip(),
        )


def parse_eps(text: str) -> float:
    """A radius as a fraction of the pixel range: 0.15, "0.15" or "8/255"."""
    try:
        eps = float(Fraction(str(text).replace(" ", "")))
    except (ValueError, ZeroDivisionError):
        eps = math.nan
    if not eps >= 0:  # also true for NaN
        raise BadInput(f"expected eps >= 0 as a number or a fraction such as 8/255, got {text!r}; correct the suite")
    return eps


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            name="digits",
            version=1,
            title="Digits",
            dataset="digits",
            classes=10,
            shape=(1, 8, 8),
            norm="Linf",
            eps="0.15",
            examples=200,
            shard_size=100,
            flip=False,
            description=(
                "scikit-learn's 8x8 digits. Small enough to judge on a laptop in minutes; its figures say how the"
                " measures behave, not how robust a method is on natural images."
            ),
        ),
        Suite(
            name="cifar10",
            version=1,
            title="CIFAR-10, Linf 8/255",
            dataset="cifar10",
            classes=10,
            shape=(3, 32, 32),
            norm="Linf",
            eps="8/255",
            examples=10_000,
            entrants=PAPER_ENTRANTS,
            description="CIFAR-10's test images under the threat model of RobustBench's leaderboard.",
        ),
        Suite(
            name="cifar10-l2",
            version=1,
            title="CIFAR-10, L2 0.5",
            dataset="cifar10",
            classes=10,
            shape=(3, 32, 32),
            norm="L2",
            eps="0.5",
            examples=10_000,
            entrants=(
                "robustbench:Augustin2020Adversarial",
                "robustbench:Engstrom2019Robustness",
                "robustbench:Rice2020Overfitting",
                "robustbench:Wu2020Adversarial",
                "robustbench:Wang2023Better_WRN-28-10",
                "robustbench:Standard",
            ),
            description="CIFAR-10's test images under the threat model of RobustBench's leaderboard.",
        ),
        Suite(
            name="cifar100",
            version=1,
            title="CIFAR-100, Linf 8/255",
            dataset="cifar100",
            classes=100,
            shape=(3, 32, 32),
            norm="Linf",
            eps="8/255",
            examples=10_000,
            entrants=(
                "robustbench:Rice2020Overfitting",
                "robustbench:Wu2020Adversarial",
                "robustbench:Cui2023Decoupled_WRN-28-10",
                "robustbench:Wang2023Better_WRN-28-10",
            ),
            description="CIFAR-100's test images under the threat model of RobustBench's leaderboard.",
        ),
        Suite(
            name="svhn",
            version=1,
            title="SVHN, Linf 8/255",
            dataset="svhn",
            classes=10,
            shape=(3, 32, 32),
            norm="Linf",
            eps="8/255",
            flip=False,
            description="All 26,032 test images of the Street View House Numbers.",
        ),
        Suite(
            name="tiny-imagenet",
            version=1,
            title="Tiny-ImageNet, Linf 8/255",
            dataset="tiny-imagenet",
            classes=200,
            shape=(3, 64, 64),
            norm="Linf",
            eps="8/255",
            description="Tiny-ImageNet's 10,000 validation images, which serve as its test split.",
        ),
        Suite(
            name="imagenet",
            version=1,
            title="ImageNet, Linf 4/255",
            dataset="imagenet",
            classes=1000,
            shape=(3, 224, 224),
            norm="Linf",
            eps="4/255",
            examples=5_000,
            shard_size=50,
            entrants=(
                "robustbench:Salman2020Do_R18",
                "robustbench:Salman2020Do_R50",
                "robustbench:Wong2020Fast",
                "robustbench:Debenedetti2022Light_XCiT-S12",
                "robustbench:Liu2023Comprehensive_Swin-B",
                "robustbench:Standard_R50",
            ),
            description=(
                "The 5,000 validation images that RobustBench judges, each entrant with the preprocessing it is"
                " published with."
            ),
        ),
    )
}

_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "version": (int,),
    "title": (str,),
    "dataset": (str,),
    "classes": (int,),
    "shape": (list,),
    "norm": (str,),
    "eps": (str, int, float),
    "examples": (int,),
    "shard_size": (int,),
    "measures": (list,),
    "entrants": (list,),
    "zoo_dataset": (str,),
    "flip": (bool,),
    "description": (str,),
}


def _checked(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A TOML table as Suite's fields; the first wrong one raises BadInput."""
    checked: dict[str, Any] = {}
    for key, value in fields.items():
        if key not in _TYPES:
            raise BadInput(
                f"expected the keys of a suite in {where}, got {key!r};{did_you_mean(key, [*_TYPES, 'base'])}"
                f" the keys are base, {', '.join(_TYPES)}"
            )
        wanted = _TYPES[key]
        if not any(isinstance(value, kind) for kind in wanted) or (isinstance(value, bool) and bool not in wanted):
            names = " or ".join(kind.__name__ for kind in wanted)
            raise BadInput(f"expected {key} of type {names} in {where}, got {value!r}; correct it")
        if key in ("version", "classes", "examples", "shard_size") and value < (2 if key == "classes" else 1):
            raise BadInput(
                f"expected {key} of at least {2 if key == 'classes' else 1} in {where}, got {value}; correct it"
            )
        if key == "shape" and (len(value) != 3 or not all(isinstance(side, int) and side > 0 for side in value)):
            raise BadInput(f"expected shape = [channels, height, width] in {where}, got {value}; correct it")
        if key in ("measures", "entrants") and not all(isinstance(item, str) for item in value):
            raise BadInput(f"expected a list of names as {key} in {where}, got {value}; correct it")
        checked[key] = tuple(value) if isinstance(value, list) else str(value) if key == "eps" else value
    return checked


def read_suite(path: Path) -> Suite:
    """A user's own suite from a TOML file. `base = "cifar10"` starts from a built-in one and changes the fields given.

    A file that changes what is measured needs a name of its own.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"expected a suite in TOML in {path}, got {one_line(error)}; correct the file") from error
    base = fields.pop("base", None)
    if base is not None and base not in SUITES:
        raise BadInput(
            f"expected base to be a built-in suite in {path}, got {base!r};{did_you_mean(str(base), SUITES)}"
            f" choose one of {', '.join(SUITES)}"
        )
    checked = _checked(fields, str(path))
    if base is not None:
        if checked.get("name", base) in SUITES:
            raise BadInput(
                f"expected a name of its own in {path}, got {checked.get('name', base)!r}; give the suite a new name"
            )
        inherited = SUITES[base]
        if "dataset" in checked and "zoo_dataset" not in checked:
            checked["zoo_dataset"] = inherited.zoo_dataset or inherited.dataset
        suite = replace(inherited, **{"version": 1, "title": checked["name"], "base": base, **checked})
    else:
        required = [f.name for f in dataclasses.fields(Suite) if f.default is dataclasses.MISSING and f.name != "title"]
        absent = [key for key in required if key not in checked]
        if absent:
            raise BadInput(
                f"expected {', '.join(required)} in {path}, got no {', '.join(absent)}; add what is missing, or a base"
            )
        if checked["name"] in SUITES:
            raise BadInput(f"expected a name of its own in {path}, got {checked['name']!r}; give the suite a new name")
        suite = Suite(**{"title": checked["name"], **checked})
    _ = suite.threat  # a wrong norm or eps raises here, with the file named, and not in the middle of a run
    return suite


def find_suite(name: str) -> Suite:
    """A built-in suite by name, or a user's own by the path of its TOML file."""
    if name in SUITES:
        return SUITES[name]
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return read_suite(path)
    raise BadInput(
        f"expected a suite, got {name!r};{did_you_mean(name, SUITES)} choose one of {', '.join(SUITES)},"
        " or give the path of a .toml file"
    )
