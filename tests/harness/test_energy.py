"""The identities that energies satisfy by definition, on random networks."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.energy import delta_energies, joint_energy, kl_in_energies, marginal_energy


@pytest.fixture
def points() -> tuple[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, 32), nn.ELU(), nn.Linear(32, 7)).double().requires_grad_(False)
    x = torch.rand(20, 3, 3, 3, dtype=torch.float64)
    return model, x, (x + 0.1 * torch.randn_like(x)).clamp(0, 1), torch.randint(0, 7, (20,))


def test_the_marginal_energy_lies_between_its_bounds(points) -> None:
    model, x, _, _ = points
    logits = model(x)
    lowest = torch.stack([joint_energy(logits, torch.full((20,), k)) for k in range(7)]).min(0).values
    energy = marginal_energy(logits)
    assert (energy <= lowest + 1e-12).all()
    assert (energy >= lowest - math.log(7) - 1e-12).all()


def test_cross_entropy_is_joint_minus_marginal_energy(points) -> None:
    model, x, _, y = points
    logits = model(x)
    torch.testing.assert_close(
        joint_energy(logits, y) - marginal_energy(logits), F.cross_entropy(logits, y, reduction="none")
    )


def test_the_rise_of_the_cross_entropy_is_the_difference_of_delta_energies(points) -> None:
    model, x, x_adv, y = points
    logits, logits_adv = model(x), model(x_adv)
    rise = F.cross_entropy(logits_adv, y, reduction="none") - F.cross_entropy(logits, y, reduction="none")
    delta = delta_energies(logits, logits_adv, y)
    torch.testing.assert_close(rise, delta.marginal - delta.joint)


def test_the_gradient_of_the_marginal_energy_is_the_expected_gradient_of_joint_energies(points) -> None:
    model, x, _, _ = points
    x = x.clone().requires_grad_()
    logits = model(x)
    (left,) = torch.autograd.grad(marginal_energy(logits).sum(), x, retain_graph=True)
    right = torch.zeros_like(x)
    for k in range(7):
        (gradient,) = torch.autograd.grad(joint_energy(logits, torch.full((20,), k)).sum(), x, retain_graph=True)
        right += logits.detach().softmax(1)[:, k].view(-1, 1, 1, 1) * gradient
    torch.testing.assert_close(left, right)


def test_the_two_terms_of_the_kl_add_up_to_it(points) -> None:
    model, x, x_adv, _ = points
    logits, logits_adv = model(x), model(x_adv)
    p, q = logits.softmax(1), logits_adv.softmax(1)
    terms = kl_in_energies(logits, logits_adv)
    torch.testing.assert_close(terms.conditional + terms.marginal, (p * (p.log() - q.log())).sum(1))
