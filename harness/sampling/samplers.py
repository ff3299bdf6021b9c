"""How a sample moves down its objective. One step of a sampler is a function of the point, its gradient and its velocity.

The noise of standard deviation gamma is far below what Langevin dynamics at temperature 1 would need (it corresponds to a
temperature near 2e-6): this is descent from a varied start, and x_0 alone belongs beside every result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from harness.errors import BadInput

Gradient = Callable[[Tensor], Tensor]


class Sampler(Protocol):
    """A frozen dataclass. `gradients` counts the gradients of a step."""

    gradients: ClassVar[int]

    @property
    def name(self) -> str: ...
    @property
    def steps(self) -> int: ...
    @property
    def noise(self) -> float: ...

    def __call__(self, x: Tensor, gradient: Tensor, velocity: Tensor, again: Gradient) -> tuple[Tensor, Tensor]:
        """The point moved, (N, C, H, W), before noise and clamping, and its new velocity. `again`: gradients elsewhere."""
        ...


def _checked(eta: float, steps: int, noise: float) -> None:
    if not 0 < eta < math.inf:
        raise BadInput(f"expected a step size above 0, got {eta}; correct it")
    if steps < 0:
        raise BadInput(f"expected at least 0 steps, got {steps}; correct it")
    if not 0 <= noise < math.inf:
        raise BadInput(f"expected noise of a standard deviation of at least 0, got {noise}; correct it")


@dataclass(frozen=True)
class SGLD:
    """v <- momentum v - (eta/2) grad; x <- clamp(x + v + noise N(0,1)). Without momentum and noise: gradient descent."""

    eta: float
    steps: int
    momentum: float = 0.0
    noise: float = 0.001
    name: str = "sgld"
    gradients: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _checked(self.eta, self.steps, self.noise)
        if not 0 <= self.momentum < 1:
            raise BadInput(f"expected momentum from 0 to below 1, got {self.momentum}; correct it")

    def __call__(self, x: Tensor, gradient: Tensor, velocity: Tensor, again: Gradient) -> tuple[Tensor, Tensor]:
        velocity = self.momentum * velocity - self.eta / 2 * gradient
        return x + velocity, velocity


@dataclass(frozen=True)
class Heun:
    """The mean of the gradients here and after a whole step: x <- clamp(x - (eta/4) (g(x) + g(x')) + noise),
    x' = clamp(x - (eta/2) g(x)). Down the energy, second order, at two gradients a step."""

    eta: float
    steps: int
    noise: float = 0.001
    name: str = "heun"
    gradients: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _checked(self.eta, self.steps, self.noise)

    def __call__(self, x: Tensor, gradient: Tensor, velocity: Tensor, again: Gradient) -> tuple[Tensor, Tensor]:
        step = self.eta / 2
        ahead = again((x - step * gradient).clamp(0, 1))
        return x - step / 2 * (gradient + ahead), velocity


@dataclass(frozen=True)
class NormalisedGradient:
    """x <- clamp(x - eta grad / ||grad||_2 + noise): each step has the length eta, whatever the scale of the logits."""

    eta: float
    steps: int
    noise: float = 0.001
    name: str = "normalised-gradient"
    gradients: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _checked(self.eta, self.steps, self.noise)

    def __call__(self, x: Tensor, gradient: Tensor, velocity: Tensor, again: Gradient) -> tuple[Tensor, Tensor]:
        norm = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        # where the gradient is zero there is nowhere to go
        direction = torch.where(norm > 0, gradient / norm.clamp_min(torch.finfo(norm.dtype).tiny), 0.0)
        return x - self.eta * direction, velocity
