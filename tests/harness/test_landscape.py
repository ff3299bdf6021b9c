"""Figures of smoothness against closed forms of linear classifiers, against finite differences, and against each other."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.measures import landscape
from harness.measures.landscape import Ascent
from harness.threat import ThreatModel

EPS = 0.05
LINF, L2 = ThreatModel("Linf", EPS), ThreatModel("L2", EPS)
SHAPE = (3, 3, 5)
DIMENSIONS = 45
ASCENT = Ascent(10, 0.2)
ce = landscape.cross_entropy


class Linear(nn.Module):
    """Logits W (x - 1/2) + b in float64."""

    def __init__(self, weight: Tensor, bias: Tensor | float = 0.0) -> None:
        super().__init__()
        self.weight, self.bias = weight.double(), bias

    def forward(self, x: Tensor) -> Tensor:
        return (x.double() - 0.5).flatten(1) @ self.weight.T + self.bias


class Smooth(nn.Module):
    def __init__(self, classes: int = 7) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(DIMENSIONS, 20), nn.Tanh(), nn.Linear(20, classes)).double()
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return 4 * self.inner(x)


def points(n: int = 12) -> Tensor:
    """Images so far inside [0,1] that the ball is never cut."""
    return 0.2 + 0.6 * torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def w() -> Tensor:
    return torch.randn(DIMENSIONS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_a_linear_energy_has_its_closed_forms(w: Tensor) -> None:
    """With equal rows E(x) = -w.x - log K: its gradient is -w everywhere."""
    model, x = Linear(torch.stack([w, w, w])), points()
    value, gradient = landscape.value_and_gradient(model, x, landscape.energy)
    l1, l2 = landscape.gradient_norms(gradient)
    n = len(x)
    torch.testing.assert_close(l1, w.abs().sum().expand(n))
    torch.testing.assert_close(l2, w.norm().expand(n))
    zero = {"rtol": 0, "atol": 1e-12}
    for threat in (LINF, L2):
        flat = torch.zeros(n, dtype=torch.float64)
        torch.testing.assert_close(landscape.curvature(model, x, threat, landscape.energy, gradient), flat, **zero)
        gap = landscape.linearity_gap(model, x, threat, generator(), landscape.energy, value, gradient, ASCENT)
        torch.testing.assert_close(gap, flat, **zero)
        torch.testing.assert_close(landscape.elle(model, x, threat, generator(), landscape.energy), flat, **zero)
        bent = landscape.gradient_misalignment(model, x, threat, generator(), landscape.energy, gradient)
        torch.testing.assert_close(bent, flat, **zero)
    # |w.d| / ||d|| is largest at the dual norm of w
    lipschitz = landscape.local_lipschitz(model, x, LINF, generator(), landscape.energies, ASCENT)
    assert (lipschitz <= l1 + 1e-9).all()
    torch.testing.assert_close(lipschitz, l1, rtol=1e-9, atol=0)
    euclidean = landscape.local_lipschitz(model, x, L2, generator(), landscape.energies, Ascent(40, 0.2))
    assert (euclidean <= l2 + 1e-9).all()
    torch.testing.assert_close(euclidean, l2, rtol=0.02, atol=0)
    # along a straight path E changes by w . (x_adv - x) and by eps ||w||_1 at most
    x_adv = LINF.project(x, x - EPS * w.sign().view(SHAPE))
    torch.testing.assert_close(landscape.path_range(model, x, x_adv), EPS * l1)


def test_the_spread_of_a_linear_energy_in_the_ball_is_that_of_its_uniform_points(w: Tensor) -> None:
    model, x = Linear(torch.stack([w, w])), points(40)
    deviation = landscape.ball_deviation(model, x, LINF, generator(), directions=400)
    # u_i uniform in [-eps, eps] has the variance eps^2 / 3
    expected = EPS * w.norm() / 3**0.5
    assert deviation.mean().item() == pytest.approx(expected.item(), rel=0.02)


def test_the_logits_of_two_opposite_rows_have_a_closed_lipschitz_constant(w: Tensor) -> None:
    """||f(x) - f(x')||_1 = 2 |w.(x - x')| <= 2 ||w||_1 ||x - x'||_inf."""
    found = landscape.local_lipschitz(Linear(torch.stack([w, -w])), points(), LINF, generator(), Tensor.double, ASCENT)
    expected = 2 * w.abs().sum()
    assert (found <= expected + 1e-9).all()
    torch.testing.assert_close(found, expected.expand(12), rtol=1e-9, atol=0)


