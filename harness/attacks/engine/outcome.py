"""What AutoAttack has come to on each example: broken by which stage, or how many stages it has survived."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.threat import Norm

STAGES = ("apgd-ce", "apgd-t", "fab-t", "square")
"""The stages of version "standard", in its order."""

SURVIVED = len(STAGES)
"""The `stage` of an example that nothing has broken; MISCLASSIFIED where the natural image is wrong to begin with."""

MISCLASSIFIED = -1


@dataclass(frozen=True)
class Outcome:
    """What is known of N examples; every number is that example's own, whoever else was attacked beside it.

    `stage` (N,) int8: MISCLASSIFIED, the number of the stage that broke it, or SURVIVED. `reached` (N,) int8: how many
    stages have been run on it to their end; a broken example needs no more. `x_adv` (N, C, H, W): the image that broke it,
    else the natural one.
    """

    stage: Tensor
    reached: Tensor
    x_adv: Tensor

    @classmethod
    def begun(cls, logits: Tensor, x: Tensor, y: Tensor) -> Outcome:
        """Before the first stage, from the natural images' logits (N, K)."""
        stage = torch.where(logits.argmax(1) == y, SURVIVED, MISCLASSIFIED).to(torch.int8)
        return cls(stage, torch.zeros_like(stage), x.clone())

    @property
    def robust(self) -> Tensor:
        """(N,) bool: nothing has broken it so far."""
        return self.stage == SURVIVED

    def finished(self, through: int | Tensor = SURVIVED) -> Tensor:
        """(N,) bool: broken, or it has survived the stages up to `through` (a number, or one for each example)."""
        return ~self.robust | (self.reached >= through)

    def waiting(self, stage: int, through: int | Tensor) -> Tensor:
        """Examples (rising indices) that a stage is to be run on next."""
        return (self.robust & (self.reached == stage) & (torch.as_tensor(through).to(self.reached) > stage)).nonzero()[
            :, 0
        ]

    def copy(self) -> Outcome:
        """The same with tensors of its own."""
        return replace(self, stage=self.stage.clone(), reached=self.reached.clone(), x_adv=self.x_adv.clone())


def left_out(norm: Norm, side: int) -> tuple[str, ...]:
    """The stages that so small an image does not admit: Square under L2 divides the shorter side (in pixels) by five."""
    return ("square",) if norm == "L2" and side < 5 else ()
