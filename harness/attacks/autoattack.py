"""AutoAttack (Croce & Hein 2020) stage by stage: pyautoattack's attacks in its own order, with its seeds and batches.

The stages are run one at a time instead of through `run_standard_evaluation`, so that each stage's flags and images can be
kept and verified before a sample counts as broken. On the same examples, batch size and seed the flags equal those of
pyautoattack's version "standard", unless it returns an image outside the threat model, which is then reported here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from pyautoattack import AutoAttack, checks
from torch import Tensor, nn

from harness.attacks.verification import verified
from harness.classifier.stopwatch import seconds
from harness.threat import Norm, ThreatModel

STAGES = ("apgd-ce", "apgd-t", "fab-t", "square")
"""The stages of version "standard", in its order."""

TARGETS = 9
"""Target classes of version "standard": the nine most likely wrong ones."""


@dataclass(frozen=True)
class Warned:
    """A warning that pyautoattack gave, in the stage during which it gave it ("checks" before the first)."""

    stage: str
    message: str


@dataclass(frozen=True)
class Rejected:
    """Images of a stage that fool the classifier but break the rules, and so do not count."""

    stage: str
    reason: str
    n: int


@dataclass(frozen=True)
class CascadeState:
    """What the cascade has left of N examples.

    `stage` (N,) int8: -1 where the natural image is misclassified, k where stage k broke the example, len(stages) where it
    survived. `x_adv` (N, C, H, W): the image that broke it, else the natural one; an example is attacked until it breaks
    and then left alone, so the image after stage k is x_adv where stage <= k and x elsewhere. `done` counts the stages that
    have been run: until all have, "survived" means "so far". `classes` is the number of logits.
    """

    stages: tuple[str, ...]
    stage: Tensor
    x_adv: Tensor
    warnings: tuple[Warned, ...]
    rejected: tuple[Rejected, ...]
    classes: int
    done: int

    @property
    def finished(self) -> bool:
        """No stage is left to run: all have been, or none has anything to attack."""
        return self.done == len(self.stages) or not bool(self.robust.any())

    @property
    def robust(self) -> Tensor:
        """(N,) bool: survived every stage."""
        return self.stage == len(self.stages)


def stages_for(classes: int, norm: Norm, side: int) -> tuple[str, ...]:
    """The stages that so many classes and so small an image admit.

    The targeted DLR loss needs four classes; Square under L2 divides the shorter side (`side`, in pixels) by five.
    """
    impossible = {"apgd-t"} if classes < 4 else set()
    if norm == "L2" and side < 5:
        impossible.add("square")
    return tuple(stage for stage in STAGES if stage not in impossible)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.stage = "checks"
        self.warnings: list[Warned] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings.append(Warned(self.stage, record.getMessage()))


@contextmanager
def collected() -> Iterator[_Collector]:
    """Keep what pyautoattack's logger warns of; its wording is data."""
    logger, collector = logging.getLogger("auto-attack"), _Collector()
    propagate, level = logger.propagate, logger.level
    logger.addHandler(collector)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    try:
        yield collector
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagate
        logger.setLevel(level)


def _check(model: nn.Module, x: Tensor, y: Tensor, attack: AutoAttack, stages: tuple[str, ...]) -> None:
    """pyautoattack's reliability checks; what they find comes through its logger."""
    logger = logging.getLogger("auto-attack")
    checks.check_randomized(model, x, y, bs=len(x), logger=logger)
    classes = checks.check_range_output(model, x, logger=logger)
    # the check counts calls in counters that are never reset, and ends by switching off whatever trace was on
    checks.funcs.update(dict.fromkeys(checks.funcs, 0))
    trace = sys.gettrace()
    try:
        checks.check_dynamic(model, x, False, logger=logger)
    finally:
        sys.settrace(trace)
    checks.check_n_classes(classes, stages, attack.apgd_targeted.n_target_classes, attack.fab.n_target_classes, logger)


def _perturb(attack: AutoAttack) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Each stage's attack."""
    return {
        "apgd-ce": attack.apgd.perturb,
        "apgd-t": attack.apgd_targeted.perturb,
        "fab-t": attack.fab.perturb,
        "square": attack.square.perturb,
    }


