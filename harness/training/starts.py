"""Where the inner attack of training starts: at a uniform point of the ball, or at x + 0.001 N(0,1).

The published code of TRADES, MART and MAIL starts at the noise and leaves it as it is; Madry et al. 2018 start at a uniform
point. Clamped to [0,1], half of the noise is lost at pixels that are 0 or 1: on digits they are 58 %, and 29 % lose theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.attacks.pgd import PGD
from harness.threat import ThreatModel
from harness.training.recipes import Recipe

NOISE = 0.001
"""The standard deviation of the noise, as published."""


def attack_start(recipe: Recipe, attack: PGD, x: Tensor, threat: ThreatModel, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) in [0,1] to the points where the recipe's attack on them starts; noise that is not clamped may
    lie outside [0,1] by as much. Drawn on the generator's device."""
    kind = recipe.attack_start
    if kind == "by-loss":
        kind = "noise" if attack.loss == "kl" else "uniform"
    if kind == "uniform":
        return threat.random_point(x, generator)
    noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x)
    start = x + NOISE * noise
    return start.clamp(0, 1) if recipe.clamp_start else start
