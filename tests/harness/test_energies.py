"""The measure `energies`: its identities on a trained and on random classifiers, its bounds, and what it does not trust."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.attacks.attack import Attack
from harness.attacks.named import ATTACKS, MAIN, prefix
from harness.attacks.pgd import PGD
from harness.data.datasets import digits
from harness.data.images import Examples
from harness.measures import Energies, ShardResult, Summary
from harness.measures.distributions import DELTA_EDGES, ENERGY_EDGES, Bins, distribution
from harness.measures.energies import accuracy_value, correct_array
from harness.suites.suite import SUITES
from harness.threat import Norm, ThreatModel
from zoo.own_entrants import own_entrants

THREAT = ThreatModel("Linf", 0.05)
SHORT = Energies(attacks={name: attack.shortened(10)[0] for name, attack in ATTACKS.items()})


class Random(nn.Module):
    """A smooth random network for images of any size."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        torch.manual_seed(classes)
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 16), nn.ELU(), nn.Linear(16, classes))
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def measured(measure: Energies, model: nn.Module, examples: Examples) -> tuple[ShardResult, Summary]:
    result = measure(model, examples, THREAT)
    return result, measure.summarise(result.arrays, result.notes)


def trained() -> tuple[nn.Module, Examples]:
    entrant = next(e for e in own_entrants(SUITES["digits"].domain) if e.card.name == "standard")
    return entrant.load(), digits("test").examples(0, 40)


@pytest.mark.parametrize("which", ["trained", "random"])
def test_the_identities_hold_for_what_is_kept(which: str) -> None:
    shape = (3, 5, 7)
    model, examples = (
        trained()
        if which == "trained"
        else (Random(shape, 10), Examples(torch.rand(40, *shape), torch.arange(40) % 10))
    )
    kept: dict[str, torch.Tensor] = {}

    @dataclass(frozen=True)
    class Keeping(Attack):
        """An attack whose images are kept for the test."""

        name: str
        attack: Attack

        def passes(self, classes: int) -> tuple[int, int]:
            return self.attack.passes(classes)

        def obstacle(self, classes: int, norm: Norm, side: int) -> str:
            return self.attack.obstacle(classes, norm, side)

        def perturb(self, model, x, y, threat, generator) -> torch.Tensor:
            kept[self.name] = self.attack.perturb(model, x, y, threat, generator)
            return kept[self.name]

    measure = replace(SHORT, attacks={name: Keeping(name, attack) for name, attack in SHORT.attacks.items()})
    arrays = measure(model, examples, THREAT).arrays
    logits = model(examples.x)
    ce = F.cross_entropy(logits, examples.y, reduction="none")
    close = {"rtol": 1e-4, "atol": 2e-5}
    energy, joint = (torch.from_numpy(arrays[name]) for name in ("marginal_energy", "joint_energy"))
    torch.testing.assert_close(joint - energy, ce, **close)
    lowest = -logits.amax(1)
    assert (energy <= lowest + 1e-5).all()
    assert (energy >= lowest - math.log(10) - 1e-5).all()
    assert set(kept) == set(ATTACKS)
    for name, x_adv in kept.items():
        start = prefix(name)
        adverse = {
            key: torch.from_numpy(arrays[f"{start}{key}"]) for key in ("marginal_energy_adv", "joint_energy_adv")
        }
        logits_adv = model(x_adv)
        delta, delta_joint = energy - adverse["marginal_energy_adv"], joint - adverse["joint_energy_adv"]
        torch.testing.assert_close(
            F.cross_entropy(logits_adv, examples.y, reduction="none") - ce, delta - delta_joint, **close
        )
        p, q = logits.log_softmax(1), logits_adv.log_softmax(1)
        conditional = torch.from_numpy(arrays[f"{start}kl_conditional"])
        torch.testing.assert_close(conditional + delta, (p.exp() * (p - q)).sum(1), **close)
        assert arrays[correct_array(name)].tolist() == (logits_adv.argmax(1) == examples.y).tolist()


