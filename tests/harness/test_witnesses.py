"""Images rounded to few bits: they stay in the ball and in the box, still break their examples, and are as coarse as can be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.attacks import witnesses
from harness.attacks.witnesses import MARGIN, Rounded, rounded
from harness.classifier.prepared import prepare
from harness.threat import ThreatModel
from leaderboards.records.witnesses import WHOLE, WIDTHS, levels, packed

BOTH = (("Linf", 0.004), ("Linf", 8 / 255), ("Linf", 0.3), ("L2", 0.05), ("L2", 0.5), ("L2", 3.0))


def linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5)).requires_grad_(False)


def convolutional(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers = (nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))
    return nn.Sequential(*layers).requires_grad_(False)


def shares(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """(n,): the largest wrong logit less the label's, as a share of the spread; above 0 is misclassified."""
    logits = model(x)
    wrong = torch.stack([torch.cat([row[:k], row[k + 1 :]]).max() for row, k in zip(logits, y.tolist(), strict=True)])
    return (wrong - logits[torch.arange(len(y)), y]) / (logits.amax(1) - logits.amin(1))


def attacked(model: nn.Module, threat: ThreatModel, seed: int, n: int = 60) -> tuple[Tensor, Tensor, Tensor]:
    """Examples that a gradient step, cut at a random length, breaks; a third of the pixels stand at the edge of the box."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(n, 3, 8, 8, generator=generator) * 1.5 - 0.25).clamp(0, 1)
    logits = model(x).double()
    near = logits.argsort(dim=1, descending=True)
    leaf = x.clone().requires_grad_()
    model(leaf).gather(1, near[:, 1:2]).sub(model(leaf).gather(1, near[:, :1])).sum().backward()
    assert leaf.grad is not None
    length = threat.eps * torch.rand(n, generator=generator).reshape(-1, 1, 1, 1).sqrt()
    noise = torch.rand(x.shape, generator=generator) if threat.norm == "Linf" else 1.0
    x_adv = threat.project(x, x + length * noise * threat.ascent(leaf.grad))
    # every label is one that the natural image has, or else the examples would not be right to begin with
    y = near[:, 0]
    broken = model(x_adv).argmax(1) != y
    return x[broken], y[broken], x_adv[broken]


@pytest.mark.parametrize(("norm", "eps"), BOTH, ids=[f"{norm} {eps:.3f}" for norm, eps in BOTH])
@pytest.mark.parametrize("network", [linear, convolutional])
def test_rounding_leaves_no_ball_and_no_box_and_loses_no_break(network, norm, eps: float) -> None:
    threat, bits = ThreatModel(norm, eps), set()
    for seed in range(4):
        model = network(seed)
        x, y, x_adv = attacked(model, threat, seed, 60 if eps > 0.06 else 600)
        found = rounded(model, x, y, x_adv, threat)
        assert threat.verify(x, found.x_adv).legal.all()
        assert (model(found.x_adv).argmax(1) != y).all()
        bits |= set(found.bits.tolist())
        # what is said of each is true: packed so, it comes back bit for bit and is not kept whole
        bundle = packed(np.arange(len(x)), x.numpy(), found.x_adv.numpy(), found.bits, found.step)
        assert bundle.bits.tolist() == found.bits.tolist()
        assert bundle.images(x.numpy()).tobytes() == found.x_adv.numpy().tobytes()
        whole = torch.from_numpy(found.bits == WHOLE)
        assert torch.equal(found.x_adv[whole], x_adv[whole])
        # the ball itself, not the tolerance that rounding is given: float32 at 1 is 6e-8 fine
        fine = 6e-8 * (x[0].numel() ** 0.5 if norm == "L2" else 1)
        assert (threat.distance(x, found.x_adv)[~whole] <= eps + fine).all()
    assert 2 in bits


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_every_form_has_the_margin_or_is_the_one_with_the_largest(norm) -> None:
    threat = ThreatModel(norm, 0.02 if norm == "Linf" else 0.2)
    for seed in range(4):
        model = convolutional(seed)
        x, y, x_adv = attacked(model, threat, seed, 400)
        found = rounded(model, x, y, x_adv, threat)
        had, has = shares(model, x_adv, y), shares(model, found.x_adv, y)
        assert ((has >= MARGIN) | (has >= had)).all()
        strict = rounded(model, x, y, x_adv, threat, margin=0.05)
        has = shares(model, strict.x_adv, y)
        assert ((has >= 0.05) | (has >= had)).all()
        assert (strict.bits >= found.bits).all()
        assert (strict.bits > found.bits).any()


class Narrow(nn.Module):
    """Class 1 where all pixels but the first are brighter than 0.5 by `wanted`, up to `off`; a third class sets the spread."""

    def __init__(self, wanted: float, off: float, spread: float = 0.0) -> None:
        super().__init__()
        self.wanted, self.off, self.spread, self.rows = wanted, off, spread, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        brighter = (x.flatten(1)[:, 1:].double() - 0.5).mean(1)
        good = self.off - (brighter - self.wanted).abs()
        return torch.stack([torch.zeros_like(good), good, torch.full_like(good, -self.spread)], 1).float()


def narrow(part: float, off: float, spread: float = 0.0, wanted: float | None = None) -> tuple[Narrow, Rounded]:
    """An image whose pixels are `part` of eps brighter, but the first, which is all of it: nothing can be lengthened."""
    x = torch.full((1, 1, 3, 3), 0.5)
    x_adv = x + 0.1 * part
    x_adv[0, 0, 0, 0] = 0.6
    model = Narrow(0.1 * (wanted or part), 0.1 * off, spread)
    return model, rounded(model, x, torch.tensor([0]), x_adv, ThreatModel("Linf", 0.1))


@pytest.mark.parametrize(
    ("part", "off", "bits"),
    [(0.8, 0.3, 2), (3 / 7, 0.02, 4), (13 / 31, 0.004, 6), (53 / 127, 0.001, 8), (0.42, 1e-4, 32)],
)
def test_the_coarsest_form_that_still_breaks_is_taken_and_no_finer_one_is_passed(
    part: float, off: float, bits: int
) -> None:
    model, found = narrow(part, off)
    assert found.bits.tolist() == [bits]
    assert (found.step > 0).tolist() == [bits != WHOLE]
    assert model.rows == [*WIDTHS, WHOLE].index(bits) + 1


@pytest.mark.parametrize(("wanted", "bits"), [(3 / 7, 4), (13 / 31, 6), (52 / 127, 8), (0.41, 32)])
def test_where_no_form_has_the_margin_the_one_with_the_largest_is_taken(wanted: float, bits: int) -> None:
    # of 0.41 four bits make 3/7, six 13/31 and eight 52/127; each breaks, and the one that is wanted does so most
    model, found = narrow(0.41, 0.05, spread=1000.0, wanted=wanted)
    assert found.bits.tolist() == [bits]
    assert model.rows == 5
    assert narrow(0.41, 0.05, wanted=wanted)[1].bits.tolist() == [4], "with a margin, the coarsest will do"


def barely(model: nn.Module, threat: ThreatModel, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images that have crossed the boundary by next to nothing, on a straight way to where an attack has led them."""
    x, y, far = attacked(model, threat, seed, 300)
    low, high = torch.zeros(len(x), 1, 1, 1), torch.ones(len(x), 1, 1, 1)
    for _ in range(18):
        middle = (low + high) / 2
        wrong = (model(x + middle * (far - x)).argmax(1) != y).reshape(-1, 1, 1, 1)
        low, high = torch.where(wrong, low, middle), torch.where(wrong, middle, high)
    x_adv = x + high * (far - x)
    sure = threat.verify(x, x_adv).legal & (model(x_adv).argmax(1) != y)
    return x[sure], y[sure], x_adv[sure]


