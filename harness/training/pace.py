"""How fast a training goes, and how long the rest of it takes: the steps, and the evaluation after each epoch.

Seconds are taken to be in proportion to passes of single images through the network. What has been timed is used as it was; an
evaluation that has not been seen yet is taken to cost as much a pass as a step does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.training.recipes import Recipe

HALF = 60.0
"""Seconds after which what was timed counts half: a machine that others use too changes its pace."""

SELECTION_PASSES = 42
"""Of PGD-20, an image: forward and backward of each step, and what was found is verified."""


@dataclass(frozen=True)
class Work:
    """What a training does. Passes are of single images, forward; a backward pass to the images counts one, one to the weights
    and images two. `plain` and `perturbed` are those of a step without and with the perturbation of the weights, which begins
    behind `calm` epochs; `evaluation` those after an epoch."""

    epochs: int
    steps: int
    plain: float
    perturbed: float
    calm: int
    evaluation: float

    def step(self, epoch: int) -> float:
        """Passes of a step in an epoch (from 1)."""
        return self.plain if epoch <= self.calm else self.perturbed

    def ahead(self, epoch: int = 1, step: int = 0) -> tuple[float, int]:
        """Passes of the steps, and evaluations, from behind `step` steps of an epoch to the end."""
        if epoch > self.epochs:
            return 0.0, 0
        calm = max(min(self.calm, self.epochs) - epoch, 0)
        later = self.steps * (calm * self.plain + (self.epochs - epoch - calm) * self.perturbed)
        return (self.steps - step) * self.step(epoch) + later, self.epochs - epoch + 1

    @property
    def passes(self) -> float:
        """Of all steps and evaluations."""
        steps, evaluations = self.ahead()
        return steps + evaluations * self.evaluation


def work_of(recipe: Recipe, images: int, followed: int) -> Work:
    """Of a recipe on `images` training images, with `followed` images that it is evaluated on after each epoch."""
    method = recipe.method
    batch = min(recipe.batch_size, images)
    inner = 2 * recipe.attack_steps + (method.attack == "kl") if method.attack is not None else 0
    outer = 3 * (method.natural + (method.attack is not None))
    dropped = 1 if recipe.drop != "none" else 0
    plain = float(batch * (dropped + inner + outer))
    # without an attack of its own a recipe is followed under that of SAT
    evaluation = float(followed * (2 + 2 * recipe.attack_steps + SELECTION_PASSES))
    calm = sum(epoch / recipe.epochs < recipe.awp_warm_up for epoch in range(recipe.epochs)) if recipe.awp else 0
    perturbed = plain + (batch * outer if recipe.awp else 0)
    return Work(recipe.epochs, images // batch, plain, perturbed, calm, evaluation)


class Pace:
    """Times the steps and evaluations of a training that stands behind `step` steps of `epoch`."""

    def __init__(
        self, work: Work, epoch: int = 1, step: int = 0, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.work, self.epoch, self.step, self._clock = work, epoch, step, clock
        self._last = clock()
        self._first: float | None = None  # seconds a pass of the first step, which finds everything cold
        self._seconds, self._passes = 0.0, 0.0
        self._evaluation: float | None = None

    def stepped(self) -> None:
        """A step has ended."""
        took, passes = self._lap(), self.work.step(self.epoch)
        self.step += 1
        if self._first is None:
            self._first = took / passes
            return
        kept = 0.5 ** (took / HALF)
        self._seconds, self._passes = kept * self._seconds + took, kept * self._passes + passes

    def evaluated(self) -> None:
        """The evaluation after an epoch has ended."""
        took = self._lap()
        self._evaluation = took if self._evaluation is None else (self._evaluation + took) / 2
        self.epoch, self.step = self.epoch + 1, 0

    def told(self) -> None:
        """What is told of an epoch has been: that is no work of the training's, and takes its time once in a while."""
        self._lap()

    def _lap(self) -> float:
        now = self._clock()
        took, self._last = now - self._last, now
        return took

    @property
    def rate(self) -> float | None:
        """Seconds a pass; None before the first step."""
        return self._seconds / self._passes if self._passes else self._first

    @property
    def left(self) -> float | None:
        """Seconds to the end of this training; None before its first step."""
        return self._for(self.work, *self.work.ahead(self.epoch, self.step))

    def of(self, work: Work) -> float | None:
        """Seconds that another training takes at this pace; None before the first step."""
        return self._for(work, *work.ahead())

    def _for(self, work: Work, passes: float, evaluations: int) -> float | None:
        rate = self.rate
        if rate is None:
            return None
        seen = self._evaluation
        each = rate * work.evaluation if seen is None else seen * work.evaluation / self.work.evaluation
        return rate * passes + evaluations * each

    @property
    def done(self) -> float:
        """The share of this training's passes that is done, from 0 to 1."""
        passes, evaluations = self.work.ahead(self.epoch, self.step)
        return 1 - (passes + evaluations * self.work.evaluation) / self.work.passes
