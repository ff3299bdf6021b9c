"""The engine against what can be proved of a classifier: closed forms, and certificates by interval bounds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from harness.attacks.engine.engine import Engine
from harness.attacks.engine.outcome import MISCLASSIFIED
from harness.threat import ThreatModel

SHORT = Engine(steps=40, queries=100)


class Linear(nn.Module):
    def __init__(self, classes: int, shape: tuple[int, int, int], seed: int) -> None:
        super().__init__()
        generator, size = torch.Generator().manual_seed(seed), shape[0] * shape[1] * shape[2]
        self.weight = torch.randn(classes, size, generator=generator)
        self.bias = -self.weight @ torch.full((size,), 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


def slack(model: Linear, x: Tensor, y: Tensor, threat: ThreatModel) -> Tensor:
    """(N,) how far the least margin stays above zero: each is moved by eps times the dual norm of the rows' difference."""
    logits = model(x).double()
    difference = model.weight[y].double()[:, None] - model.weight.double()[None]
    dual = difference.norm(p=1 if threat.norm == "Linf" else 2, dim=2)
    left = logits.gather(1, y[:, None]) - logits - threat.eps * dual
    return left.scatter(1, y[:, None], torch.inf).amin(1)


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.008), ("L2", 0.05)])
def test_a_linear_classifiers_flags_are_those_of_its_closed_form(norm: str, eps: float, classes: int) -> None:
    threat = ThreatModel(norm, eps * (2 if classes < 4 else 1))  # type: ignore[arg-type]
    model = Linear(classes, (3, 5, 5), seed=classes)
    x = 0.3 + 0.4 * torch.rand(150, 3, 5, 5, generator=torch.Generator().manual_seed(0))  # the box is far
    y = model(x).argmax(1)
    y[::10] = (y[::10] + 1) % classes
    left = slack(model, x, y, threat)
    sure = left.abs() > 1e-4  # nearer than that float32 decides
    assert sure.float().mean() > 0.97
    assert 0.1 < (left > 0).float().mean() < 0.9
    found, _ = SHORT(model, x, y, threat)
    assert torch.equal(found.robust[sure], (left > 0)[sure])
    assert torch.equal(found.stage == MISCLASSIFIED, model(x).argmax(1) != y)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_linear_classifiers_images_are_broken_at_just_above_their_distance_and_never_below(norm: str) -> None:
    model = Linear(10, (1, 6, 6), seed=1)
    x = 0.35 + 0.3 * torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    zero = slack(model, x, y, ThreatModel(norm, 0.0))  # type: ignore[arg-type]
    assert (zero > 0).all()
    for i in range(len(x)):
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            left = slack(model, x[i : i + 1], y[i : i + 1], ThreatModel(norm, middle))  # type: ignore[arg-type]
            low, high = (middle, high) if left > 0 else (low, middle)
        for factor, robust in ((0.998, True), (1.002, False)):
            threat = ThreatModel(norm, low * factor)  # type: ignore[arg-type]
            assert bool(SHORT(model, x[i : i + 1], y[i : i + 1], threat)[0].robust) is robust


def test_at_eps_zero_nothing_breaks_and_what_is_wrong_stays_wrong() -> None:
    model = Linear(10, (1, 6, 6), seed=2)
    x = torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    y = model(x).argmax(1)
    y[:5] = (y[:5] + 1) % 10
    for norm in ("Linf", "L2"):
        found, report = replace(SHORT, steps=10)(model, x, y, ThreatModel(norm, 0.0))  # type: ignore[arg-type]
        assert found.robust.tolist() == [False] * 5 + [True] * 15
        assert torch.equal(found.x_adv, x)
        assert report.rejected == []


class Small(nn.Module):
    """A ReLU network whose logits can be bounded over a box of images."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        sizes = (36, 12, 8, 4)
        self.layers = [
            (torch.randn(b, a, generator=generator, dtype=torch.float64) / a**0.5,
             0.1 * torch.randn(b, generator=generator, dtype=torch.float64))
            for a, b in pairwise(sizes)
        ]  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        found = x.flatten(1)
        for number, (weight, bias) in enumerate(self.layers):
            found = (found.relu() if number else found) @ weight.T.to(x) + bias.to(x)
        return 3 * found

    def certified(self, x: Tensor, y: Tensor, eps: float) -> Tensor:
        """(N,) which labels keep the largest logit wherever interval bounds say that the logits may be."""
        flat = x.flatten(1).double()
        low, high = (flat - eps).clamp(0, 1), (flat + eps).clamp(0, 1)
        for number, (weight, bias) in enumerate(self.layers[:-1]):
            low, high = (low.relu(), high.relu()) if number else (low, high)
            middle, spread = (low + high) / 2 @ weight.T + bias, (high - low) / 2 @ weight.T.abs()
            low, high = middle - spread, middle + spread
        low, high = low.relu(), high.relu()
        weight, bias = self.layers[-1]
        against = weight[y][:, None] - weight[None]  # the last layer's differences, bounded each for itself
        middle, spread = (low + high) / 2, (high - low) / 2
        least = (against * middle[:, None]).sum(2) + bias[y][:, None] - bias - (against.abs() * spread[:, None]).sum(2)
        return (least.scatter(1, y[:, None], torch.inf) > 1e-6).all(1)


@pytest.mark.parametrize("eps", [0.012, 0.02, 0.035])
def test_accuracy_is_never_below_a_networks_certificate(eps: float) -> None:
    model = Small()
    x = torch.rand(200, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    y = model(x).argmax(1)
    certified = model.certified(x, y, eps)
    assert 0.02 < certified.float().mean() < 0.95, "the certificate is to say something, and not all"
    found, _ = SHORT(model, x, y, ThreatModel("Linf", eps))
    assert found.robust[certified].all()
    assert not found.robust.all()
    # an L2 ball of this radius lies within that box
    assert SHORT(model, x, y, ThreatModel("L2", eps))[0].robust[certified].all()
