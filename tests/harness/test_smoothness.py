"""The measure `smoothness`: what is normalised does not depend on the scale of the logits, and what hides is not smooth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from harness.data.datasets import digits
from harness.data.images import Examples
from harness.measures import Smoothness, Summary
from harness.measures.smoothness import FIGURES
from harness.suites.suite import SUITES
from harness.threat import ThreatModel
from leaderboards.board.labels import SMOOTHNESS, label
from zoo.own_entrants import own_entrants

THREAT = ThreatModel("Linf", 0.1)
EXAMPLES = digits("test").examples(0, 40)


class Scaled(nn.Module):
    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.model(x)


class Behind(nn.Module):
    """A classifier behind a function of its images."""

    def __init__(self, model: nn.Module, front) -> None:
        super().__init__()
        self.model, self.front = model, front

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(self.front(x))


def shipped(name: str = "sat") -> nn.Module:
    return next(e for e in own_entrants(SUITES["digits"].domain) if e.card.name == name).load()


def measured(model: nn.Module, examples: Examples = EXAMPLES) -> Summary:
    measure = Smoothness()
    result = measure(model, examples, THREAT)
    return measure.summarise(result.arrays, result.notes)


def test_every_figure_has_a_mean_with_an_interval_a_deviation_and_quantiles() -> None:
    summary = measured(shipped())
    assert summary.flags == ()
    for name, figure in FIGURES.items():
        for key in (name, f"{name}_normalised") if figure.power else (name,):
            value, spread = summary.values[f"{key}.mean"], summary.distributions[key]
            assert value.value is not None
            assert value.low is not None
            assert value.low <= value.value <= value.high  # type: ignore[operator]
            assert (value.n, value.level) == (40, 0.95)
            assert spread.sd is not None
            assert list(spread.quantiles) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
            assert value.value >= 0
    assert "gradient_misalignment_normalised.mean" not in summary.values


def test_figures_of_the_energy_grow_with_the_logits_and_normalised_ones_do_not() -> None:
    """Scaling the logits of a classifier whose E is nearly -max f scales E and all that is made of it."""
    once, thrice = (measured(Scaled(shipped("standard"), scale)) for scale in (30.0, 90.0))
    for name in ("gradient_l1", "gradient_l2", "lipschitz_logits", "ball_deviation", "lipschitz_energy"):
        raw, normalised = (
            [summary.values[f"{name}{kind}.mean"].value for summary in (once, thrice)] for kind in ("", "_normalised")
        )
        assert raw[1] / raw[0] == pytest.approx(3, rel=0.03), name
        assert normalised[1] == pytest.approx(normalised[0], rel=0.03), name


def test_normalised_means_are_over_the_spread_of_the_energy() -> None:
    summary = measured(shipped())
    spread = summary.values["marginal_energy.sd"].value
    assert spread
    for name, figure in FIGURES.items():
        if figure.power:
            raw, normalised = (summary.values[f"{name}{kind}.mean"].value for kind in ("", "_normalised"))
            assert normalised == pytest.approx(raw / spread**figure.power)


@pytest.mark.parametrize(
    "front",
    [lambda x: (x > 0.5).float(), lambda x: (x > 0.5).float() + 0 * x, lambda x: (x * 4).round() / 4],
    ids=["threshold without a path", "threshold", "rounding"],
)
def test_an_entrant_behind_a_threshold_or_rounding_is_flagged_and_not_scored(front) -> None:
    summary = measured(Behind(shipped(), front))
    (flag,) = summary.flags
    assert flag.code == "zero-gradients"
    assert "the gradient of E(x) is zero at 40 of 40 points" in flag.message
    means = {name: value for name, value in summary.values.items() if name.endswith(".mean")}
    assert {value.value for value in means.values()} == {None}
    assert {value.reason for value in means.values()} == {"the gradient is zero at 40 of 40 points"}
    assert summary.distributions == {}


def test_a_few_points_without_a_gradient_are_left_out_and_told_of() -> None:
    arrays = dict(Smoothness()(shipped(), EXAMPLES, THREAT).arrays)
    arrays["zero_gradient_energy"] = np.arange(40) < 2
    summary = Smoothness().summarise(arrays, ())
    assert summary.values["curvature_energy.mean"].n == summary.values["elle.mean"].n == 38
    assert summary.flags[0].message == "the gradient of E(x) is zero at 2 of 40 points"
    arrays["zero_gradient_energy"] = np.arange(40) < 3
    assert Smoothness().summarise(arrays, ()).values["elle.mean"].value is None


def test_a_loss_without_a_gradient_withholds_only_what_is_made_of_the_loss() -> None:
    arrays = dict(Smoothness()(shipped(), EXAMPLES, THREAT).arrays)
    arrays["zero_gradient_ce"] = np.ones(40, bool)
    summary = Smoothness().summarise(arrays, ())
    for name, figure in FIGURES.items():
        assert (summary.values[f"{name}.mean"].value is None) == (figure.of == "ce"), name
    assert "of the cross-entropy is zero at 40 of 40" in summary.flags[0].message


def test_an_energy_that_does_not_vary_normalises_nothing() -> None:
    arrays = dict(Smoothness()(shipped(), EXAMPLES, THREAT).arrays)
    arrays["marginal_energy"] = np.full(40, -3.0, np.float32)
    value = Smoothness().summarise(arrays, ()).values["elle_normalised.mean"]
    assert (value.value, value.reason) == (None, "E(x) does not vary")


@pytest.mark.parametrize("classes", [2, 1000])
@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 9, 7)])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_any_number_of_classes_and_any_image_is_measured(classes: int, shape: tuple[int, int, int], norm: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 16), nn.ELU(), nn.Linear(16, classes))
    examples = Examples(torch.rand(5, *shape), torch.arange(5) % classes)
    result = Smoothness()(model.requires_grad_(False), examples, ThreatModel(norm, 0.1))  # type: ignore[arg-type]
    assert all(np.isfinite(array).all() for array in result.arrays.values())
    assert all(len(array) == 5 for array in result.arrays.values())


def test_measuring_leaves_the_classifier_as_it_was() -> None:
    model = shipped().requires_grad_(True).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Smoothness()(model, Examples(EXAMPLES.x[:4], EXAMPLES.y[:4]), THREAT)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_cost_counts_every_pass() -> None:
    passes = {"forward": 0}
    model = shipped()

    class Counting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            passes["forward"] += len(x)
            return model(x)

    Smoothness()(Counting(), EXAMPLES, THREAT)
    assert passes["forward"] == 40 * Smoothness().cost(10).forward + 1  # and one image, to see what it keeps


def test_every_figure_and_series_that_is_measured_has_a_name_on_the_pages() -> None:
    from harness.attacks.named import ATTACKS
    from harness.measures import Energies

    measure = Energies(attacks={name: attack.shortened(10)[0] for name, attack in ATTACKS.items()})
    result = measure(shipped(), EXAMPLES, THREAT)
    for summary in (measured(shipped()), measure.summarise(result.arrays, result.notes)):
        names = (*summary.values, *summary.distributions)
        assert [name for name in names if label(name) == name] == []
    assert set(SMOOTHNESS) == set(FIGURES)
