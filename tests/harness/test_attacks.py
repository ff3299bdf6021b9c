"""PGD and AutoAttack against closed forms, against pyautoattack called directly, and against attacks that cheat."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from pyautoattack import AutoAttack
from torch import nn

from harness.attacks.autoattack import STAGES, Cascade, stages_for
from harness.attacks.pgd import PGD
from harness.classifier.frozen import frozen
from harness.data.datasets import digits
from harness.data.images import Examples
from harness.measures import RobustAccuracy
from harness.threat import ThreatModel
from zoo.architectures import build


class Linear(nn.Module):
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


def linear(classes: int = 10, seed: int = 0) -> tuple[Linear, torch.Tensor, torch.Tensor]:
    """A linear classifier and 120 images far from the box, some of them labelled wrongly."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, 75, generator=generator)
    x = 0.3 + 0.4 * torch.rand(120, 3, 5, 5, generator=generator)
    model = Linear(weight, -weight @ torch.full((75,), 0.5))
    y = model(x).argmax(1)
    y[::10] = (y[::10] + 1) % classes
    return model, x, y


def closed_form(model: Linear, x: torch.Tensor, y: torch.Tensor, eps: float, dual: float) -> np.ndarray:
    """A point is robust iff every margin exceeds eps times the dual norm of the difference of the rows."""
    logits = model(x).double()
    difference = model.weight[y].double()[:, None, :] - model.weight.double()[None]
    slack = logits.gather(1, y[:, None]) - logits - eps * difference.norm(p=dual, dim=2)
    slack[torch.arange(len(y)), y] = np.inf
    least = slack.min(1).values
    assert (least.abs() > 1e-4).all(), "a point lies on the boundary: choose another seed"
    return (least > 0).numpy()


@pytest.mark.parametrize(("norm", "eps", "dual"), [("Linf", 0.008, 1), ("L2", 0.05, 2)])
def test_autoattack_on_a_linear_classifier_equals_its_closed_form(norm: str, eps: float, dual: int) -> None:
    model, x, y = linear()
    expected = closed_form(model, x, y, eps, dual)
    assert 0.2 < expected.mean() < 0.8
    result = RobustAccuracy()(model, Examples(x, y), ThreatModel(norm, eps))
    assert (result.arrays["stage"] == len(STAGES)).tolist() == expected.tolist()


def test_accuracies_of_a_linear_classifier_fall_stage_by_stage_to_the_closed_form() -> None:
    model, x, y = linear()
    measure = RobustAccuracy()
    result = measure(model, Examples(x, y), ThreatModel("Linf", 0.01))
    values = measure.summarise(result.arrays, result.notes).values
    stages = [values[f"accuracy_after.{stage}"].value for stage in STAGES]
    assert stages == sorted(stages, reverse=True)
    assert values["autoattack_accuracy"].value == stages[-1] == closed_form(model, x, y, 0.01, 1).mean()


@pytest.mark.slow  # one batch of it is compared in test_run.py
def test_flags_and_images_equal_pyautoattack_called_directly_in_several_batches() -> None:
    torch.manual_seed(3)
    model = build("digits-cnn", 10, (1, 8, 8)).eval().requires_grad_(False)
    images = digits("test").examples(0, 24)
    y = model(images.x).argmax(1)  # an untrained network is right about its own predictions
    y[::7] = (y[::7] + 1) % 10
    threat = ThreatModel("Linf", 0.01)
    ours = Cascade(seed=5, batch_size=14)(model, images.x, y, threat)
    theirs = AutoAttack(model, norm="Linf", eps=0.01, seed=5, version="standard")
    x_adv, _ = theirs.run_standard_evaluation(images.x, y, batch_size=14)
    robust = model(x_adv).argmax(1) == y
    assert 0 < robust.float().mean() < 0.9
    assert ours.robust.tolist() == robust.tolist()
    assert torch.equal(ours.x_adv, x_adv)


class Cheat:
    """An 'attack' that returns images outside the threat model."""

    def __init__(self, x_adv: torch.Tensor) -> None:
        self.x_adv = x_adv

    def perturb(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.x_adv[: len(x)].clone()


def test_an_image_outside_the_threat_model_does_not_count_as_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, _ = linear()
    x = x[:20]
    y = model(x).argmax(1)
    far = x.clone()
    for i in range(20):  # any image of another class fools the classifier
        far[i] = x[(y != y[i]).nonzero()[0]]
    original = AutoAttack.__init__

    def replaced(self: AutoAttack, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)  # type: ignore[arg-type]
        for name in ("apgd", "apgd_targeted", "fab", "square"):
            attack = getattr(self, name)
            monkeypatch.setattr(attack, "perturb", Cheat(far).perturb)

    monkeypatch.setattr(AutoAttack, "__init__", replaced)
    measure = RobustAccuracy(engine="pyautoattack")
    result = measure(model, Examples(x, y), ThreatModel("Linf", 0.01))
    summary = measure.summarise(result.arrays, result.notes)
    assert summary.values["autoattack_accuracy"].value == 1.0
    assert [flag.code for flag in summary.flags] == ["rejected"] * len(STAGES)
    assert "20 images of square fooled the classifier but are outside the ball" in summary.flags[-1].message


class Thresholded(nn.Module):
    """A hard threshold in front: no gradient reaches the image."""

    noise = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x > 0.5).float() + 0 * x).flatten(1)[:, :10] + self.noise * torch.rand(len(x), 10)