@pytest.mark.parametrize("classes", [3, 6])
def test_the_logits_of_a_linear_classifier_keep_below_their_closed_lipschitz_constant(classes: int) -> None:
    """max_d ||W d||_1 / ||d||_inf = max over signs s of ||W^T s||_1: enumerated. Ascent finds a local maximum below it."""
    weight = torch.randn(classes, DIMENSIONS, generator=torch.Generator().manual_seed(classes), dtype=torch.float64)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=classes)), dtype=torch.float64)
    expected = (signs @ weight).abs().sum(1).max()
    found = landscape.local_lipschitz(Linear(weight), points(40), LINF, generator(), Tensor.double, ASCENT)
    assert (found <= expected + 1e-9).all()
    assert found.max() > 0.9 * expected
    assert found.mean() > 0.75 * expected


@pytest.mark.parametrize("threat", [LINF, L2], ids=["Linf", "L2"])
def test_the_curvature_of_a_logistic_loss_has_its_closed_form(w: Tensor, threat: ThreatModel) -> None:
    """l = softplus(-m), m = w.(x - 1/2) for class 0: the step lowers m by ||w||_1 times its length a pixel."""
    model, x = Linear(torch.stack([w, torch.zeros_like(w)])), points()
    y = torch.zeros(len(x), dtype=torch.int64)
    value, gradient = landscape.value_and_gradient(model, x, ce(y))
    m = model(x)[:, 0]
    torch.testing.assert_close(value, F.softplus(-m))
    a_pixel = EPS if threat.norm == "Linf" else EPS / DIMENSIONS**0.5
    after = m - a_pixel * w.abs().sum()
    expected = (torch.sigmoid(-after) - torch.sigmoid(-m)) * w.norm()
    torch.testing.assert_close(landscape.curvature(model, x, threat, ce(y), gradient), expected)


def test_the_linearity_gap_of_a_logistic_loss_has_its_closed_form(w: Tensor) -> None:
    """The loss is convex in m alone: its gap is largest at an end of m's range."""
    model, x = Linear(torch.stack([w, torch.zeros_like(w)])), points()
    y = torch.zeros(len(x), dtype=torch.int64)
    value, gradient = landscape.value_and_gradient(model, x, ce(y))
    m, reach = model(x)[:, 0], EPS * w.abs().sum()
    ends = [F.softplus(-(m + side * reach)) - F.softplus(-m) + torch.sigmoid(-m) * side * reach for side in (-1, 1)]
    found = landscape.linearity_gap(model, x, LINF, generator(), ce(y), value, gradient, Ascent(10, 0.25))
    highest = torch.maximum(*ends)
    assert (found <= highest + 1e-9).all()
    assert (found >= torch.minimum(*ends) - 1e-9).all()
    assert found.mean() > 0.9 * highest.mean()


def test_gradients_equal_finite_differences() -> None:
    model, x = Smooth(), points(4)
    y = torch.tensor([0, 3, 6, 2])
    for scalar in (landscape.energy, ce(y)):
        _, gradient = landscape.value_and_gradient(model, x, scalar)
        numeric = torch.empty_like(gradient)
        for i in range(DIMENSIONS):
            step = torch.zeros(DIMENSIONS, dtype=torch.float64)
            step[i] = 1e-6
            ahead, behind = (landscape.values(model, x + side * step.view(SHAPE), scalar) for side in (1, -1))
            numeric.view(4, -1)[:, i] = (ahead - behind) / 2e-6
        torch.testing.assert_close(gradient, numeric, rtol=1e-6, atol=1e-8)


def test_curvature_tends_to_the_hessian_along_its_direction() -> None:
    model, x = Smooth(), points(3)
    _, gradient = landscape.value_and_gradient(model, x, landscape.energy)
    near = ThreatModel("L2", 1e-5)
    found = landscape.curvature(model, x, near, landscape.energy, gradient) / near.eps
    for i in range(3):
        hessian = torch.autograd.functional.hessian(
            lambda z: landscape.energy(model(z.view(1, *SHAPE))).sum(), x[i].flatten()
        )
        direction = gradient[i].flatten().sign() / DIMENSIONS**0.5
        assert found[i].item() == pytest.approx((hessian @ direction).norm().item(), rel=1e-3)


