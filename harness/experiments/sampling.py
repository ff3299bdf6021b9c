"""The sampling experiment: how starts, samplers and objectives of generation compare, on one entrant.

One thing is varied at a time around a preset, or all combinations are made. Every setting draws equally many images, at equally
many gradients, and every score is of one number of images, so that rows compare; the start alone (0 steps) is a row of its own.
Step sizes are not tuned to each setting: a poor score may be the step's and not the objective's. FID errs high for few images.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.classifier.devices import devices
from harness.errors import BadInput
from harness.experiments.measuring import Follow, Measuring, as_json, silently
from harness.measures.generation import Generation
from harness.measures.generation_file import OBJECTIVES, SAMPLERS, STARTS
from harness.run.executors.executor import executor_for
from harness.run.findings import write_findings
from harness.run.plan import Plan, Task, make_plan
from harness.run.selection import Faults
from harness.run.session import Session
from harness.sampling.descent import marks_of
from harness.sampling.objectives import EnergyDifference, Objective
from harness.sampling.samplers import SGLD, Heun, NormalisedGradient, Sampler
from harness.sampling.starts import BlendStart, MixStart, PCAStart, Start
from harness.suites.suite import Suite
from leaderboards.board.labels import EQUAL_N
from leaderboards.records.files import file_stem, record_path
from leaderboards.records.home import Home
from leaderboards.records.schema import Measurement, Record, Value
from zoo.entrant import did_you_mean

DEFAULT = "default"
FACTORS = ("start", "sampler", "objective")

PATH = 0.25
"""How far normalised steps go in all, as a root mean square over the pixels, in the range of a pixel."""


def start_of(name: str, base: Generation) -> Start:
    """A start by its name, with the base's numbers where it is the base's, or is made from the base's PCA start."""
    if name == base.start.name:
        return base.start
    if name in (MixStart.name, BlendStart.name) and isinstance(base.start, PCAStart):
        return MixStart(pca=base.start) if name == MixStart.name else BlendStart(pca=base.start)
    found: Start = STARTS[name]()
    return found


