"""What counts of the images that an attack returns: the one place where that is decided.

An image counts where it is finite, lies in [0,1] and in the ball, and the classifier's logits for it are finite. Which way it
errs: a classifier whose logits are not finite at an adversarial image is not counted as broken there, so accuracy errs high.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.errors import BadInput
from harness.threat import ThreatModel, per_sample


@dataclass(frozen=True)
class Verified:
    """What the check of N returned images found. Nothing that the attack says of itself is used.

    `x_adv` (N, C, H, W) and `logits` (N, K): the images as they were returned, in the type of the natural ones, and the
    classifier's logits for them. `fooling` (N,) bool: misclassified, whether it counts or not. `reasons`: for each reason
    not to count, the images that it holds for, (N,) bool; more than one may hold for an image.
    """

    x_adv: Tensor
    logits: Tensor
    fooling: Tensor
    reasons: Mapping[str, Tensor]

    @property
    def counted(self) -> Tensor:
        """(N,) bool: no reason speaks against it."""
        return ~torch.stack(list(self.reasons.values())).any(0)

    @property
    def broken(self) -> Tensor:
        """(N,) bool: it counts and is misclassified, so its example is not robust."""
        return self.fooling & self.counted


def verified(model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, found: Tensor, threat: ThreatModel) -> Verified:
    """Check the images that an attack found for x (N, C, H, W) with labels y (N,), in one forward pass.

    Raises BadInput where they are not of x's shape.
    """
    x_adv = as_images(x, found)
    legality = threat.verify(x, x_adv)
    with torch.no_grad():
        logits = model(x_adv)
    reasons = {
        "not finite": legality.not_finite,
        "outside [0,1]": legality.outside_box,
        "outside the ball": legality.outside_ball,
        "logits not finite": ~logits.isfinite().all(1),
    }
    return Verified(x_adv, logits, logits.argmax(1) != y, reasons)


@dataclass(frozen=True)
class Attacked:
    """What an attack on N examples comes to, all of it verified.

    `x_adv` (N, C, H, W): the image that counts, which is the returned one, or the natural one where that must not count.
    `logits` (N, K): the classifier's at x_adv. `broken` (N,) bool: x_adv is misclassified (so may the natural image be).
    `counted` (N,) bool: x_adv is what the attack returned. `rejected`: how many returned images do not count, by reason;
    reasons that hold for none are left out, and an image may be counted under two.
    """

    x_adv: Tensor
    logits: Tensor
    broken: Tensor
    counted: Tensor
    rejected: Mapping[str, int]


def attacked(
    model: nn.Module, x: Tensor, y: Tensor, found: Tensor, threat: ThreatModel, *, natural: Tensor | None = None
) -> Attacked:
    """What counts of the images that an attack found for x (N, C, H, W) with labels y (N,).

    One forward pass; and one at x where an image is rejected, unless `natural`, the logits (N, K) at x, is given. Raises
    BadInput where the images are not of x's shape.
    """
    check = verified(model, x, y, found, threat)
    counted = check.counted
    rejected = {reason: n for reason, held in check.reasons.items() if (n := int(held.sum()))}
    if not rejected:
        return Attacked(check.x_adv, check.logits, check.fooling, counted, rejected)
    if natural is None:
        with torch.no_grad():
            natural = model(x)
    logits = torch.where(counted.unsqueeze(1), check.logits, natural)
    return Attacked(_or_natural(counted, check.x_adv, x), logits, logits.argmax(1) != y, counted, rejected)


def legal_or_natural(x: Tensor, found: Tensor, threat: ThreatModel) -> Tensor:
    """The images found for x (N, C, H, W) where the threat model allows them, x elsewhere. No logits are looked at."""
    x_adv = as_images(x, found)
    return _or_natural(threat.verify(x, x_adv).legal, x_adv, x)


def as_images(x: Tensor, found: Tensor) -> Tensor:
    """What an attack returned, detached and in x's type. Raises BadInput where it is not of x's shape."""
    if found.shape != x.shape:
        raise BadInput(f"expected {tuple(x.shape)} adversarial images, got {tuple(found.shape)}; mend the attack")
    return found.detach().to(x.dtype)


def _or_natural(chosen: Tensor, x_adv: Tensor, x: Tensor) -> Tensor:
    return torch.where(per_sample(chosen, x), x_adv, x)