def test_a_linear_energy_moves_by_no_more_than_the_dual_norm_allows() -> None:
    """With equal rows E(x) = -w.x - log K, so |dE(x)| <= eps ||w||_1, and PGD on a two-class margin reaches a like bound."""
    torch.manual_seed(0)
    w = torch.randn(12)
    x = 0.4 + 0.2 * torch.rand(20, 3, 2, 2)
    examples = Examples(x, torch.zeros(20, dtype=torch.int64))
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False)).requires_grad_(False)
    model[1].weight.copy_(torch.stack([w, w]))
    arrays = SHORT(model, examples, THREAT).arrays
    bound = 0.05 * w.abs().sum().item()
    for name in ATTACKS:
        if f"{prefix(name)}marginal_energy_adv" in arrays:
            delta = arrays["marginal_energy"] - arrays[f"{prefix(name)}marginal_energy_adv"]
            assert np.abs(delta).max() <= bound + 1e-5, name
    model[1].weight.copy_(torch.stack([w, -w]))
    arrays = Energies(attacks={MAIN: PGD()})(model, examples, THREAT).arrays
    # E(x,0) = -w.x rises by all that it can
    np.testing.assert_allclose(arrays["joint_energy"] - arrays["pgd.joint_energy_adv"], -bound, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 4, 1000])
@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 9, 7)])
def test_any_number_of_classes_and_any_image_is_measured(classes: int, shape: tuple[int, int, int]) -> None:
    examples = Examples(torch.rand(6, *shape), torch.arange(6) % classes, start=12)
    result, summary = measured(SHORT, Random(shape, classes), examples)
    left_out = {2: {"apgd-dlr", "apgd-t"}, 3: {"apgd-t"}}.get(classes, set())
    assert {note.message.split()[0] for note in result.notes if note.code == "attacks-left-out"} == left_out
    assert {name for name in ATTACKS if accuracy_value(name) not in summary.values} == left_out
    assert all(value.value is not None for value in summary.values.values())
    assert sum(flag.code == "attacks-left-out" for flag in summary.flags) == len(left_out)


class Cheat(PGD):
    def perturb(self, model, x, y, threat, generator) -> torch.Tensor:
        return (x + 2 * threat.eps).clamp(0, 1)


def test_an_image_that_breaks_the_rules_is_counted_and_the_natural_one_stands_in() -> None:
    model, examples = trained()
    result, summary = measured(Energies(attacks={MAIN: PGD(steps=1), "cheat": Cheat()}), model, examples)
    assert [(note.code, note.count) for note in result.notes] == [("rejected", 40)]
    assert "40 images of cheat break the threat model" in summary.flags[0].message
    assert (result.arrays["cheat.marginal_energy_adv"] == result.arrays["marginal_energy"]).all()
    assert (result.arrays["cheat.correct"] == result.arrays["natural_correct"]).all()