def sampler_of(name: str, base: Generation, usual: SGLD, shape: Sequence[int]) -> Sampler:
    """A sampler by its name, at the base's number of gradients. Heun's step is as much longer as it has fewer steps; normalised
    steps go PATH in all."""
    if name == base.sampler.name:
        return base.sampler
    known = base.sampler if isinstance(base.sampler, SGLD) else usual
    gradients, eta = base.sampler.gradients * base.sampler.steps, known.eta / (1 - known.momentum)
    noise = base.sampler.noise
    if name == Heun.name:
        return Heun(eta=2 * eta, steps=max(1, gradients // 2), noise=noise)
    if name == NormalisedGradient.name:
        whole = PATH * math.sqrt(math.prod(shape))
        return NormalisedGradient(eta=whole / max(1, gradients), steps=gradients, noise=noise)
    return SGLD(eta=eta, steps=gradients, noise=noise)


def objective_of(name: str, base: Generation) -> Objective:
    """An objective by its name. The energy difference has the weight 0.5: at 0 it is E(x,y), at 1 the cross-entropy."""
    if name == base.objective.name:
        return base.objective
    found: Objective = EnergyDifference(weight=0.5) if name == EnergyDifference.name else OBJECTIVES[name]()
    return found


@dataclass(frozen=True)
class Setting:
    """One way of drawing. `factor` is what differs from the default; "" for the default itself, "all" in a full grid."""

    name: str
    factor: str
    measure: Generation


@dataclass(frozen=True)
class Drawn:
    """What came of a setting. `samples` is the file of its images; None where it could not be drawn."""

    setting: Setting
    measurement: Measurement | None
    samples: Path | None
    file: str

    def value(self, name: str, prefix: str = "") -> Value | None:
        """A score at the number of images that all sets have; `prefix` is "starts." or "held_out."."""
        return self.measurement.values.get(f"{EQUAL_N}{prefix}{name}") if self.measurement else None

    def energy(self, step: int) -> Value | None:
        """Mean E(x,y) after so many steps, one of the marks."""
        return self.measurement.values.get(f"joint_energy.step_{step}.mean") if self.measurement else None

    @property
    def measured_steps(self) -> str:
        """The mean number of steps that were taken, as text; fewer than planned where samples rest early."""
        value = self.measurement.values.get("steps.mean") if self.measurement else None
        return "" if value is None or value.value is None else f"{value.value:.4g}"

    @property
    def last(self) -> int:
        return marks_of(self.setting.measure.sampler.steps)[-1]

    def to_json(self) -> dict[str, Any]:
        measure, found = self.setting.measure, self.measurement
        return {
            "setting": self.setting.name,
            "varied": self.setting.factor,
            "start": asdict(measure.start),  # type: ignore[call-overload]
            "sampler": asdict(measure.sampler),  # type: ignore[call-overload]
            "objective": asdict(measure.objective),  # type: ignore[call-overload]
            "values": {name: as_json(value) for name, value in found.values.items()} if found else None,
            "record": self.file,
        }


@dataclass(frozen=True)
class Sampling:
    """What is varied around `base`. `usual` is the suite's own preset, whose step size stands in where the base has none.

    Raises BadInput for a name that generation does not know.
    """

    base: Generation
    usual: Generation
    starts: tuple[str, ...]
    samplers: tuple[str, ...]
    objectives: tuple[str, ...]
    images: int | None = None
    every: bool = False

    def __post_init__(self) -> None:
        for what, names, known in (
            ("start", self.starts, STARTS),
            ("sampler", self.samplers, SAMPLERS),
            ("objective", self.objectives, OBJECTIVES),
        ):
            for name in names:
                if name not in known:
                    raise BadInput(
                        f"expected a {what} of generation, got {name!r};{did_you_mean(name, known)} choose among"
                        f" {', '.join(known)}"
                    )

    def settings(self, bound: Generation, suite: Suite) -> tuple[Setting, ...]:
        """Every setting, the default first. `bound` is the base with its training images, and as many draws as are wanted."""
        usual = self.usual.sampler
        assert isinstance(usual, SGLD)
        starts = {name: start_of(name, bound) for name in self.starts}
        samplers = {name: sampler_of(name, bound, usual, suite.shape) for name in self.samplers}
        objectives = {name: objective_of(name, bound) for name in self.objectives}
        if self.every:
            return tuple(
                Setting(
                    ", ".join(names),
                    "all",
                    replace(bound, start=starts[s], sampler=samplers[k], objective=objectives[o]),
                )
                for names in itertools.product(starts, samplers, objectives)
                for s, k, o in (names,)
            )
        found = [Setting(DEFAULT, "", bound)]
        varied: tuple[Mapping[str, Any], ...] = (starts, samplers, objectives)
        for factor, variants in zip(FACTORS, varied, strict=True):
            for name, variant in variants.items():
                if name != getattr(bound, factor).name:
                    found.append(Setting(name, factor, replace(bound, **{factor: variant})))
        return tuple(found)

    def sessions(self, measuring: Measuring, spec: str, faults: Faults) -> dict[Setting, Session]:
        """What there is to draw for each setting, each with a folder of records of its own, for a record holds one way of
        drawing; shards and fits are shared. Empty where faults leave nothing."""
        whole = replace(measuring, measures=(self.base,)).session([spec], faults)
        if whole is None:
            return {}
        (bound,) = whole.plan.measures
        assert isinstance(bound, Generation)
        assert bound.material is not None
        wanted = min(self.base.images, len(bound.material.held_out)) if self.images is None else self.images
        found = {}
        for setting in self.settings(replace(bound, images=wanted), whole.plan.suite):
            plan = whole.plan
            mine = make_plan(plan.suite, plan.judged, [setting.measure], precision=plan.precision, device=plan.device)
            folder = "-".join(part for part in (setting.factor, setting.name.replace(", ", "-")) if part)
            found[setting] = Session(mine, whole.store, measuring.folder / "settings" / file_stem(folder), faults.tell)
        return found

    def __call__(
        self, sessions: Mapping[Setting, Session], measuring: Measuring, faults: Faults, follow: Follow = silently
    ) -> tuple[Drawn, ...]:
        """Draw what is missing, all settings by one set of workers. Whatever ends it early, what is drawn is kept."""
        plan, todo = joined(sessions)
        store = next(iter(sessions.values())).store
        with follow(plan, todo, faults) as report:
            executor_for(devices(measuring.device, measuring.workers), measuring.workers)(
                plan, todo, store, report, report.heard
            )
        drawn = []
        for setting, session in sessions.items():
            records = write_findings(session.plan, store, session.out)
            drawn.append(_drawn(setting, session.out, records[0] if records else None, measuring.folder))
        return tuple(drawn)

    def to_json(self, drawn: Sequence[Drawn], suite: Suite, entrant: str) -> dict[str, Any]:
        """All numbers, plain."""
        return {
            "experiment": "sampling",
            "suite": suite.name,
            "entrant": entrant,
            "preset": self.base.preset,
            "images": drawn[0].setting.measure.images,
            "seed": self.base.seed,
            "one_at_a_time": not self.every,
            "settings": [one.to_json() for one in drawn],
        }


def joined(sessions: Mapping[Setting, Session]) -> tuple[Plan, tuple[Task, ...]]:
    """One plan of the tasks of all settings, and those that are still to be done."""
    plans = [session.plan for session in sessions.values()]
    plan = replace(
        plans[0],
        measures=tuple(measure for one in plans for measure in one.measures),
        tasks=tuple(task for one in plans for task in one.tasks),
    )
    return plan, plan.todo(next(iter(sessions.values())).store)


def _drawn(setting: Setting, out: Path, record: Record | None, folder: Path) -> Drawn:
    if record is None or "generation" not in record.measurements:
        return Drawn(setting, None, None, "")
    home = Home(out)
    samples = record_path(home.samples, record).with_suffix("") / "samples.safetensors"
    file = record_path(home.results, record).relative_to(folder).as_posix()
    return Drawn(setting, record.measurements["generation"], samples if samples.is_file() else None, file)


def dry_run(sessions: Mapping[Setting, Session]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings, and a row a setting: what it varies, its draws, and the passes of those that are still to be made."""
    rows = []
    for setting, session in sessions.items():
        cost = session.plan.cost(session.plan.todo(session.store))
        counts = setting.measure.images, cost.forward, cost.backward
        rows.append((setting.name, setting.factor or "nothing", *(f"{count:,}" for count in counts)))
    return ("setting", "varies", "images", "forward passes", "backward passes"), rows
