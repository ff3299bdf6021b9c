"""The objectives against formulas written out in float64, finite differences, and the known table of weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from harness.training.objectives import (
    OBJECTIVES,
    Setting,
    energy_weights,
    kl,
    mail_trades,
    margin_weights,
    mart,
    reweighted,
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
    tolerance = {"rel": 1e-12}
    assert trades(logits, logits_adv, y).mean().item() == pytest.approx(
        average(ce) + 6 * average(divergence), **tolerance
    )
    assert weat_nat(logits, logits_adv, y).mean().item() == pytest.approx(
        average([w * c for w, c in zip(weight, ce, strict=True)]) + 6 * weighted, **tolerance
    )
    assert weat_adv(logits, logits_adv, y).mean().item() == pytest.approx(
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
    assert mart(logits, logits_adv, y).mean().item() == pytest.approx(sum(mart_terms) / 20, rel=1e-12)
    assert margin_weights(logits_adv, y).tolist() == pytest.approx(weights, rel=1e-12)
    assert mail_trades(logits, logits_adv, y).mean().item() == pytest.approx(sum(mail_terms) / 20, rel=1e-12)
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


FIXED = {
    "standard": lambda nat, adv, y, weights: -nat.log_softmax(1)[range(len(y)), y],
    "sat": lambda nat, adv, y, weights: -adv.log_softmax(1)[range(len(y)), y],
    "trades": lambda nat, adv, y, weights: trades(nat, adv, y),
    "mart": lambda nat, adv, y, weights: mart(nat, adv, y),
    "mail-trades": lambda nat, adv, y, weights: trades(nat, adv, y, 0.0) + 6 * weights["margin"] * kl(nat, adv),
    "weat-nat": lambda nat, adv, y, weights: weat_nat(nat, adv, y, 6.0, weights["energy"]),
    "weat-adv": lambda nat, adv, y, weights: weat_adv(nat, adv, y, 7.0, weights["energy"]),
}
"""Each objective with the weights that are no function of the logits to a gradient held where they are."""


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_gradients_agree_with_finite_differences(name: str) -> None:
    torch.manual_seed(1)
    nat, adv = (2 * torch.randn(6, 5, dtype=torch.float64) for _ in range(2))
    y = torch.randint(0, 5, (6,))
    weights = {"energy": energy_weights(nat), "margin": margin_weights(adv, y)}
    objective = OBJECTIVES[name]
    nat.requires_grad_()
    adv.requires_grad_()
    loss = objective.loss(nat, adv, y, Setting(objective.beta)).sum()
    exact = torch.autograd.grad(loss, (nat, adv), allow_unused=True)
    nat, adv = nat.detach(), adv.detach()
    for side, gradient in zip((nat, adv), exact, strict=True):
        for i in range(6):
            for k in range(5):
                ends = []
                for h in (1e-5, -1e-5):
                    side[i, k] += h
                    ends.append(FIXED[name](nat, adv, y, weights).sum().item())
                    side[i, k] -= h
                expected = 0.0 if gradient is None else gradient[i, k].item()
                assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(expected, abs=1e-7)


def test_weights_are_normalised_or_made_constant_over_the_whole_batch() -> None:
    weights = torch.tensor([0.5, 1.0, 1.5, 3.0])
    assert torch.equal(reweighted(weights, "raw"), weights)
    assert torch.equal(reweighted(weights, "normalised"), weights / 1.5)
    assert torch.equal(reweighted(weights, "constant"), torch.full((4,), 1.5))
    half = reweighted(weights[:2], "normalised", lambda part: torch.tensor(1.5))
    assert torch.equal(half, weights[:2] / 1.5)