@dataclass(frozen=True)
class Cascade:
    """AutoAttack's stages on one batch after another, each on the survivors of the one before.

    Random starts are drawn per batch, so flags depend on `batch_size` and on `seed`: both are part of a result.
    """

    seed: int = 0
    batch_size: int = 250

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> CascadeState:
        """Attack N images (N, C, H, W) in [0,1] with labels (N,). The model must return float32 logits."""
        state = self.begin(model, x, y, threat)
        while not state.finished:
            state = self.advance(model, x, y, threat, state)
        return state

    def begin(self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> CascadeState:
        """Natural logits and pyautoattack's checks: the state before the first stage."""
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []), collected() as collector, torch.no_grad():
            batches = range(0, len(x), self.batch_size)
            logits = torch.cat([model(x[i : i + self.batch_size]) for i in batches])
            classes = logits.shape[1]
            stages = stages_for(classes, threat.norm, min(x.shape[2:]))
            attack = self._attack(model, threat, classes, x.device)
            _check(model, x[: self.batch_size], y[: self.batch_size], attack, stages)
            stage_of = torch.where(logits.argmax(1) == y, len(stages), -1).to(torch.int8)
            return CascadeState(stages, stage_of, x.clone(), tuple(collector.warnings), (), classes, done=0)

    def advance(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, before: CascadeState
    ) -> CascadeState:
        """One stage more, on those that have survived so far.

        Each attack of pyautoattack sets the seed itself, so stopping between two stages changes nothing.
        """
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []), collected() as collector, torch.no_grad():
            stages, k, survived = before.stages, before.done, len(before.stages)
            stage_of, x_adv = before.stage.clone(), before.x_adv.clone()
            rejected: list[Rejected] = []
            collector.stage = stages[k]
            perturb = _perturb(self._attack(model, threat, before.classes, x.device))[stages[k]]
            for alive in (stage_of == survived).nonzero().squeeze(1).split(self.batch_size):
                if len(alive) == 0:
                    continue
                found = verified(model, x[alive], y[alive], perturb(x[alive].clone(), y[alive].clone()), threat)
                for reason, held in found.reasons.items():
                    if n := int((held & found.fooling).sum()):
                        rejected.append(Rejected(stages[k], reason, n))
                stage_of[alive[found.broken]] = k
                x_adv[alive[found.broken]] = found.x_adv[found.broken]
            warnings = (*before.warnings, *collector.warnings)
            return replace(
                before,
                stage=stage_of,
                x_adv=x_adv,
                warnings=warnings,
                rejected=(*before.rejected, *rejected),
                done=k + 1,
            )

    def doubts(self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> tuple[Warned, ...]:
        """What pyautoattack's reliability checks alone warn of, on the first batch of the images; nothing is attacked."""
        x, y = x[: self.batch_size], y[: self.batch_size]
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []), collected() as collector, torch.no_grad():
            classes = model(x[:1]).shape[1]
            attack = self._attack(model, threat, classes, x.device)
            _check(model, x, y, attack, stages_for(classes, threat.norm, min(x.shape[2:])))
            return tuple(collector.warnings)

    def _attack(self, model: nn.Module, threat: ThreatModel, classes: int, device: torch.device) -> AutoAttack:
        """pyautoattack's version "standard", with as many target classes as there are."""
        attack = AutoAttack(model, norm=threat.norm, eps=threat.eps, seed=self.seed, device=device)
        attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(TARGETS, classes - 1)
        attack.apgd.loss, attack.fab.targeted = "ce", True
        return attack

    def trial(self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> float:
        """Seconds that the cascade takes on these images at most, from a few timed steps of each attack.

        The steps are timed at eps 0, where nothing breaks: they bound those of a real run, whose examples break.
        """
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []), collected(), torch.no_grad():
            logits = model(x)
            y, classes = logits.argmax(1), logits.shape[1]
            attack = self._attack(model, replace(threat, eps=0.0), classes, x.device)
            targets = attack.fab.n_target_classes
            attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = 1
            attack.apgd.n_iter = attack.apgd_targeted.n_iter = attack.fab.n_iter = 3
            attack.square.n_queries = 20
            steps = {"apgd-ce": 100 / 3, "apgd-t": targets * 100 / 3, "fab-t": targets * 100 / 3, "square": 5000 / 20}
            perturb = _perturb(attack)
            perturb["apgd-ce"](x.clone(), y)  # not counted: the first call of anything is slow
            return sum(
                steps[stage] * seconds(partial(perturb[stage], x.clone(), y), x.device, warm=False)
                for stage in stages_for(classes, threat.norm, min(x.shape[2:]))
            )
