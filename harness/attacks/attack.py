"""What every attack of the energy measure offers. None is trusted: what it returns is verified with ThreatModel.verify."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from harness.threat import Norm, ThreatModel


class Attack(Protocol):
    """A frozen dataclass whose fields are its settings."""

    by_gradient: ClassVar[bool]

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, generator: torch.Generator
    ) -> Tensor:
        """Images (N, C, H, W) in [0,1] and labels (N,) to images of the same shape, detached.

        All that is random comes from the generator, drawn for all N images: hand a whole shard over, and batch inside
        the model (harness.classifier.memory).
        """
        ...

    def settings(self) -> dict[str, Any]:
        """All that decides what it finds, as JSON values."""
        ...

    def passes(self, classes: int) -> tuple[int, int]:
        """Forward and backward passes for one image, at most."""
        ...

    def obstacle(self, classes: int, norm: Norm, side: int) -> str:
        """Why it cannot be run on so many classes and images whose shorter side has so many pixels; empty if it can."""
        ...

    def shortened(self, classes: int) -> tuple[Attack, float]:
        """A few of its steps, to be timed, and how many times as long the whole takes at most."""
        ...
