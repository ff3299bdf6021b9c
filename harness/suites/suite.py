"""Suites: a data set, a threat model, the measures taken, and a version. Changing what a suite measures bumps its version.

The built-in ones are constants; a user's own suite is a TOML file with the same fields (`harness run --suite my.toml`).
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, replace
from fractions import Fraction

from harness.data.own_data import OwnData, is_own
from harness.data.parts import require_other
from harness.errors import BadInput
from harness.threat import Norm, ThreatModel
from zoo.entrant import Domain

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

    `eps` is a fraction of the pixel range, written as a number or as text such as "8/255". `examples` counts the
    examples judged (the first of the split; None: all that there are). `shard_size` is the unit of work, and the batch in
    which AutoAttack draws its random starts: another size is another (equally valid) draw. `entrants` are judged by
    default, besides every own entrant of the suite; `zoo_dataset` is RobustBench's name for the data, where it has models
    for it, `base` the suite that this one varies, and `loader` the user's own code, module:callable, that gives the data.
    `asked` are the words of a command that name it where its name alone does not.
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
    measures: tuple[str, ...] = ("standard", "autoattack", "energies", "smoothness")
    entrants: tuple[str, ...] = ()
    zoo_dataset: str = ""
    flip: bool = True
    description: str = ""
    base: str = ""
    loader: str = ""
    asked: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The words by which a command names it; () for one that only Python knows."""
        return self.asked or (("--suite", self.name) if SUITES.get(self.name) == self else ())

    @property
    def loaded_from(self) -> str:
        """What `datasets.load` is to be given: the name of the data, or the user's own code."""
        return self.loader or self.dataset

    def size(self, there: int) -> int:
        """How many examples it judges of so many that its split has."""
        return min(self.examples or there, there)

    @property
    def threat(self) -> ThreatModel:
        return ThreatModel(self.norm, parse_eps(self.eps))

    @property
    def domain(self) -> Domain:
        """What an entrant must accept and give; entrants are looked up by the suite's and RobustBench's names."""
        dataset = self.zoo_dataset or self.dataset
        return Domain(self.name, dataset, self.norm, self.classes, self.shape, varied=bool(self.base))

    @property
    def domains(self) -> tuple[Domain, ...]:
        """Where own entrants are looked for: the suite's, and those of the suite that it varies."""
        own = self.domain
        return (own, dataclasses.replace(own, suite=self.base)) if self.base else (own,)

    def on(self, dataset: str) -> Suite:
        """The suite on other data: it carries the data's name, so that its figures never stand among the original's.

        `dataset` may be the user's own code, module:callable. Raises BadInput where that cannot be imported, and for a part of
        the suite's own data, which is no other data.
        """
        require_other(dataset, self.dataset)
        dataset, loader = data_name(dataset)
        if dataset == self.dataset and loader in ("", self.loader):
            return self
        name = self.name.replace(self.dataset, dataset)
        return replace(
            self,
            name=f"{self.name}-on-{dataset}" if name in SUITES else name,
            title=f"{self.title}, on {dataset}",
            dataset=dataset,
            loader=loader,
            zoo_dataset=self.zoo_dataset or self.dataset,
            base=self.base or self.name,
            asked=(*self.words, "--dataset", loader or dataset) if self.words else (),
            description=(
                f"The suite {self.name} on the data set {dataset}: not comparable with figures on {self.dataset}."
                f" {self.description}"
            ).strip(),
        )

    def found_as(self, dataset: str) -> Suite:
        """The suite on data that was found under another name than asked for: a command asks for it as before."""
        return replace(self.on(dataset), asked=self.words)


def data_name(dataset: str) -> tuple[str, str]:
    """The name that results on a data set carry, and the user's own code that loads it ("" for data by name)."""
    return (OwnData.find(dataset).name, dataset) if is_own(dataset) else (dataset, "")


def parse_eps(text: str) -> float:
    """A radius as a fraction of the pixel range, "0.15" or "8/255": the float nearest to what the text says.

    Raises BadInput for what is no number of at least 0, and for one that no float can hold.
    """
    try:
        parts = [Fraction(part) for part in _radius(text)]
        return float(parts[0] / parts[1] if len(parts) == 2 else parts[0])
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise BadInput(
            f"expected eps >= 0 as a number or a fraction such as 8/255, got {text!r}; correct the suite"
        ) from error


def _radius(text: str) -> tuple[str, ...]:
    """The one or two decimal numbers of a radius. Raises ValueError."""
    parts = tuple(part.strip() for part in text.split("/"))
    # an exponent of more digits would be written out as a whole number, which takes hours
    if len(parts) > 2 or not all(
        re.fullmatch(r"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", part, re.ASCII) for part in parts
    ):
        raise ValueError(text)
    return parts


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            name="digits",
            version=2,
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
            name="mnist",
            version=1,
            title="MNIST, Linf 0.3",
            dataset="mnist",
            classes=10,
            shape=(1, 28, 28),
            norm="Linf",
            eps="0.3",
            examples=10_000,
            flip=False,
            description=(
                "MNIST's 10,000 test images under the threat model of the table that AutoAttack's authors publish."
            ),
        ),
        Suite(
            name="cifar10",
            version=2,
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
            version=2,
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
            version=2,
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
            version=2,
            title="SVHN, Linf 8/255",
            dataset="svhn",
            classes=10,
            shape=(3, 32, 32),
            norm="Linf",
            eps="8/255",
            examples=26_032,
            flip=False,
            description="All 26,032 test images of the Street View House Numbers.",
        ),
        Suite(
            name="tiny-imagenet",
            version=2,
            title="Tiny-ImageNet, Linf 8/255",
            dataset="tiny-imagenet",
            classes=200,
            shape=(3, 64, 64),
            norm="Linf",
            eps="8/255",
            examples=10_000,
            description="Tiny-ImageNet's 10,000 validation images, which serve as its test split.",
        ),
        Suite(
            name="imagenet",
            version=2,
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