@pytest.mark.parametrize(("network", "norm"), [(linear, "Linf"), (convolutional, "Linf"), (convolutional, "L2")])
def test_an_image_that_is_barely_across_the_boundary_is_led_further_where_the_ball_has_room(network, norm) -> None:
    threat, margin, gained = ThreatModel(norm, 0.02 if norm == "Linf" else 0.2), 0.05, 0
    for seed in range(3):
        model = network(seed)
        x, y, x_adv = barely(model, threat, seed)
        assert (shares(model, x_adv, y) < 1e-3).all()
        prepared = prepare(model, x)
        without = rounded(model, x, y, x_adv, threat, margin=margin)
        found = rounded(model, x, y, x_adv, threat, margin=margin, network=lambda made=prepared: made)
        had, has = shares(model, without.x_adv, y), shares(model, found.x_adv, y)
        assert (has >= torch.minimum(had, torch.tensor(margin))).all(), "nothing is lost by it"
        assert threat.verify(x, found.x_adv).legal.all()
        assert (model(found.x_adv).argmax(1) != y).all()
        gained += int(((has >= margin) & (had < margin)).sum())
        if network is linear:
            # from here the best that the ball has is known: every pixel as far as it may go
            w = model[1].weight
            for row, share in zip(range(len(x)), has, strict=True):
                low, high = (x[row] - threat.eps).clamp(0, 1), (x[row] + threat.eps).clamp(0, 1)
                wrong = int(model(x_adv[row : row + 1]).argmax())
                ascent = (w[wrong] - w[y[row]]).reshape(x[row].shape)
                best = torch.where(ascent > 0, high, low)
                if float(shares(model, best[None], y[row : row + 1])) > 1.2 * margin:
                    assert share >= margin
    assert gained > 0


