"""What AutoAttack's gradient attacks raise, with their gradients in the logits in closed form (Croce & Hein 2020)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from harness.attacks.losses import log_odds


class Loss(Protocol):
    """Logits (n, K), labels (n,) and target classes (n,) to values (n,) and their gradients in the logits (n, K)."""

    floor: float
    """What the value of the first step is compared with: AutoPGD's zero, where the loss can lie below it."""

    def __call__(self, logits: Tensor, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor]: ...


class CrossEntropy:
    """Minus the log odds of the label: a rising function of the cross-entropy, for each sample with the same direction of
    ascent, whose gradient does not vanish where the classifier is sure."""

    floor = -torch.inf  # the cross-entropy is above zero at every step

    def __call__(self, logits: Tensor, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        label = y.unsqueeze(1)
        gradient = logits.scatter(1, label, -torch.inf).softmax(1).scatter_(1, label, -1.0)
        return -log_odds(logits, y), gradient


class TargetedDLR:
    """The targeted difference-of-logits ratio, -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2): K >= 4."""

    floor = 0.0

    def __call__(self, logits: Tensor, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        top, place = logits.topk(4, dim=1)
        ratio = top.new_tensor([1.0, 0.0, -0.5, -0.5])
        # written out: a product of matrices may sum in another order for another number of rows
        scale = (top[:, 0] - 0.5 * (top[:, 2] + top[:, 3]) + 1e-12).unsqueeze(1)
        value = margin(logits, y, target).unsqueeze(1) / scale
        gradient = (-value / scale * ratio).to(logits)
        gradient = torch.zeros_like(logits).scatter_(1, place, gradient)
        return value.squeeze(1), gradient + towards(target, y, logits) / scale


class TargetedMargin:
    """z_t - z_y, for classifiers with two or three classes, for which the ratio is not defined."""

    floor = 0.0

    def __call__(self, logits: Tensor, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return margin(logits, y, target), towards(target, y, logits)


def margin(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """z_t - z_y: (n, K) to (n,)."""
    return (logits.gather(1, target.unsqueeze(1)) - logits.gather(1, y.unsqueeze(1))).squeeze(1)


def towards(target: Tensor, y: Tensor, like: Tensor) -> Tensor:
    """The margin's gradient in the logits, (n, K): one at the target, minus one at the label."""
    return torch.zeros_like(like).scatter_(1, target.unsqueeze(1), 1.0).scatter_(1, y.unsqueeze(1), -1.0)


def targeted(classes: int) -> Loss:
    """The loss of the targeted stage for so many classes."""
    return TargetedDLR() if classes >= 4 else TargetedMargin()
