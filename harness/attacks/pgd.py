"""Projected gradient descent (Madry et al. 2018), and the KL form that TRADES trains with (Zhang et al. 2019).

Accuracy under PGD errs high: it is an upper bound on the true robust accuracy, and a looser one than AutoAttack's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.threat import ThreatModel


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """The model in eval mode with no parameter requiring gradients; everything is put back afterwards.

    BatchNorm's statistics stay as they are during an attack, and no gradient reaches (or accumulates in) a parameter.
    """
    modes = [(module, module.training) for module in model.modules()]
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in wanted:
            parameter.requires_grad_(True)


@dataclass(frozen=True)
class PGD:
    """Gradient ascent on a loss, projected on the threat model after each step; the last iterate is returned.

    loss "ce": cross-entropy of the label, from a uniform point of the ball; "kl": KL(p(.|x) || p(.|x')), from
    x + 0.001 N(0,1), whose reference p(.|x) is computed once. step_size is a fraction of eps.
    """

    loss: Literal["ce", "kl"] = "ce"
    steps: int = 20
    step_size: float = 0.25

    def start(self, x: Tensor, threat: ThreatModel, generator: torch.Generator) -> Tensor:
        """Where the ascent begins: (N, C, H, W) to the same. Noise is drawn on the generator's device."""
        if self.loss == "kl":
            noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x)
            return (x + 0.001 * noise).clamp(0, 1)
        return threat.random_point(x, generator)

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        generator: torch.Generator | None,
        *,
        start: Tensor | None = None,
        natural: Tensor | None = None,
    ) -> Tensor:
        """Images (N, C, H, W) in [0,1] and labels (N,) to adversarial images of the same shape, detached.

        `start` (as x) and `natural` (logits at x, (N, K)) are drawn and computed here unless they are given.
        """
        if start is None:
            assert generator is not None, "a start is either drawn or given"
            start = self.start(x, threat, generator)
        with frozen(model):
            if self.loss == "kl":
                with torch.no_grad():
                    reference = (model(x) if natural is None else natural).float().log_softmax(1)
            x_adv = start
            for _ in range(self.steps):
                x_adv = x_adv.detach().requires_grad_()
                with torch.enable_grad():
                    logits = model(x_adv).float()
                    # sums, not means: the gradient of a sample must not depend on the batch that it stands in
                    if self.loss == "kl":
                        loss = F.kl_div(logits.log_softmax(1), reference, reduction="sum", log_target=True)
                    else:
                        loss = F.cross_entropy(logits, y, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, x_adv)
                with torch.no_grad():
                    step = self.step_size * threat.eps * threat.ascent(gradient)
                    x_adv = threat.project(x, x_adv.detach() + step)
        return x_adv.detach()