def test_the_network_is_made_ready_only_where_a_form_is_not_sure() -> None:
    model = linear(0)
    x, y, x_adv = attacked(model, LINF, 0)
    sure = shares(model, x_adv, y) > 0.1
    assert sure.any()

    def never():
        raise AssertionError

    assert (rounded(model, x[sure], y[sure], x_adv[sure], LINF, network=never).bits == 2).all()


def test_what_the_judge_does_not_confirm_stays_as_it_was_found() -> None:
    x = torch.rand(7, 1, 4, 4)
    x_adv = (x + 0.03).clamp(0, 1)
    found = rounded(lambda x: torch.tensor([[1.0, 0.0]]).expand(len(x), 2), x, torch.zeros(7).long(), x_adv, LINF)
    assert torch.equal(found.x_adv, x_adv)
    assert (found.bits == WHOLE).all()
    assert not found.step.any()


def test_an_image_that_is_the_natural_one_and_a_ball_of_no_size_are_no_error() -> None:
    x, y = torch.rand(3, 1, 4, 4), torch.zeros(3).long()
    for threat in (LINF, ThreatModel("Linf", 0.0), ThreatModel("L2", 0.0), ThreatModel("L2", 1e-30)):
        found = rounded(lambda x: torch.tensor([[0.0, 1.0]]).expand(len(x), 2), x, y, x, threat)
        assert torch.equal(found.x_adv, x)
        assert (found.bits == WHOLE).all()
    assert len(rounded(linear(0), x[:0], y[:0], x[:0], LINF).bits) == 0


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("eps", [1e-7, 2e-7, 1e-6, 1e-4])
def test_what_is_said_of_an_image_holds_also_where_float32_hardly_tells_two_steps_apart(norm, eps: float) -> None:
    threat = ThreatModel(norm, eps)
    x = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x_adv = threat.random_point(x, torch.Generator().manual_seed(1))
    for skipped in range(4):
        asked: list[int] = []

        def judge(x: Tensor, skipped: int = skipped, asked: list[int] = asked) -> Tensor:
            asked.append(len(x))  # the coarsest forms are refused
            return torch.tensor([[0.0, 1.0 if len(asked) > skipped else -1.0]]).expand(len(x), 2)

        found = rounded(judge, x, torch.zeros(40).long(), x_adv, threat)
        bundle = packed(np.arange(40), x.numpy(), found.x_adv.numpy(), found.bits, found.step)
        assert bundle.bits.tolist() == found.bits.tolist()
        assert bundle.images(x.numpy()).tobytes() == found.x_adv.numpy().tobytes()


def test_no_number_of_steps_is_beyond_the_ball() -> None:
    x = torch.full((1, 1, 2, 2), 0.5)
    for eps in (k / 255 for k in range(1, 100)):
        found = rounded(
            lambda x: torch.tensor([[0.0, 1.0]]), x, torch.tensor([0]), x + 0.9 * eps, ThreatModel("Linf", eps)
        )
        assert 0 < float(found.step[0]) * levels(int(found.bits[0])) <= eps


LINF = ThreatModel("Linf", 0.05)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_what_an_image_becomes_does_not_depend_on_who_stands_beside_it(norm, monkeypatch: pytest.MonkeyPatch) -> None:
    threat, model = ThreatModel(norm, 0.02 if norm == "Linf" else 0.2), convolutional(1).double()

    def judge(x: Tensor) -> Tensor:
        return torch.cat([model(one[None].double()) for one in x])

    x, y, x_adv = attacked(convolutional(1), threat, 1, 150)
    together = rounded(judge, x, y, x_adv, threat)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(witnesses, "_BYTES", 3 * 4 * x[0].numel())
    turned = rounded(judge, x[order], y[order], x_adv[order], threat)
    assert torch.equal(turned.x_adv, together.x_adv[order])
    assert turned.bits.tolist() == together.bits[order.numpy()].tolist()
    assert turned.step.tolist() == together.step[order.numpy()].tolist()
