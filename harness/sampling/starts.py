"""Where a draw begins: x_0 for a class and a draw's number, from training images alone.

Each start is a function of (training images, seed, class, number of the draw): neighbours in a batch, the batch's size and
the device do not enter. Values may leave [0,1]; whoever shows or descends from them clamps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from harness.errors import BadInput
from harness.sampling.noise import BASE, PICK, START, normal, uniform
from harness.sampling.training_images import TrainingImages


class Start(Protocol):
    """A frozen dataclass whose fields are its settings."""

    @property
    def name(self) -> str: ...

    def __call__(self, training: TrainingImages, y: Tensor, draws: Tensor, seed: int) -> Tensor:
        """Classes y (N,) and numbers of the draws (N,), both int64 on the CPU, to x_0 (N, C, H, W) float32."""
        ...


def _by_class(training: TrainingImages, y: Tensor, draws: Tensor, points: Callable[[int, Tensor], Tensor]) -> Tensor:
    """`points` of each class that occurs, (n, D) for the draws of that class, put where they belong."""
    found = torch.empty(len(y), *training.shape)
    for klass in y.unique().tolist():
        mine = y == klass
        found[mine] = points(klass, draws[mine]).float().view(-1, *training.shape)
    return found


def _require_positive(what: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise BadInput(f"expected {what} above 0, got {value}; correct it")


@dataclass(frozen=True)
class PCAStart:
    """mu + tau sum_i sd_i z_i U_i over the components that reach `variance`. `sigma` in place of tau: tau = sigma sqrt(n-1).

    tau = 1 has the class's covariance; the paper's sigma 0.005 is tau 0.354 for CIFAR-10's 5,000 images a class.
    """

    variance: float = 0.95
    tau: float | None = 0.354
    sigma: float | None = None
    name: str = "pca"

    def __post_init__(self) -> None:
        if not 0 < self.variance <= 1:
            raise BadInput(f"expected a retained variance above 0 and up to 1, got {self.variance}; 0.95 keeps 95 %")
        if (self.tau is None) == (self.sigma is None):
            raise BadInput(f"expected either tau or sigma, got {self.tau} and {self.sigma}; give one of them")
        _require_positive("tau or sigma", self.tau if self.tau is not None else self.sigma or 0.0)

    def __call__(self, training: TrainingImages, y: Tensor, draws: Tensor, seed: int) -> Tensor:
        def points(klass: int, mine: Tensor) -> Tensor:
            pca = training.pca(klass, self.variance)
            tau = self.tau if self.tau is not None else pca.tau(self.sigma or 0.0)
            return pca(normal(seed, mine, START, len(pca.deviations)), tau)

        return _by_class(training, y, draws, points)


@dataclass(frozen=True)
class GaussianStart:
    """The Gaussian of the class with its full covariance (every component, tau 1), as JEAT starts from one."""

    name: str = "gaussian"

    def __call__(self, training: TrainingImages, y: Tensor, draws: Tensor, seed: int) -> Tensor:
        def points(klass: int, mine: Tensor) -> Tensor:
            pca = training.pca(klass, 1.0)
            return pca(normal(seed, mine, BASE, len(pca.deviations)), 1.0)

        return _by_class(training, y, draws, points)


def _require_weight(weight: float) -> None:
    if not 0 <= weight <= 1:
        raise BadInput(f"expected a weight from 0 to 1, got {weight}; correct it")


@dataclass(frozen=True)
class MixStart:
    """Each draw is one of the two: with the probability `weight` of the Gaussian of the class, else the PCA start.

    That is a mixture of two distributions, as in the paper. Its covariance is weight S_g + (1 - weight) S_p.
    """

    weight: float = 0.5
    pca: PCAStart = PCAStart()
    name: str = "mix"

    def __post_init__(self) -> None:
        _require_weight(self.weight)

    def __call__(self, training: TrainingImages, y: Tensor, draws: Tensor, seed: int) -> Tensor:
        x = self.pca(training, y, draws, seed)
        picked = uniform(seed, draws, PICK, 1).squeeze(1) < self.weight
        x[picked] = GaussianStart()(training, y[picked], draws[picked], seed)
        return x


@dataclass(frozen=True)
class BlendStart:
    """weight * (Gaussian of the class) + (1 - weight) * (PCA start), drawn independently of each other.

    A sum, not a mixture: nearer to the class's mean than either. Its covariance is weight^2 S_g + (1 - weight)^2 S_p.
    """

    weight: float = 0.5
    pca: PCAStart = PCAStart()
    name: str = "blend"

    def __post_init__(self) -> None:
        _require_weight(self.weight)

    def __call__(self, training: TrainingImages, y: Tensor, draws: Tensor, seed: int) -> Tensor:
        gaussian = GaussianStart()(training, y, draws, seed)
        return self.weight * gaussian + (1 - self.weight) * self.pca(training, y, draws, seed)


@dataclass(frozen=True)
class UniformStart:
    """Each value uniform in [0,1): nothing of the training images is in it."""

    name: str = "uniform"

    def __call__(self, training: TrainingImages, y: Tensor, draws: Tensor, seed: int) -> Tensor:
        channels, height, width = training.shape
        return uniform(seed, draws, START, channels * height * width).view(-1, *training.shape)


@dataclass(frozen=True)
class NoisedRealStart:
    """A training image of the class, drawn with replacement, plus Gaussian noise of standard deviation `noise`."""

    noise: float = 0.1
    name: str = "noised-real"

    def __post_init__(self) -> None:
        _require_positive("noise", self.noise)

    def __call__(self, training: TrainingImages, y: Tensor, draws: Tensor, seed: int) -> Tensor:
        def points(klass: int, mine: Tensor) -> Tensor:
            images = training.of(klass).flatten(1)
            picked = (uniform(seed, mine, PICK, 1).squeeze(1).double() * len(images)).long()
            return images[picked] + self.noise * normal(seed, mine, START, images.shape[1])

        return _by_class(training, y, draws, points)


@dataclass(frozen=True)
class ClassMeanStart:
    """The mean image of the class: every draw of a class starts at the same point."""

    name: str = "class-mean"

    def __call__(self, training: TrainingImages, y: Tensor, draws: Tensor, seed: int) -> Tensor:
        return _by_class(training, y, draws, lambda klass, mine: training.mean(klass).expand(len(mine), -1))
