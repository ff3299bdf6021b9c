"""How much work a stage of the engine is, in forward passes of an image, and how far its rows are with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.attacks.engine.square import passes_by_query
from harness.classifier.meter import BOTH, FORWARD
from harness.threat import Norm


def work_of(steps: int, queries: int, shape: Sequence[int], norm: Norm) -> tuple[float, ...]:
    """What a row that nothing breaks takes in each stage, on images of a shape (C, H, W)."""
    square = float(queries + 1)
    if norm == "Linf":
        square = float(passes_by_query(queries, (shape[0], shape[1], shape[2]))[-1]) + 1
    # FAB-T passes an image forward to judge it, and forward and backward to go on
    return (steps + 1) * BOTH, (steps + 1) * BOTH, steps * (FORWARD + BOTH), square


class Pace:
    """What the rows of a stage have taken and have left, where `rows` of them take `each` if nothing breaks them."""

    def __init__(self, each: float, rows: int) -> None:
        self._each, self._waiting = each, float(rows)
        self._of_ended: Tensor | float = 0.0
        self._told = 0.0

    def ended(self, taken: Tensor) -> None:
        """Rows have ended when they had taken these shares (n,) of their work."""
        self._of_ended = self._of_ended + taken.sum()  # on its device: to look at it would wait
        self._waiting -= len(taken)

    def moved(self, taken: Tensor) -> tuple[float, float]:
        """The work since this was asked before, and what is left at most, from the shares (n,) of the rows in flight."""
        flying = float(taken.sum())
        done = self._each * (float(self._of_ended) + flying)
        since, self._told = done - self._told, done
        return since, self._each * max(self._waiting - flying, 0.0)

    def over(self) -> tuple[float, float]:
        """The same, when no row is left."""
        return self.moved(torch.zeros(0))
