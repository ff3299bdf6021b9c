"""Training objectives as functions of logits and labels: standard, SAT, TRADES, MART, MAIL-TRADES, WEAT_nat, WEAT_adv.

Sources: SAT (Madry et al. 2018), TRADES (Zhang et al. 2019), MART (Wang et al. 2020), MAIL (Liu et al. 2021, arXiv
2106.07904), WEAT (Mirza et al. 2024, arXiv 2407.06315). Every function takes logits (N, K) of natural and of adversarial
images and labels (N,), and returns each sample's term (N,): the objective is their mean, which the trainer takes over the
whole batch, on however many devices it lies. p(.|x) is not detached in the KL, as in TRADES. Half-precision logits are
computed with in float32, others in their own type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.energy import marginal_energy, wide
from zoo.entrant import WeightsFile

Weighting = Literal["raw", "normalised", "constant"]


def energy_weights(logits: Tensor) -> Tensor:
    """WEAT's weight of each sample, from its natural logits, detached: w(x) = 1 / log(1 + exp|E(x)|), (N, K) to (N,).

    softplus is computed without forming exp|E|, which overflows float32 beyond |E| = 88.7 and would give a weight of 0.
    """
    return 1 / F.softplus(marginal_energy(logits.detach()).abs())


def reweighted(weights: Tensor, weighting: Weighting, mean: Callable[[Tensor], Tensor] = Tensor.mean) -> Tensor:
    """Weights (N,) as they are ("raw"), w / mean(w) ("normalised"), or their mean for each sample ("constant").

    Weights that are not normalised are also a smaller learning rate: "normalised" keeps the weighting and leaves that out,
    "constant" does the opposite. `mean` averages over the whole batch, of which `weights` may be a part.
    """
    if weighting == "raw":
        return weights
    average = mean(weights)
    return weights / average if weighting == "normalised" else average.expand_as(weights)


def kl(logits: Tensor, logits_adv: Tensor) -> Tensor:
    """KL(p(.|x) || p(.|x_adv)) of each sample: (N,). Gradients flow through both."""
    return F.kl_div(
        wide(logits_adv).log_softmax(1), wide(logits).log_softmax(1), reduction="none", log_target=True
    ).sum(1)


def ce(logits: Tensor, y: Tensor) -> Tensor:
    """CE(x, y) of each sample: (N,). Standard training on natural logits, SAT on adversarial ones."""
    return F.cross_entropy(wide(logits), y, reduction="none")


def trades(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float = 6.0) -> Tensor:
    """CE(x, y) + beta KL(p(.|x) || p(.|x_adv)) of each sample: (N,)."""
    return ce(logits, y) + beta * kl(logits, logits_adv)


def _others(log_probabilities: Tensor, y: Tensor) -> Tensor:
    """log max_{k != y} p_k of each sample: (N, K) and (N,) to (N,)."""
    return log_probabilities.scatter(1, y.unsqueeze(1), -torch.inf).amax(1)


def mart(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float = 5.0) -> Tensor:
    """-log p_y(x_adv) - log(1 - max_{k != y} p_k(x_adv)) + beta KL(p(.|x) || p(.|x_adv)) (1 - p_y(x)), each: (N,)."""
    p_other = _others(wide(logits_adv).log_softmax(1), y).exp()
    # 1 - p reaches 0 in float32 where another class takes all: one rounding error is left of it, and the loss is finite
    margin = -torch.log1p(-p_other.clamp(max=1 - torch.finfo(p_other.dtype).eps))
    doubt = 1 - (-ce(logits, y)).exp()
    return ce(logits_adv, y) + margin + beta * kl(logits, logits_adv) * doubt


def margin_weights(logits_adv: Tensor, y: Tensor, slope: float = 2.0, bias: float = 0.0) -> Tensor:
    """MAIL's weight of each sample, detached: 3 sigmoid(slope (PM + bias)), PM = max_{k != y} p_k - p_y on x_adv."""
    log_p = wide(logits_adv.detach()).log_softmax(1)
    margin = _others(log_p, y).exp() - log_p.gather(1, y.unsqueeze(1)).squeeze(1).exp()
    return 3 * torch.sigmoid(slope * (margin + bias))


