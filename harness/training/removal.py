"""The sample-removal experiment of Mirza et al. 2024: which samples does adversarial training need?

From each batch round(fraction N) samples are removed, before the inner attack: correctly classified ones of the highest
energy, misclassified ones, or random ones. Where there are fewer correct (or misclassified) samples than that, all of them
are removed; at least two samples always stay.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.energy import marginal_energy
from harness.training.recipes import Drop


def kept(logits: Tensor, y: Tensor, how: Drop, fraction: float, generator: torch.Generator) -> Tensor:
    """Indices, in order, of the samples that stay, from natural logits (N, K) and labels (N,)."""
    n = len(y)
    right = logits.argmax(1) == y
    match how:
        case "high-energy":
            candidates, rank = right, marginal_energy(logits)
        case "misclassified":
            candidates, rank = ~right, torch.rand(n, generator=generator, device=generator.device).to(logits)
        case "random":
            candidates = torch.ones_like(right)
            rank = torch.rand(n, generator=generator, device=generator.device).to(logits)
        case "none":
            return torch.arange(n, device=y.device)
    order = rank.masked_fill(~candidates, -torch.inf).argsort(descending=True, stable=True)
    removed = min(round(fraction * n), int(candidates.sum()), max(n - 2, 0))
    return order[removed:].sort().values
