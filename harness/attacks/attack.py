"""What every attack is: a search for images, and around it a check that no attack can leave out.

To add an attack, derive a frozen dataclass from `Attack` whose fields are its settings, give it `perturb` and `passes`, and
name it in harness.attacks.named. Whatever `perturb` returns, only what `Attack.__call__` makes of it counts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor, nn

from harness.attacks.verification import Attacked, attacked, legal_or_natural
from harness.threat import Norm, ThreatModel


@dataclass(frozen=True)
class Attack(ABC):
    """A frozen dataclass whose fields are its settings. Calling it attacks and verifies; `perturb` attacks alone."""

    by_gradient: ClassVar[bool] = True
    """Whether it needs the gradient: where that is zero, such an attack proves nothing."""

    ends_early: ClassVar[bool] = False
    """Whether an example rests once it is broken: where many break, it then costs less than `passes` says."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in ("__call__", "legal_images"):
            if getattr(cls, name) is not getattr(Attack, name):
                raise TypeError(f"{cls.__name__} replaces Attack.{name}, which verifies: put the search into perturb")

    @abstractmethod
    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, generator: torch.Generator
    ) -> Tensor:
        """Images (N, C, H, W) in [0,1] and labels (N,) to images of the same shape, detached. Nobody has verified them.

        All that is random comes from the generator, drawn for all N images: hand a whole shard over, and batch inside
        the model (harness.classifier.memory).
        """

    @abstractmethod
    def passes(self, classes: int) -> tuple[int, int]:
        """Forward and backward passes of `perturb` for one image, at most."""

    def settings(self) -> dict[str, Any]:
        """All that decides what it finds, as JSON values."""
        return {"attack": type(self).__name__, **asdict(self)}

    def obstacle(self, classes: int, norm: Norm, side: int) -> str:
        """Why it cannot be run on so many classes and images whose shorter side has so many pixels; empty if it can."""
        return ""

    def shortened(self, classes: int) -> tuple[Self, float]:
        """A few of its steps, to be timed, and how many times as long the whole takes at most."""
        return self, 1.0

    @final
    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        generator: torch.Generator,
        *,
        natural: Tensor | None = None,
    ) -> Attacked:
        """Attack images (N, C, H, W) in [0,1] with labels (N,), verify what is found, and return what counts of it.

        Beside the attack's own passes one forward pass, and one more where an image is rejected and `natural`, the logits
        (N, K) at x, is not given. Raises BadInput where the attack returns images of another shape.
        """
        return attacked(model, x, y, self._found(model, x, y, threat, generator), threat, natural=natural)

    @final
    def legal_images(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, generator: torch.Generator
    ) -> Tensor:
        """The images (N, C, H, W) that it finds where the threat model allows them, x elsewhere.

        For a user who needs points and no labels: it costs no pass beside the attack's own, and says nothing of logits.
        """
        return legal_or_natural(x, self._found(model, x, y, threat, generator), threat)

    def _found(self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, generator: torch.Generator) -> Tensor:
        # copies: an attack that writes into its arguments would else be checked against images of its own making
        return self.perturb(model, x.clone(), y.clone(), threat, generator)
