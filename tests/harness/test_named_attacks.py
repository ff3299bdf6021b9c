"""The attacks whose energies are compared: each against closed forms, pyautoattack called directly, and its own promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pyautoattack import AutoAttack
from torch import nn

from harness.attacks.attack import Attack
from harness.attacks.individual import APGD, Square, TargetedAPGD, TargetedFAB
from harness.attacks.named import ATTACKS, MAIN
from harness.attacks.pgd import PGD, least_likely, margin, random_target
from harness.data.datasets import digits
from harness.errors import BadInput
from harness.threat import ThreatModel
from zoo.architectures import build


class Linear(nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - 0.5).flatten(1) @ self.weight.T


def linear(classes: int, shape: tuple[int, int, int] = (3, 5, 7)) -> tuple[Linear, torch.Tensor, torch.Tensor]:
    """A linear classifier and 40 images far from the box, every tenth of them labelled wrongly."""
    generator = torch.Generator().manual_seed(classes)
    model = Linear(torch.randn(classes, int(np.prod(shape)), generator=generator))
    x = 0.3 + 0.4 * torch.rand(40, *shape, generator=generator)
    y = model(x).argmax(1)
    y[::10] = (y[::10] + 1) % classes
    return model, x, y


EPS = 0.08
"""Breaks about half of the untrained network's examples."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize(("classes", "shape"), [(2, (1, 5, 5)), (3, (3, 5, 7)), (4, (1, 7, 5)), (1000, (3, 6, 6))])
def test_every_attack_keeps_to_the_threat_model(classes: int, shape: tuple[int, int, int], norm: str) -> None:
    model, x, y = linear(classes, shape)
    x, y = x[:12], y[:12]
    threat = ThreatModel(norm, 0.05 if norm == "Linf" else 0.3)
    left_out = {name for name, attack in ATTACKS.items() if attack.obstacle(classes, threat.norm, min(shape[1:]))}
    assert left_out == {2: {"apgd-dlr", "apgd-t"}, 3: {"apgd-t"}}.get(classes, set())
    for name, attack in ATTACKS.items():
        if name not in left_out:
            x_adv = attack.shortened(classes)[0].perturb(model, x, y, threat, generator())
            assert threat.verify(x, x_adv).legal.all(), name
            assert not x_adv.requires_grad


def test_square_under_l2_needs_room() -> None:
    assert Square().obstacle(10, "L2", 4)
    assert not Square().obstacle(10, "Linf", 4)


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_is_a_function_of_its_generator_and_leaves_the_global_one_alone(name: str) -> None:
    model, x, y = linear(5)
    threat, attack = ThreatModel("Linf", 0.02), ATTACKS[name].shortened(5)[0]
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, again, other = (attack.perturb(model, x, y, threat, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again)
    assert name == "fab-t" or not torch.equal(first, other)  # FAB's first restart starts at the image


@pytest.mark.parametrize("attack", [PGD(), PGD("margin"), APGD(), TargetedFAB(), PGD(target="random")])
def test_with_two_classes_an_attack_by_gradient_reaches_the_closed_form(attack: Attack) -> None:
    """One direction of ascent: robust is whoever's margin exceeds eps ||w_y - w_k||_1."""
    model, x, y = linear(2)
    eps = 0.01
    difference = model.weight[y] - model.weight[1 - y]
    slack = margin(model(x), y) - eps * difference.abs().sum(1)
    assert (slack.abs() > 1e-4).all()
    robust = ~attack(model, x, y, ThreatModel("Linf", eps), generator()).broken
    assert robust.tolist() == (slack > 0).tolist()
    assert 0.1 < robust.float().mean() < 0.9


@pytest.fixture(scope="module")
def untrained() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    model = build("digits-cnn", 10, (1, 8, 8)).eval().requires_grad_(False)
    images = digits("test").examples(0, 60)
    return model, images.x, model(images.x).argmax(1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(TargetedAPGD(100), "apgd-t"), pytest.param(TargetedFAB(100), "fab-t", marks=pytest.mark.slow)],
    ids=["apgd-t", "fab-t"],
)
def test_with_autoattacks_budget_an_attack_breaks_what_pyautoattack_breaks(untrained, ours: Attack, theirs) -> None:
    model, x, y = (untrained[0], *(part[:30] for part in untrained[1:]))
    alone = AutoAttack(model, norm="Linf", eps=EPS, seed=0, version="custom", attacks=[theirs])
    alone.apgd_targeted.n_target_classes = alone.fab.n_target_classes = 9
    with torch.no_grad():
        x_adv, _ = alone.run_standard_evaluation(x, y)
    expected = model(x_adv).argmax(1) != y
    broken = ours(model, x, y, ThreatModel("Linf", EPS), generator()).broken
    assert 0.1 < expected.float().mean() < 0.9
    assert (broken != expected).float().mean() <= 0.05  # other random starts


