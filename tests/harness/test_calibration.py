"""The calibrated scale of logits, and that the figures at it are those of an entrant whatever its logits are multiplied by."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.attacks.named import ATTACKS
from harness.data.datasets import digits
from harness.data.images import CALIBRATION, Examples
from harness.measures import Energies, Measure, Smoothness, Summary
from harness.measures.calibration import CALIBRATED, SCALE, Calibration, Scaled, calibrated, fit
from harness.measures.smoothness import FIGURES
from harness.suites.suite import SUITES
from harness.threat import ThreatModel
from zoo.own_entrants import own_entrants

THREAT = ThreatModel("Linf", 0.1)
IMAGES = digits("test")
SHORT = Energies(attacks={name: attack.shortened(10)[0] for name, attack in ATTACKS.items()})


def shipped(name: str) -> nn.Module:
    return next(e for e in own_entrants(SUITES["digits"].domain) if e.card.name == name).load().eval()


def measured(measure: Measure, model: nn.Module, n: int = 24) -> Summary:
    result = measure(model, measure.examples(IMAGES, 0, n), THREAT)
    return measure.summarise(result.arrays, result.notes)


def sample(n: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels drawn with the chances that `scale` times these logits give."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n, 5, generator=generator)
    return logits, torch.multinomial((scale * logits).softmax(1), 1, generator=generator).squeeze(1)


def test_the_scale_is_the_one_that_the_labels_were_drawn_with() -> None:
    value = fit(*sample(20_000, 2.5)).value()
    assert value.low < 2.5 < value.high  # type: ignore[operator]
    assert value.value == pytest.approx(2.5, rel=0.05)
    assert (value.level, value.method, value.n) == (0.95, "sandwich", 20_000)


def test_the_scale_minimises_the_negative_log_likelihood() -> None:
    logits, y = sample(300, 1.5)
    found = fit(logits, y).scale
    at = torch.linspace(0.5 * found, 2 * found, 3001, dtype=torch.float64)
    losses = torch.stack([F.cross_entropy(c * logits.double(), y) for c in at])
    assert at[losses.argmin()].item() == pytest.approx(found, rel=2e-3)


def test_the_interval_holds_the_scale_about_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(1)
    held = 0
    for _ in range(300):
        logits = torch.randn(200, 4, generator=generator)
        y = torch.multinomial((2 * logits).softmax(1), 1, generator=generator).squeeze(1)
        value = fit(logits, y).value()
        held += value.low <= 2 <= value.high  # type: ignore[operator]
    assert 0.91 <= held / 300 <= 0.98


@pytest.mark.parametrize("factor", [0.25, 4.0, 1e6, 1e-6])
def test_the_scale_of_multiplied_logits_is_divided(factor: float) -> None:
    logits, y = sample(300, 1.5)
    first = fit(logits, y)
    again = fit(factor * logits, y)
    assert again.scale * factor == pytest.approx(first.scale, rel=1e-5)
    assert again.error == pytest.approx(first.error, rel=1e-4)
    assert fit(logits + torch.randn(300, 1), y).scale == pytest.approx(first.scale, rel=1e-4)


def test_labels_that_give_no_scale_are_told_of_and_the_scale_still_divides() -> None:
    logits, _ = sample(50, 1.0)
    for y in (logits.argmax(1), logits.argmin(1)):
        first, again = fit(logits, y), fit(8 * logits, y)
        assert math.isfinite(first.scale)
        assert first.scale == pytest.approx(8 * again.scale, rel=1e-6)
        assert first.value().low is None
        assert "no maximum" in first.value().reason
    flat = fit(torch.zeros(50, 5), logits.argmax(1))
    assert (flat.scale, flat.error) == (1.0, 0.0)


def test_every_second_image_of_the_suite_is_held_out_the_same_for_every_shard() -> None:
    assert (CALIBRATION.every, CALIBRATION.most) == (2, 5_000)
    held_out = IMAGES.calibration
    assert torch.equal(held_out.images, IMAGES.images[::2])
    assert torch.equal(held_out.labels, IMAGES.labels[::2])
    assert held_out.fingerprint != IMAGES.fingerprint
    model = shipped("trades")
    scales = set()
    for start in (0, 40):
        examples = SHORT.examples(IMAGES, start, start + 40)
        scales.add(calibrated(model, examples, model(examples.x)).scale)
    with torch.no_grad():
        scales.add(fit(model(IMAGES.examples(0, len(IMAGES)).x[::2]), IMAGES.labels[::2]).scale)
    assert max(scales) == pytest.approx(min(scales), rel=1e-5)


def test_the_key_of_a_shard_holds_the_images_that_the_scale_is_fitted_on() -> None:
    labels = IMAGES.labels.clone()
    labels[300] = (labels[300] + 1) % 10  # beyond the shard, and held out
    other = replace(IMAGES, labels=labels, digest="")
    for measure in (SHORT, Smoothness()):
        assert measure.content(IMAGES, 0, 40) != measure.content(other, 0, 40)
        assert "calibration" in measure.settings()
    assert IMAGES.content(0, 40) == other.content(0, 40)


@pytest.mark.parametrize("name", ["standard", "trades"])
@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_figures_of_smoothness_at_the_calibrated_scale_are_those_of_multiplied_logits(name: str, factor: float) -> None:
    first, again = (measured(Smoothness(), Scaled(shipped(name), by)) for by in (1.0, factor))
    for figure in FIGURES:
        key = f"{figure}{CALIBRATED}.mean"
        assert again.values[key].value == pytest.approx(first.values[key].value, rel=0.01), key
    assert again.values[SCALE].value == pytest.approx(first.values[SCALE].value / factor, rel=1e-5)  # type: ignore[operator]
    raw = [found.values["gradient_l1.mean"].value for found in (first, again)]
    assert raw[1] != pytest.approx(raw[0], rel=0.5)  # the entrant's own stays in the record


@pytest.mark.parametrize("factor", [0.25, 4.0, 100.0])
def test_changes_of_energies_at_the_calibrated_scale_are_those_of_multiplied_logits(factor: float) -> None:
    first, again = (measured(SHORT, Scaled(shipped("mart"), by)) for by in (1.0, factor))
    keys = [key for key in first.values if key.endswith(f"{CALIBRATED}.mean")]
    assert len(keys) == 2 * len(ATTACKS)
    for key in keys:
        assert again.values[key].value == pytest.approx(first.values[key].value, rel=0.01, abs=1e-6), key
    for name in ATTACKS:
        assert again.values[f"{name}.accuracy"] == first.values[f"{name}.accuracy"]
    # the entrant's own energies stay in the record
    joint = "pgd.delta_joint_energy.mean"
    assert again.values[joint].value == pytest.approx(factor * first.values[joint].value, rel=0.01)  # type: ignore[operator]


def test_the_figures_are_those_of_the_multiplied_entrant_itself() -> None:
    """An entrant that is multiplied by its scale has raw figures that are its calibrated ones."""
    model = shipped("trades")
    found = measured(Smoothness(), model)
    by_hand = measured(Smoothness(), Scaled(model, float(found.values[SCALE])))
    for figure in FIGURES:
        raw, at_scale = by_hand.values[f"{figure}.mean"].value, found.values[f"{figure}{CALIBRATED}.mean"].value
        assert raw == pytest.approx(at_scale, rel=0.01), figure


def test_where_the_attack_is_blind_the_range_on_its_path_is_not_given() -> None:
    class Hidden(nn.Module):
        """The energy has a slope, the chances of the classes have none."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hard = 4 * (x > 0.5).float().flatten(1)[:, 20:30]
            return hard + x.flatten(1).sum(1, keepdim=True)

    arrays = Smoothness()(Hidden(), Examples(IMAGES.examples(0, 24).x, IMAGES.labels[:24]), THREAT).arrays
    # rounding leaves crumbs of a gradient that is zero by the formula
    arrays = {k: (np.ones(24, bool) if k.startswith("zero_gradient_ce") else a) for k, a in arrays.items()}
    values = Smoothness().summarise(arrays, ()).values
    for end in ("", "_normalised", CALIBRATED):
        assert values[f"path_range{end}.mean"].value is None
        assert "gradient is zero at 24 of 24" in values[f"path_range{end}.mean"].reason
        assert values[f"gradient_l1{end}.mean"].value is not None


def test_confident_logits_have_the_range_of_other_ones_or_none() -> None:
    """The attack on logits times 100 stood still: the range on its path was a fifth of the true one."""
    first, again = (measured(Smoothness(), Scaled(shipped("standard"), by)) for by in (1.0, 100.0))
    value = again.values["path_range_normalised.mean"].value
    assert value is None or value == pytest.approx(first.values["path_range_normalised.mean"].value, rel=0.25)
    key = f"path_range{CALIBRATED}.mean"
    assert again.values[key].value == pytest.approx(first.values[key].value, rel=0.01)


def test_a_calibration_is_kept_as_an_array() -> None:
    made = Calibration(0.5, 0.125, 7)
    assert Calibration.of({"calibration": made.array(3)}) == made
    assert made.array(3).shape == (3, 3)
