"""Projected gradient descent (Madry et al. 2018), plain, targeted, on the KL of TRADES (Zhang et al. 2019) and on a margin.

Accuracy under PGD errs high: it is an upper bound on the true robust accuracy, and a looser one than AutoAttack's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from harness.attacks.attack import Attack
from harness.attacks.losses import log_odds, towards_kl
from harness.classifier.frozen import frozen
from harness.errors import BadInput
from harness.threat import ThreatModel

Target = Literal["none", "random", "least-likely"]


@dataclass(frozen=True)
class PGD(Attack):
    """Gradient ascent on a loss, projected on the threat model after each step; the last iterate is returned.

    loss "ce": cross-entropy of the label, from a uniform point of the ball, or, with a target, minus the cross-entropy of
    the target: a class other than the label's, drawn evenly, or the least likely one at the natural image.
    loss "kl": KL(p(.|x) || p(.|x')), from x + 0.001 N(0,1), whose reference p(.|x) is computed once.
    loss "margin": -max(f(x')[y] - max_{k != y} f(x')[k], 0), f_6 of Carlini & Wagner (2017) with confidence 0: it rises to
    the decision boundary and rests beyond it. This is their loss under PGD at a given radius, not their attack, which
    looks for the smallest perturbation. step_size is a fraction of eps.

    A step takes the direction of the gradient and not its length, so each loss is raised in a form that points the same way
    and stays in float32's range for confident logits (harness.attacks.losses).
    """

    loss: Literal["ce", "kl", "margin"] = "ce"
    steps: int = 20
    step_size: float = 0.25
    target: Target = "none"

    def __post_init__(self) -> None:
        if self.target != "none" and self.loss != "ce":
            raise BadInput(f"expected loss 'ce' for a target, got {self.loss!r}; leave the target out")

    def passes(self, classes: int) -> tuple[int, int]:
        return self.steps + (self.loss == "kl" or self.target != "none"), self.steps

    def shortened(self, classes: int) -> tuple[PGD, float]:
        return replace(self, steps=2), (self.steps + 1) / 2

    def start(self, x: Tensor, threat: ThreatModel, generator: torch.Generator) -> Tensor:
        """Where the ascent begins: (N, C, H, W) to the same. Noise is drawn on the generator's device."""
        if self.loss == "kl":
            noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x)
            return (x + 0.001 * noise).clamp(0, 1)
        return threat.random_point(x, generator)

    def perturb(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        generator: torch.Generator,
        *,
        start: Tensor | None = None,
        natural: Tensor | None = None,
    ) -> Tensor:
        """Images (N, C, H, W) in [0,1] and labels (N,) to images of the same shape, detached. Nobody has verified them.

        `start` (as x) and `natural` (logits at x, (N, K)) are drawn and computed here unless they are given.
        """
        with frozen(model):
            x_adv = self.start(x, threat, generator) if start is None else start.detach()
            objective = self._objective(model, x, y, generator, natural)
            for _ in range(self.steps):
                x_adv = x_adv.detach().requires_grad_()
                with torch.enable_grad():
                    loss = objective(model(x_adv).float())
                (gradient,) = torch.autograd.grad(loss, x_adv)
                with torch.no_grad():
                    step = self.step_size * threat.eps * threat.ascent(gradient)
                    x_adv = threat.project(x, x_adv.detach() + step)
        return x_adv.detach()

    def _objective(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator, natural: Tensor | None
    ) -> Callable[[Tensor], Tensor]:
        """Logits to the number that rises: a sum over samples, for a step must not depend on the batch it stands in."""
        if natural is None and (self.loss == "kl" or self.target != "none"):
            with torch.no_grad():
                natural = model(x)
        if self.loss == "kl":
            assert natural is not None
            reference = natural.float()
            return lambda logits: towards_kl(logits, reference).sum()
        if self.loss == "margin":
            return lambda logits: -margin(logits, y).clamp_min(0).sum()
        if self.target == "none":
            return lambda logits: -log_odds(logits, y).sum()
        assert natural is not None
        target = (
            random_target(y, natural.shape[1], generator)
            if self.target == "random"
            else least_likely(natural.float(), y)
        )
        return lambda logits: log_odds(logits, target).sum()


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """f(x)[y] - max_{k != y} f(x)[k]: (N, K) with K >= 2 and (N,) to (N,). Negative where x is misclassified."""
    others = logits.scatter(1, y.unsqueeze(1), -torch.inf)
    return logits.gather(1, y.unsqueeze(1)).squeeze(1) - others.amax(1)


def random_target(y: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """A class other than the label's for each sample, drawn evenly: (N,) to (N,)."""
    offset = torch.randint(1, classes, y.shape, generator=generator, device=generator.device).to(y)
    return (y + offset) % classes


def least_likely(logits: Tensor, y: Tensor) -> Tensor:
    """The class of the smallest logit but the label's: (N, K) and (N,) to (N,)."""
    return logits.scatter(1, y.unsqueeze(1), torch.inf).argmin(1)
