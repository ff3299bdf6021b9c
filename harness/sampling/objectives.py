"""What a sampler descends: a value a sample, (N,), from logits; its gradient is taken of the sum over the samples.

A mean would make the step depend on the batch size. By the identity CE(x,y) = E(x,y) - E(x) the cross-entropy is the
difference of the two energies; `EnergyDifference` gives the marginal term a weight of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.energy import joint_energy, marginal_energy, wide
from harness.errors import BadInput
from harness.sampling.training_images import TrainingImages


@dataclass(frozen=True)
class Reference:
    """What the classifier says of real images: mean E(x,y) of each class (K,), their mean logits (K, L), and the inverse of
    the covariance of logits within a class (L, L), one for all classes (Lee et al. 2018)."""

    energies: Tensor
    logits: Tensor
    precision: Tensor


def reference(model: nn.Module, training: TrainingImages, per_class: int, device: torch.device) -> Reference:
    """By the first `per_class` training images of each class; the pseudo-inverse where logits are linearly dependent."""
    energies, means, centred = [], [], []
    with torch.no_grad():
        for klass in range(training.classes):
            x = training.of(klass, per_class).to(device)
            logits = wide(model(x)).double()
            energies.append(-logits[:, klass].mean())
            means.append(logits.mean(0))
            centred.append(logits - means[-1])
    within = torch.cat(centred)
    covariance = within.T @ within / max(1, len(within) - training.classes)
    precision = torch.linalg.pinv(covariance, hermitian=True)
    return Reference(torch.stack(energies).float(), torch.stack(means).float(), precision.float())


class Objective(Protocol):
    """A frozen dataclass; `needs_reference` says that it is held against real images."""

    needs_reference: ClassVar[bool]

    @property
    def name(self) -> str: ...

    def __call__(self, logits: Tensor, y: Tensor, real: Reference | None) -> Tensor:
        """(N, K) logits and (N,) int64 classes to (N,)."""
        ...


@dataclass(frozen=True)
class JointEnergy:
    """E(x,y) = -f(x)[y]."""

    needs_reference: ClassVar[bool] = False
    name: str = "joint-energy"

    def __call__(self, logits: Tensor, y: Tensor, real: Reference | None) -> Tensor:
        return joint_energy(logits, y)


@dataclass(frozen=True)
class MarginalEnergy:
    """E(x) = -logsumexp_k f(x)[k]: unconditional, the class decides the start alone."""

    needs_reference: ClassVar[bool] = False
    name: str = "marginal-energy"

    def __call__(self, logits: Tensor, y: Tensor, real: Reference | None) -> Tensor:
        return marginal_energy(logits)


@dataclass(frozen=True)
class CrossEntropy:
    """CE(x,y) = -log p(y|x)."""

    needs_reference: ClassVar[bool] = False
    name: str = "cross-entropy"

    def __call__(self, logits: Tensor, y: Tensor, real: Reference | None) -> Tensor:
        return F.cross_entropy(wide(logits), y, reduction="none")


@dataclass(frozen=True)
class EnergyDifference:
    """E(x,y) - weight E(x): the joint energy at weight 0, the cross-entropy at weight 1."""

    weight: float = 1.0
    needs_reference: ClassVar[bool] = False
    name: str = "energy-difference"

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise BadInput(f"expected a weight that is a finite number, got {self.weight}; correct it")

    def __call__(self, logits: Tensor, y: Tensor, real: Reference | None) -> Tensor:
        return joint_energy(logits, y) - self.weight * marginal_energy(logits)


def _known(real: Reference | None) -> Reference:
    if real is None:
        raise ValueError("expected the logits of real images beside an objective that is held against them, got none")
    return real


@dataclass(frozen=True)
class EnergyDistance:
    """(E(x,y) - mean E(x,y) of the class's real images)^2."""

    needs_reference: ClassVar[bool] = True
    name: str = "energy-distance"

    def __call__(self, logits: Tensor, y: Tensor, real: Reference | None) -> Tensor:
        return (joint_energy(logits, y) - _known(real).energies[y]) ** 2


@dataclass(frozen=True)
class Mahalanobis:
    """Squared Mahalanobis distance of the logits to the mean logits of the class's real images."""

    needs_reference: ClassVar[bool] = True
    name: str = "mahalanobis"

    def __call__(self, logits: Tensor, y: Tensor, real: Reference | None) -> Tensor:
        known = _known(real)
        difference = wide(logits) - known.logits[y]
        return ((difference @ known.precision) * difference).sum(1)
