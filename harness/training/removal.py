"""The sample-removal experiment of Mirza et al. 2024: which samples does adversarial training need?

From each batch samples are removed, before the inner attack: correctly classified ones of the highest energy E(x), or of the
lowest, misclassified ones, or random ones. With a fraction they are round(fraction N); where there are fewer correct (or
misclassified) samples than that, all of them are removed, so that arms of the experiment may differ in how many. With a count
they are that many in every arm: where there are fewer that the arm names, random others fill up. At least two samples always
stay.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness.energy import marginal_energy
from harness.training.recipes import Drop


class Removed(NamedTuple):
    """How many samples were removed: those that the arm names, others that filled up, and of how many in all."""

    named: int
    filled: int
    of: int


RANKED = {"high-energy": 1, "low-energy": -1}
"""The arms that take correctly classified samples in the order of E(x), and the sign of those that go first."""


def _candidates(logits: Tensor, y: Tensor, how: Drop) -> Tensor:
    """(N,) bool: the samples that an arm of the experiment names."""
    right = logits.argmax(1) == y
    if how in RANKED:
        return right
    return ~right if how == "misclassified" else torch.ones_like(right)


def kept(logits: Tensor, y: Tensor, how: Drop, fraction: float, generator: torch.Generator, count: int = 0) -> Tensor:
    """Indices, in order, of the samples that stay, from natural logits (N, K) and labels (N,). `count` above 0 is how
    many are removed, in place of the fraction."""
    n = len(y)
    if how == "none":
        return torch.arange(n, device=y.device)

    def drawn() -> Tensor:
        return torch.rand(n, generator=generator, device=generator.device).to(logits)

    candidates = _candidates(logits, y, how)
    rank = RANKED[how] * marginal_energy(logits) if how in RANKED else drawn()
    if count:
        # those that fill up come after all that are named, in random order: ranks below every other
        filling = drawn() - 2 + rank.amin().clamp(max=0)
        order = rank.where(candidates, filling).argsort(descending=True, stable=True)
        removed = min(count, max(n - 2, 0))
    else:
        order = rank.masked_fill(~candidates, -torch.inf).argsort(descending=True, stable=True)
        removed = min(round(fraction * n), int(candidates.sum()), max(n - 2, 0))
    return order[removed:].sort().values


def counted(logits: Tensor, y: Tensor, how: Drop, stay: Tensor) -> Removed:
    """How many of a batch are not among those that `stay` (indices)."""
    gone = torch.ones_like(y, dtype=torch.bool)
    gone[stay] = False
    named = int((gone & _candidates(logits, y, how)).sum())
    return Removed(named, int(gone.sum()) - named, len(y))
