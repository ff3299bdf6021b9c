"""Threat models: the ball around an image that an attack may use, and the check of what an attack returns.

Which way it errs: `verify` allows float32 rounding (1e-6 + 1e-5 eps in the norm, nothing in the box), so a point that an
exact computation would put just outside the ball may count; nothing further out does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from harness.energy import widest
from harness.errors import BadInput

Norm = Literal["Linf", "L2"]


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(N,) values shaped to broadcast over `like`'s (N, ...)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


@dataclass(frozen=True)
class Legality:
    """What `ThreatModel.verify` found of N images, each (N,) bool: which are `legal`, and why the others are not.

    A finite image may lie outside the box and outside the ball at once.
    """

    not_finite: Tensor
    outside_box: Tensor
    outside_ball: Tensor

    @property
    def legal(self) -> Tensor:
        """(N,) bool: finite, in [0,1], and in the ball."""
        return ~(self.not_finite | self.outside_box | self.outside_ball)


@dataclass(frozen=True)
class ThreatModel:
    """All x' in [0,1] with ||x' - x||_norm <= eps."""

    norm: Norm
    eps: float

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise BadInput(f"expected a norm of {' or '.join(get_args(Norm))}, got {self.norm!r}; correct the suite")
        if not 0 <= self.eps < float("inf"):
            raise BadInput(
                f"expected eps >= 0 as a fraction of the pixel range [0,1], got {self.eps}; correct the suite"
            )

    @property
    def tolerance(self) -> float:
        """How much a float32 computation may overshoot eps and still count as inside."""
        return 1e-6 + 1e-5 * self.eps

    def distance(self, x: Tensor, x_adv: Tensor) -> Tensor:
        """||x_adv - x||_norm per sample: (N, ...) images to (N,) float64 (float32 on mps, which has no other)."""
        precise = widest(x.device)
        difference = (x_adv.to(precise) - x.to(precise)).flatten(1)
        return difference.abs().amax(1) if self.norm == "Linf" else difference.norm(dim=1)

    def project(self, x: Tensor, x_adv: Tensor) -> Tensor:
        """A point of the ball and of [0,1] near x_adv: (N, C, H, W) to the same shape.

        The perturbation is projected on the ball, then the image is clamped. As x lies in the box, clamping only shortens
        the perturbation, so the result lies in both. (For L2 it is not always the nearest such point.)
        """
        if self.norm == "Linf":
            return torch.minimum(torch.maximum(x_adv, x - self.eps), x + self.eps).clamp(0, 1)
        perturbation = x_adv - x
        length = perturbation.flatten(1).norm(dim=1)
        factor = torch.where(length > self.eps, self.eps / length.clamp_min(torch.finfo(x.dtype).tiny), 1.0)
        return (x + perturbation * per_sample(factor, x)).clamp(0, 1)

    def ascent(self, gradient: Tensor) -> Tensor:
        """The step of unit norm along which a linear function with this gradient rises most: (N, ...) to the same."""
        if self.norm == "Linf":
            return gradient.sign()
        length = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
        return gradient / per_sample(length, gradient)

    def random_point(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """A uniform point of the ball, clamped to [0,1]. Drawn on the generator's device: (N, C, H, W) to the same."""
        if self.norm == "Linf":
            noise = torch.rand(x.shape, generator=generator, device=generator.device).to(x) * 2 - 1
            return self.project(x, x + self.eps * noise)
        direction = torch.randn(x.shape, generator=generator, device=generator.device).to(x)
        radius = torch.rand(len(x), generator=generator, device=generator.device).to(x) ** (1 / x[0].numel())
        return self.project(x, x + self.eps * per_sample(radius, x) * self.ascent(direction))

    def verify(self, x: Tensor, x_adv: Tensor) -> Legality:
        """Check what an attack returned, as the float32 images that a model would be given."""
        adversarial = x_adv.detach().float()
        flat = adversarial.flatten(1)
        finite = flat.isfinite().all(1)
        in_box = (flat >= 0).all(1) & (flat <= 1).all(1)
        in_ball = self.distance(x.detach().float(), adversarial) <= self.eps + self.tolerance
        return Legality(not_finite=~finite, outside_box=finite & ~in_box, outside_ball=finite & ~in_ball)
