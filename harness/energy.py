"""A classifier's energies, as pure functions of its logits (Grathwohl et al. 2020; Mirza et al. 2024, arXiv 2407.06315).

With logits f(x) of shape (N, K): joint energy E(x,y) = -f(x)[y], marginal energy E(x) = -logsumexp_k f(x)[k]. Energies scale
with the logits and shift with a constant added to them, so values of two entrants are comparable only
at the scale that fits the labels of each best (harness.measures.calibration). All functions compute in float32 at least.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def wide(logits: Tensor) -> Tensor:
    """Half-precision logits as float32: logsumexp of bf16 logits has two digits."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def widest(device: torch.device) -> torch.dtype:
    """What sums and distances are computed in: float64, or float32 on a device that has none (mps)."""
    return torch.float32 if device.type == "mps" else torch.float64


def marginal_energy(logits: Tensor) -> Tensor:
    """E(x) = -logsumexp_k f(x)[k]: (N, K) to (N,)."""
    return -torch.logsumexp(wide(logits), dim=1)


def joint_energy(logits: Tensor, y: Tensor) -> Tensor:
    """E(x,y) = -f(x)[y]: (N, K) and (N,) int64 to (N,)."""
    return -wide(logits).gather(1, y.unsqueeze(1)).squeeze(1)


class DeltaEnergies(NamedTuple):
    """Natural minus adversarial energies, (N,) each. Negative: the adversarial point has the higher energy."""

    marginal: Tensor
    joint: Tensor


def delta_energies(logits: Tensor, logits_adv: Tensor, y: Tensor) -> DeltaEnergies:
    """dE(x) = E(x) - E(x_adv) and dE(x,y) = E(x,y) - E(x_adv,y). CE(x_adv,y) - CE(x,y) = dE(x) - dE(x,y)."""
    return DeltaEnergies(
        marginal_energy(logits) - marginal_energy(logits_adv),
        joint_energy(logits, y) - joint_energy(logits_adv, y),
    )


class KLTerms(NamedTuple):
    """KL(p(.|x) || p(.|x_adv)) = conditional + marginal, (N,) each."""

    conditional: Tensor
    marginal: Tensor


def kl_in_energies(logits: Tensor, logits_adv: Tensor) -> KLTerms:
    """The KL of TRADES in energies: E_{k~p(.|x)}[E(x_adv,k) - E(x,k)] and dE(x)."""
    natural, adversarial = wide(logits), wide(logits_adv)
    conditional = (natural.softmax(1) * (natural - adversarial)).sum(1)
    return KLTerms(conditional, marginal_energy(natural) - marginal_energy(adversarial))