def mail_trades(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float = 6.0, *, weighted: bool = True) -> Tensor:
    """TRADES with the KL of each sample weighted by MAIL's margin: (N,); `weighted` False is the warm-up, TRADES itself."""
    if not weighted:
        return trades(logits, logits_adv, y, beta)
    return ce(logits, y) + beta * margin_weights(logits_adv, y) * kl(logits, logits_adv)


def weat_nat(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float = 6.0, weights: Tensor | None = None) -> Tensor:
    """w (CE(x, y) + beta KL(p(.|x) || p(.|x_adv))) of each sample: (N,); weights (N,) other than w(x) may be given."""
    return (energy_weights(logits) if weights is None else weights) * trades(logits, logits_adv, y, beta)


def weat_adv(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float = 7.0, weights: Tensor | None = None) -> Tensor:
    """w (CE(x_adv, y) + beta KL(p(.|x) || p(.|x_adv))) of each sample: (N,); weights (N,) other than w(x) may be given."""
    return (energy_weights(logits) if weights is None else weights) * (
        ce(logits_adv, y) + beta * kl(logits, logits_adv)
    )


@dataclass(frozen=True)
class Setting:
    """What an objective is told besides logits and labels.

    `warm` is False before MAIL's weights apply; `reweigh` takes WEAT's weights (N,) to those that are used.
    """

    beta: float
    warm: bool = True
    reweigh: Callable[[Tensor], Tensor] = lambda weights: weights


Loss = Callable[[Tensor, Tensor, Tensor, Setting], Tensor]
"""(natural logits, adversarial logits, labels, setting) to (N,); an objective that does not use one is given the other."""


@dataclass(frozen=True)
class Objective:
    """An objective with what it needs: the inner attack's loss (None: no attack), and whether it sees natural logits.

    `beta` is its own strength, which a recipe may change. `title` and `link` say where it is published, for the cards of
    what it trains; both may be empty.
    """

    name: str
    attack: Literal["ce", "kl"] | None
    natural: bool
    loss: Loss
    beta: float = 0.0
    title: str = ""
    link: str = ""
    sources: tuple[WeightsFile, ...] = ()


_WEAT = "Shedding More Light on Robust Classifiers under the lens of Energy-based Models"

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("standard", None, True, lambda nat, adv, y, to: ce(nat, y), title="Standard training"),
        Objective(
            "sat",
            "ce",
            False,
            lambda nat, adv, y, to: ce(adv, y),
            title="Towards Deep Learning Models Resistant to Adversarial Attacks",
            link="https://arxiv.org/abs/1706.06083",
        ),
        Objective(
            "trades",
            "kl",
            True,
            lambda nat, adv, y, to: trades(nat, adv, y, to.beta),
            6.0,
            title="Theoretically Principled Trade-off between Robustness and Accuracy",
            link="https://arxiv.org/abs/1901.08573",
        ),
        Objective(
            "mart",
            "ce",
            True,
            lambda nat, adv, y, to: mart(nat, adv, y, to.beta),
            5.0,
            title="Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
            link="https://openreview.net/forum?id=rklOg6EFwS",
        ),
        Objective(
            "mail-trades",
            "kl",
            True,
            lambda nat, adv, y, to: mail_trades(nat, adv, y, to.beta, weighted=to.warm),
            6.0,
            title="Probabilistic Margins for Instance Reweighting in Adversarial Training",
            link="https://arxiv.org/abs/2106.07904",
        ),
        Objective(
            "weat-nat",
            "kl",
            True,
            lambda nat, adv, y, to: weat_nat(nat, adv, y, to.beta, to.reweigh(energy_weights(nat))),
            6.0,
            title=_WEAT,
            link="https://arxiv.org/abs/2407.06315",
        ),
        Objective(
            "weat-adv",
            "kl",
            True,
            lambda nat, adv, y, to: weat_adv(nat, adv, y, to.beta, to.reweigh(energy_weights(nat))),
            7.0,
            title=_WEAT,
            link="https://arxiv.org/abs/2407.06315",
        ),
    )
}
