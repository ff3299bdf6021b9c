"""Training objectives as functions of logits and labels: standard, SAT, TRADES, MART, MAIL-TRADES, WEAT_nat, WEAT_adv.

Sources: SAT (Madry et al. 2018), TRADES (Zhang et al. 2019), MART (Wang et al. 2020), MAIL (Liu et al. 2021, arXiv
2106.07904), WEAT (Mirza et al. 2024, arXiv 2407.06315). Every function
takes logits (N, K) of natural and of adversarial images and labels (N,), and returns a scalar; p(.|x) is not detached in
the KL, as in TRADES. Energies, weights and logarithms are computed in float32 at least.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.energy import marginal_energy


def energy_weights(logits: Tensor) -> Tensor:
    """WEAT's weight of each sample, from its natural logits, detached: w(x) = 1 / log(1 + exp|E(x)|), (N, K) to (N,).

    softplus is computed without forming exp|E|, which overflows float32 beyond |E| = 88.7 and would give a weight of 0.
    """
    return 1 / F.softplus(marginal_energy(logits.detach()).abs())


def kl(logits: Tensor, logits_adv: Tensor) -> Tensor:
    """KL(p(.|x) || p(.|x_adv)) of each sample: (N,). Gradients flow through both."""
    return F.kl_div(
        logits_adv.float().log_softmax(1), logits.float().log_softmax(1), reduction="none", log_target=True
    ).sum(1)


def _ce(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), y, reduction="none")


def standard(logits: Tensor, y: Tensor) -> Tensor:
    """Mean CE(x, y)."""
    return _ce(logits, y).mean()


def sat(logits_adv: Tensor, y: Tensor) -> Tensor:
    """Mean CE(x_adv, y)."""
    return _ce(logits_adv, y).mean()


def trades(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float = 6.0) -> Tensor:
    """Mean CE(x, y) + beta mean KL(p(.|x) || p(.|x_adv))."""
    return _ce(logits, y).mean() + beta * kl(logits, logits_adv).mean()


def _others(log_probabilities: Tensor, y: Tensor) -> Tensor:
    """log max_{k != y} p_k of each sample: (N, K) and (N,) to (N,)."""
    return log_probabilities.scatter(1, y.unsqueeze(1), -torch.inf).amax(1)


def mart(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float = 5.0) -> Tensor:
    """Mean of -log p_y(x_adv) - log(1 - max_{k != y} p_k(x_adv)) + beta KL(p(.|x) || p(.|x_adv)) (1 - p_y(x))."""
    log_p = logits_adv.float().log_softmax(1)
    p_other = _others(log_p, y).exp()
    # 1 - p reaches 0 in float32 where another class takes all: one rounding error is left of it, and the loss is finite
    margin = -torch.log1p(-p_other.clamp(max=1 - torch.finfo(p_other.dtype).eps))
    doubt = 1 - (-_ce(logits, y)).exp()
    return (_ce(logits_adv, y) + margin + beta * kl(logits, logits_adv) * doubt).mean()


def margin_weights(logits_adv: Tensor, y: Tensor, slope: float = 2.0, bias: float = 0.0) -> Tensor:
    """MAIL's weight of each sample, detached: 3 sigmoid(slope (PM + bias)), PM = max_{k != y} p_k - p_y on x_adv."""
    log_p = logits_adv.detach().float().log_softmax(1)
    margin = _others(log_p, y).exp() - log_p.gather(1, y.unsqueeze(1)).squeeze(1).exp()
    return 3 * torch.sigmoid(slope * (margin + bias))


def mail_trades(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float = 6.0, *, weighted: bool = True) -> Tensor:
    """TRADES with the KL of each sample weighted by MAIL's margin; `weighted` False is the warm-up, TRADES itself."""
    if not weighted:
        return trades(logits, logits_adv, y, beta)
    return _ce(logits, y).mean() + beta * (margin_weights(logits_adv, y) * kl(logits, logits_adv)).mean()


def weat_nat(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float = 6.0) -> Tensor:
    """Mean w CE(x, y) + beta mean w KL(p(.|x) || p(.|x_adv)), with weights that are not normalised."""
    weights = energy_weights(logits)
    return (weights * _ce(logits, y)).mean() + beta * (weights * kl(logits, logits_adv)).mean()


def weat_adv(logits: Tensor, logits_adv: Tensor, y: Tensor, beta: float = 7.0) -> Tensor:
    """Mean w CE(x_adv, y) + beta mean w KL(p(.|x) || p(.|x_adv)), with weights that are not normalised."""
    weights = energy_weights(logits)
    return (weights * _ce(logits_adv, y)).mean() + beta * (weights * kl(logits, logits_adv)).mean()


Loss = Callable[[Tensor | None, Tensor | None, Tensor, float, bool], Tensor]
"""(natural logits, adversarial logits, labels, beta, warm) to a scalar; `warm` is False before MAIL's weights apply."""


@dataclass(frozen=True)
class Objective:
    """An objective with what it needs: the inner attack's loss (None: no attack) and whether it sees natural logits."""

    name: str
    attack: Literal["ce", "kl"] | None
    natural: bool
    loss: Loss
    beta: float = 0.0


def _of(value: Tensor | None) -> Tensor:
    assert value is not None, "the trainer passes the logits that the objective asks for"
    return value


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("standard", None, True, lambda nat, adv, y, beta, warm: standard(_of(nat), y)),
        Objective("sat", "ce", False, lambda nat, adv, y, beta, warm: sat(_of(adv), y)),
        Objective("trades", "kl", True, lambda nat, adv, y, beta, warm: trades(_of(nat), _of(adv), y, beta), 6.0),
        Objective("mart", "ce", True, lambda nat, adv, y, beta, warm: mart(_of(nat), _of(adv), y, beta), 5.0),
        Objective(
            "mail-trades",
            "kl",
            True,
            lambda nat, adv, y, beta, warm: mail_trades(_of(nat), _of(adv), y, beta, weighted=warm),
            6.0,
        ),
        Objective("weat-nat", "kl", True, lambda nat, adv, y, beta, warm: weat_nat(_of(nat), _of(adv), y, beta), 6.0),
        Objective("weat-adv", "kl", True, lambda nat, adv, y, beta, warm: weat_adv(_of(nat), _of(adv), y, beta), 7.0),
    )
}