def test_the_lipschitz_constant_of_the_energy_tends_to_its_gradient_norm_in_a_small_ball() -> None:
    model, x = Smooth(), points()
    l1, l2 = landscape.gradient_norms(landscape.value_and_gradient(model, x, landscape.energy)[1])
    for norm, expected, steps in (("Linf", l1, 10), ("L2", l2, 60)):
        small = ThreatModel(norm, 1e-4)  # type: ignore[arg-type]
        found = landscape.local_lipschitz(model, x, small, generator(), landscape.energies, Ascent(steps, 0.2))
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0)


def test_elle_and_alignment_equal_their_formulas_written_out() -> None:
    model, x, y = Smooth(), points(5), torch.arange(5)
    found = landscape.elle(model, x, LINF, generator(), ce(y), directions=3)
    draws = generator()
    x_a, x_b = (LINF.random_point(x.repeat(3, 1, 1, 1), draws).view(3, *x.shape) for _ in range(2))
    a = torch.rand(3, 5, generator=draws, dtype=torch.float64)
    for i in range(5):
        terms = []
        for k in range(3):
            loss = [
                F.cross_entropy(model(z[None]), y[i : i + 1])
                for z in (x_a[k, i], x_b[k, i], (1 - a[k, i]) * x_a[k, i] + a[k, i] * x_b[k, i])
            ]
            terms.append(float(loss[2] - (1 - a[k, i]) * loss[0] - a[k, i] * loss[1]) ** 2)
        assert found[i].item() == pytest.approx(sum(terms) / 3, rel=1e-6)

    _, gradient = landscape.value_and_gradient(model, x, ce(y))
    bent = landscape.gradient_misalignment(model, x, LINF, generator(), ce(y), gradient, directions=3)
    around = LINF.random_point(x.repeat(3, 1, 1, 1), generator()).view(3, *x.shape)
    cosines = [
        F.cosine_similarity(
            gradient.flatten(1), landscape.value_and_gradient(model, around[k], ce(y))[1].flatten(1), dim=1
        )
        for k in range(3)
    ]
    torch.testing.assert_close(bent, (1 - torch.stack(cosines)).mean(0))


def test_directions_made_in_groups_are_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Smooth(), points()
    whole = landscape.ball_deviation(model, x, LINF, generator(), 64)
    monkeypatch.setattr(landscape, "GROUP_BYTES", 3 * x.nbytes)
    grouped = landscape.ball_deviation(model, x, LINF, generator(), 64)
    assert grouped.mean().item() == pytest.approx(whole.mean().item(), rel=0.1)
    assert landscape.elle(model, x, LINF, generator(), landscape.energy, 5).isfinite().all()


def test_a_deeper_network_bends_more_the_larger_the_ball() -> None:
    model, x, y = Smooth(), points(), torch.arange(12) % 7
    value, gradient = landscape.value_and_gradient(model, x, ce(y))
    found = [
        landscape.linearity_gap(model, x, ThreatModel("Linf", eps), generator(), ce(y), value, gradient, ASCENT).mean()
        for eps in (0.01, 0.05, 0.15)
    ]
    assert found[0] < found[1] < found[2]


def test_confident_logits_keep_the_gradient_of_the_cross_entropy() -> None:
    """In float32 softmax gives 1 at a margin of 20, and the gradient of the label's logit vanishes; in float64 it stays."""

    class Confident(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.flatten(1).sum(1) + 60, -x.flatten(1).sum(1)], dim=1)

    x = torch.rand(3, 1, 2, 2)
    _, gradient = landscape.value_and_gradient(Confident(), x, ce(torch.zeros(3, dtype=torch.int64)))
    assert not landscape.has_no_gradient(gradient).any()
    margin = 60 + 2 * x.flatten(1).sum(1).double()
    torch.testing.assert_close(gradient[:, 0, 0, 0].double(), -2 * torch.exp(-margin), rtol=1e-4, atol=0)