@pytest.mark.parametrize("path", [0.0, None], ids=["zero gradient", "no gradient at all"])
def test_an_entrant_that_hides_its_gradient_is_flagged_and_not_called_smooth(path: float | None) -> None:
    class Thresholded(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hard = (x > 0.5).float()
            return (hard if path is None else hard + path * x).flatten(1)[:, 20:30]

    _, examples = trained()
    _, summary = measured(SHORT, Thresholded(), examples)
    assert "zero-gradients" in {flag.code for flag in summary.flags}
    for name, attack in ATTACKS.items():
        value = summary.values[f"{prefix(name)}delta_marginal_energy_normalised.mean"]
        assert (value.value is None) == attack.by_gradient, name
        assert not attack.by_gradient or value.reason == "the gradient is zero at 40 of 40 points"


def test_values_and_distributions_say_the_same() -> None:
    model, examples = trained()
    result, summary = measured(SHORT, model, examples)
    spread = result.arrays["marginal_energy"].astype(np.float64).std(ddof=1)
    assert summary.values["marginal_energy.sd"].value == pytest.approx(spread)
    for name in ATTACKS:
        start = prefix(name)
        delta = result.arrays["marginal_energy"].astype(float) - result.arrays[f"{start}marginal_energy_adv"]
        normalised = summary.distributions[f"{start}delta_marginal_energy_normalised"]
        assert normalised.mean == summary.values[f"{start}delta_marginal_energy_normalised.mean"]
        assert normalised.mean.value == pytest.approx(np.abs(delta).mean() / spread)
        assert normalised.quantiles["0.75"] == pytest.approx(np.quantile(np.abs(delta), 0.75) / spread)
        raw = summary.distributions[f"{start}delta_marginal_energy"]
        assert raw.sd == pytest.approx(delta.std(ddof=1))
        assert raw.histogram is not None
        assert sum(raw.histogram.counts) + raw.histogram.below + raw.histogram.above == 40
        kl = summary.values[f"{start}kl_conditional.mean"].value + summary.values[f"{start}kl_marginal.mean"].value
        assert kl >= -1e-5
    for name in (
        "pgd.accuracy",
        "pgd.marginal_energy_adv.mean",
        "pgd.joint_energy_adv.sd",
        "pgd.delta_joint_energy.mean",
    ):
        assert summary.values[name].value is not None


def test_a_shard_is_drawn_for_by_its_place_alone() -> None:
    model, examples = trained()
    first, again = (SHORT(model, examples, THREAT).arrays for _ in range(2))
    moved = SHORT(model, replace(examples, start=40), THREAT).arrays
    alone = replace(SHORT, attacks={"square": SHORT.attacks["square"]})(model, examples, THREAT).arrays
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["pgd.marginal_energy_adv"] != moved["pgd.marginal_energy_adv"]).any()
    assert (alone["square.marginal_energy_adv"] == first["square.marginal_energy_adv"]).all()


def test_histograms_have_the_same_bins_for_everybody_once_divided_by_the_unit() -> None:
    values = np.array([-100.0, -1.0, 0.0, 0.01, 0.3, 400.0])
    found = distribution(values, Bins(DELTA_EDGES, 0.0, 2.0)).histogram
    assert found is not None
    np.testing.assert_allclose(np.array(found.edges) / found.unit, DELTA_EDGES)
    assert (found.below, found.above, sum(found.counts)) == (1, 1, 4)
    assert np.allclose(-np.array(DELTA_EDGES[::-1]), DELTA_EDGES)
    assert (np.diff(ENERGY_EDGES) == 0.5).all()
    for unusable in (Bins(DELTA_EDGES, 0.0, 0.0), Bins(DELTA_EDGES, 0.0, math.nan), Bins(DELTA_EDGES, 1e30, 1e-30)):
        assert distribution(values, unusable).histogram is None


def test_values_that_are_not_finite_have_no_distribution() -> None:
    found = distribution(np.array([1.0, math.inf]))
    assert (found.mean.value, found.sd, found.quantiles) == (None, None, {})
    assert "1 of 2 values are not finite" in found.mean.reason


def test_the_cost_counts_every_pass() -> None:
    model, examples = trained()
    passes = {"forward": 0, "backward": 0}

    class Counting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            passes["forward"] += len(x)
            if x.requires_grad:
                x.register_hook(lambda gradient: passes.update(backward=passes["backward"] + len(gradient)))
            return model(x)

    SHORT(Counting(), examples, ThreatModel("Linf", 1e-6))
    cost = SHORT.cost(10)
    extra = 1  # of one image, to see what it keeps
    assert passes["forward"] <= 40 * cost.forward + extra
    assert passes["forward"] > 0.8 * 40 * cost.forward
    assert 0.8 * 40 * cost.backward < passes["backward"] <= 40 * cost.backward