@pytest.mark.parametrize("engine", ["harness", "pyautoattack"])
@pytest.mark.parametrize(("noise", "code"), [(0.0, "zero-gradients"), (0.01, "randomised")])
def test_what_autoattack_doubts_is_kept_as_a_flag(noise: float, code: str, engine: str) -> None:
    x = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    model = Thresholded()
    model.noise = noise
    y = model(x).argmax(1)
    measure = RobustAccuracy(engine=engine)  # type: ignore[arg-type]
    result = measure(model, Examples(x, y), ThreatModel("Linf", 0.001))
    flags = measure.summarise(result.arrays, result.notes).flags
    assert code in {flag.code for flag in flags}
    assert all("{" not in flag.message for flag in flags)


def test_the_dynamic_check_neither_remembers_other_classifiers_nor_switches_tracing_off() -> None:
    class Dynamic(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad():
                z = x.detach().requires_grad_()
                torch.autograd.grad(z.sum(), z)
            return x.flatten(1)[:, :5]

    x = torch.rand(6, 1, 3, 3)
    threat = ThreatModel("Linf", 0.0)

    def codes(model: nn.Module) -> set[str]:
        result = RobustAccuracy()(model, Examples(x, model(x).argmax(1)), threat)
        return {note.code for note in result.notes}

    def tracer(frame: object, event: str, argument: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        assert "dynamic" in codes(Dynamic())
        assert "dynamic" not in codes(Linear(torch.eye(9)[:5], torch.zeros(5)))
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


def test_three_classes_are_attacked_by_the_margin_where_the_published_loss_needs_four() -> None:
    model, x, y = linear(classes=3)
    expected = closed_form(model, x, y, 0.03, 1)
    result = RobustAccuracy()(model, Examples(x, y), ThreatModel("Linf", 0.03))
    assert "margin-loss" in {note.code for note in result.notes}
    assert (result.arrays["stage"] == len(STAGES)).tolist() == expected.tolist()
    assert "stages-left-out" not in {note.code for note in result.notes}


def test_pyautoattack_attacks_three_classes_without_the_stage_that_needs_four() -> None:
    model, x, y = linear(classes=3)
    expected = closed_form(model, x, y, 0.03, 1)
    result = RobustAccuracy(engine="pyautoattack")(model, Examples(x, y), ThreatModel("Linf", 0.03))
    assert stages_for(3, "Linf", 5) == ("apgd-ce", "fab-t", "square")
    assert (result.arrays["stage"] == len(STAGES)).tolist() == expected.tolist()
    assert "stages-left-out" in {note.code for note in result.notes}


def test_images_too_small_for_square_under_l2_are_attacked_without_it() -> None:
    generator = torch.Generator().manual_seed(0)
    model = Linear(torch.randn(10, 16, generator=generator), torch.zeros(10))
    x = 0.3 + 0.4 * torch.rand(30, 1, 4, 4, generator=generator)
    y = model(x).argmax(1)
    expected = closed_form(model, x, y, 0.1, 2)
    result = RobustAccuracy()(model, Examples(x, y), ThreatModel("L2", 0.1))
    assert (result.arrays["stage"] == len(STAGES)).tolist() == expected.tolist()
    assert 0 < expected.mean() < 1
    assert "square" in next(note.message for note in result.notes if note.code == "stages-left-out")


def test_a_run_leaves_the_global_generator_alone() -> None:
    model, x, y = linear()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    Cascade()(model, x[:5], y[:5], ThreatModel("Linf", 0.001))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("norm", "eps", "dual"), [("Linf", 0.008, 1), ("L2", 0.05, 2)])
def test_pgd_with_two_classes_reaches_the_closed_form(norm: str, eps: float, dual: int) -> None:
    """With two classes the loss of a linear classifier has one direction of ascent, and PGD cannot miss it."""
    model, x, y = linear(classes=2)
    threat = ThreatModel(norm, eps)
    found = PGD(steps=20)(model, x, y, threat, torch.Generator().manual_seed(0))
    assert (model(found.x_adv).argmax(1) == y).tolist() == closed_form(model, x, y, eps, dual).tolist()
    assert (~found.broken).tolist() == closed_form(model, x, y, eps, dual).tolist()
    assert found.counted.all()


@pytest.mark.parametrize("loss", ["ce", "kl"])
def test_pgd_leaves_no_gradient_no_mode_and_no_statistics_behind(loss: str) -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(75), nn.Linear(75, 10)).train()
    model[1].eval()  # a layer somebody froze stays frozen
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _, x, y = linear()
    PGD(loss, steps=2)(model, x, y, ThreatModel("Linf", 0.1), torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert model.training
    assert not model[1].training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_pgd_gives_a_sample_the_same_gradient_steps_whatever_batch_it_stands_in() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 20), nn.Tanh(), nn.Linear(20, 10)).double()
    x, y = torch.rand(8, 3, 4, 4, dtype=torch.float64), torch.randint(0, 10, (8,))
    attack, threat = PGD(steps=5), ThreatModel("L2", 0.3)

    class Start(ThreatModel):
        def random_point(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return x.clone()

    start = Start(threat.norm, threat.eps)
    together = attack(model, x, y, start, torch.Generator()).x_adv
    alone = [attack(model, x[i : i + 1], y[i : i + 1], start, torch.Generator()).x_adv for i in range(8)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_frozen_puts_everything_back_when_the_attack_fails() -> None:
    model = nn.Linear(2, 2).train()

    def attack() -> None:
        with frozen(model):
            assert not model.training
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        attack()
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