def test_apgd_attacks_what_is_misclassified_too_and_raises_its_loss(untrained) -> None:
    model, x, y = untrained
    y = (y + 1) % 10
    x_adv = APGD("ce", 10).perturb(model, x, y, ThreatModel("Linf", 0.05), generator())
    loss = [nn.functional.cross_entropy(model(points), y, reduction="none") for points in (x, x_adv)]
    assert (loss[1] > loss[0]).all()


@pytest.mark.parametrize(("attack", "moves"), [(TargetedFAB(5), False), (Square(20), True), (TargetedAPGD(3), True)])
def test_where_an_attack_fails_it_returns_what_it_says(untrained, attack: Attack, moves: bool) -> None:
    model, x, y = untrained
    threat = ThreatModel("Linf", 1e-6)
    right = (model(x).topk(2).values.diff(dim=1).abs() > 1e-3).squeeze(1)  # nothing so near can break them
    assert right.sum() > 30
    x_adv = attack.perturb(model, x[right], y[right], threat, generator())
    assert (model(x_adv).argmax(1) == y[right]).all()
    assert (x_adv != x[right]).flatten(1).any(1).float().mean() == (1.0 if moves else 0.0)


@pytest.mark.parametrize("attack", [TargetedFAB(5), Square(20)])
def test_fab_and_square_leave_alone_what_is_misclassified_already(untrained, attack: Attack) -> None:
    model, x, y = untrained
    assert torch.equal(attack.perturb(model, x, (y + 1) % 10, ThreatModel("Linf", 0.1), generator()), x)


def test_targets_are_never_the_label() -> None:
    y = torch.arange(4).repeat(500)
    target = random_target(y, 4, generator())
    assert (target != y).all()
    counts = torch.bincount(4 * y + target, minlength=16).view(4, 4)
    assert (counts.diagonal() == 0).all()
    assert counts[~torch.eye(4, dtype=torch.bool)].min() > 120  # of 2000 draws over 12 pairs
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    assert least_likely(logits, torch.tensor([0, 1])).tolist() == [1, 0]
    assert margin(logits, torch.tensor([2, 0])).tolist() == [1.0, -2.0]


def test_targeted_pgd_moves_towards_its_target(untrained) -> None:
    model, x, y = untrained
    target = least_likely(model(x), y)
    x_adv = PGD(target="least-likely").perturb(model, x, y, ThreatModel("Linf", 0.05), generator())
    chosen = [model(points).softmax(1).gather(1, target[:, None]) for points in (x, x_adv)]
    assert (chosen[1] > chosen[0]).all()


def test_the_margin_attack_rests_beyond_the_boundary(untrained) -> None:
    model, x, y = untrained
    threat = ThreatModel("Linf", 0.1)
    broken = {}
    for steps in (15, 30):
        x_adv = PGD("margin", steps).perturb(model, x, y, threat, generator())
        broken[steps] = x_adv, model(x_adv).argmax(1) != y
    resting = broken[15][1]
    assert resting.float().mean() > 0.5
    torch.testing.assert_close(broken[30][0][resting], broken[15][0][resting], rtol=0, atol=1e-6)


def test_a_target_goes_with_the_cross_entropy_alone() -> None:
    with pytest.raises(BadInput, match="expected loss 'ce' for a target, got 'kl'"):
        PGD("kl", target="random")


def test_settings_say_all_that_decides_an_attack() -> None:
    settings = {name: attack.settings() for name, attack in ATTACKS.items()}
    assert settings[MAIN] == {"attack": "PGD", "loss": "ce", "steps": 20, "step_size": 0.25, "target": "none"}
    assert settings["apgd-t"] == {"attack": "targeted APGD", "loss": "dlr", "steps": 20, "targets": 9}
    assert len({str(value) for value in settings.values()}) == len(ATTACKS)
