"""How weights move: SGD, the learning rate over the steps, and weights that are averaged on the way."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel

from harness.training.recipes import Recipe


def sgd(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD over all parameters, as the recipe has it."""
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


def schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """The learning rate over `steps` steps: one-cycle with its peak at a quarter, or a tenth at a half and three quarters.

    Where the recipe cycles the momentum, it runs from 0.95 to 0.85 at the peak and back, torch's default of one-cycle.
    """
    if recipe.schedule == "piecewise":
        return MultiStepLR(optimizer, [steps // 2, 3 * steps // 4], gamma=0.1)
    # a cycle of four steps divides by zero in torch
    return OneCycleLR(
        optimizer,
        recipe.lr,
        total_steps=max(steps, 5),
        pct_start=0.25,
        cycle_momentum=recipe.cycle_momentum,
        base_momentum=0.85,
        max_momentum=0.95,
    )


def averaged(model: nn.Module, decay: float) -> AveragedModel | None:
    """What keeps the averages of a model's weights; None where `decay` is 0."""
    return AveragedModel(model, avg_fn=_moving_average(decay), use_buffers=False) if decay else None


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Averages that forget the random start: the decay rises as (1 + t) / (10 + t) to its value."""

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        return now * averaged + (1 - now) * current

    return average
