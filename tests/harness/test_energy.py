"""The identities that energies satisfy by definition, on random networks, and known weights of WEAT."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.energy import delta_energies, joint_energy, kl_in_energies, marginal_energy
from harness.training.objectives import (
    energy_weights,
    kl,
    mail_trades,
    margin_weights,
    mart,
    trades,
    weat_adv,
    weat_nat,
)


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


@pytest.mark.parametrize(
    ("energy", "weight"), [(0, 1.4427), (-1, 0.7615), (-2, 0.4702), (-3.87, 0.2570), (-8, 0.1250), (-20, 0.0500)]
)
def test_the_weights_equal_the_known_table(energy: float, weight: float) -> None:
    logits = torch.tensor([[-energy - math.log(2), -energy - math.log(2)]], dtype=torch.float64)  # logsumexp = -energy
    assert energy_weights(logits).item() == pytest.approx(weight, abs=5e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_weights_do_not_overflow_at_large_energies(dtype: torch.dtype, sign: int) -> None:
    logits = torch.full((1, 2), 200.0 * sign, dtype=dtype)
    expected = 1 / abs(200.0 * sign + math.log(2))
    assert energy_weights(logits).item() == pytest.approx(expected, rel=1e-3)


def test_the_objectives_equal_their_formulas_written_out(points) -> None:
    model, x, x_adv, y = points
    logits, logits_adv = model(x), model(x_adv)
    p, q = logits.softmax(1), logits_adv.softmax(1)
    rows = range(len(y))
    ce = [-math.log(p[i, y[i]]) for i in rows]
    ce_adv = [-math.log(q[i, y[i]]) for i in rows]
    divergence = [sum(float(p[i, k] * (p[i, k] / q[i, k]).log()) for k in range(7)) for i in rows]
    weight = [1 / math.log(1 + math.exp(abs(math.log(sum(math.exp(v) for v in logits[i]))))) for i in rows]

    def average(values: list[float]) -> float:
        return sum(values) / len(values)

    weighted = average([w * d for w, d in zip(weight, divergence, strict=True)])
    tolerance = {"rel": 1e-5}  # the objectives compute in float32
    assert trades(logits, logits_adv, y).item() == pytest.approx(average(ce) + 6 * average(divergence), **tolerance)
    assert weat_nat(logits, logits_adv, y).item() == pytest.approx(
        average([w * c for w, c in zip(weight, ce, strict=True)]) + 6 * weighted, **tolerance
    )
    assert weat_adv(logits, logits_adv, y).item() == pytest.approx(
        average([w * c for w, c in zip(weight, ce_adv, strict=True)]) + 7 * weighted, **tolerance
    )


def test_mart_and_mail_equal_their_formulas_written_out(points) -> None:
    model, x, x_adv, y = points
    p, q = model(x).softmax(1), model(x_adv).softmax(1)
    mart_terms, mail_terms, weights = [], [], []
    for i, label in enumerate(y.tolist()):
        other = max(float(q[i, k]) for k in range(7) if k != label)
        divergence = sum(float(p[i, k]) * math.log(p[i, k] / q[i, k]) for k in range(7))
        doubt = 1 - float(p[i, label])
        mart_terms.append(-math.log(q[i, label]) - math.log(1 - other) + 5 * divergence * doubt)
        weights.append(3 / (1 + math.exp(-2 * (other - float(q[i, label])))))
        mail_terms.append(-math.log(p[i, label]) + 6 * weights[-1] * divergence)
    logits, logits_adv = model(x), model(x_adv)
    assert mart(logits, logits_adv, y).item() == pytest.approx(sum(mart_terms) / 20, rel=1e-5)
    assert margin_weights(logits_adv, y).tolist() == pytest.approx(weights, rel=1e-5)
    assert mail_trades(logits, logits_adv, y).item() == pytest.approx(sum(mail_terms) / 20, rel=1e-5)
    assert torch.equal(mail_trades(logits, logits_adv, y, weighted=False), trades(logits, logits_adv, y))


def test_mart_stays_finite_where_another_class_takes_all() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss = mart(logits, logits, torch.tensor([1]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_gradients_flow_through_both_sides_of_the_kl_and_not_through_the_weights() -> None:
    logits = torch.randn(4, 5, requires_grad=True)
    logits_adv = torch.randn(4, 5, requires_grad=True)
    gradients = torch.autograd.grad(kl(logits, logits_adv).sum(), (logits, logits_adv))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert not energy_weights(logits).requires_grad
