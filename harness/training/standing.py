"""Where a training stands, and who is told of it as it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harness.training.dynamics import Epoch
from harness.training.pace import Pace


@dataclass(frozen=True)
class Standing:
    """Behind `step` of the `steps` steps of an epoch (from 1) of `epochs`.

    `sums` holds this process's sums of the loss and of what was right over `samples` samples of the epoch, of which it saw a
    part in `processes`; they are read, from the device, where somebody asks. `lr` is the learning rate of the next step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    lr: float
    sums: Tensor
    samples: int
    processes: int
    pace: Pace

    @property
    def taken(self) -> int:
        """Steps since training began."""
        return (self.epoch - 1) * self.steps + self.step

    @property
    def totals(self) -> tuple[float, float]:
        """The sums over all samples of the epoch so far: of the loss, and of those that were right."""
        loss, right = (self.processes * self.sums).tolist()
        return loss, right

    @property
    def figures(self) -> tuple[float, float] | None:
        """Mean loss and accuracy on the batches of the epoch so far; None before the first."""
        loss, right = self.totals
        return (loss / self.samples, right / self.samples) if self.samples else None


class Observer:
    """Is told of a training as it goes on; of several processes, the first one's."""

    def begins(self, standing: Standing) -> None:
        """As it begins, or goes on from where it was interrupted: `standing.taken` is 0 only in the first case."""

    def stepped(self, standing: Standing) -> None:
        """After each step."""

    def evaluates(self, standing: Standing) -> None:
        """When the steps of an epoch are done, before the evaluation."""

    def followed(self, epoch: Epoch, rows: Sequence[Mapping[str, Any]], standing: Standing) -> None:
        """After each epoch, with the rows of all so far; `standing` is that at the end of the epoch's steps."""

    def ends(self) -> None:
        """When nothing more comes, whatever the reason."""
