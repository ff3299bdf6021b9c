"""The phase detector on series whose change points are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.errors import BadInput
from harness.training.dynamics import phases_of, robust_overfitting
from harness.training.own_objective import find_objective
from harness.training.phases import find_phases
from zoo.checkpoints import SHIPPED

EPOCHS = np.arange(1, 101)
PUBLISHED = np.interp(EPOCHS, [1, 10, 45, 78, 100], [-0.02, -0.165, -0.165, -0.26, -0.74])
"""The published course of dE(train) of SAT on CIFAR-10: change points near 10, 45 and 78."""


@pytest.mark.parametrize("seed", range(10))
def test_the_published_change_points_are_found_in_noise(seed: int) -> None:
    noisy = PUBLISHED + 0.005 * np.random.default_rng(seed).standard_normal(100)
    found = find_phases(noisy)
    assert found.change_points == pytest.approx((10, 45, 78), abs=3)
    assert found.overfitting == pytest.approx(78, abs=3)
    assert found.phases[1].slope == pytest.approx(0, abs=0.001)
    assert found.phases[-1].slope == pytest.approx(-0.48 / 22, rel=0.1)


def test_a_series_without_noise_gives_its_change_points_exactly() -> None:
    assert find_phases(PUBLISHED).change_points == (10, 45, 78)


def test_flat_series_have_no_change_point_in_95_of_100() -> None:
    generator = np.random.default_rng(1)
    alarms = sum(bool(find_phases(-0.05 + 0.01 * generator.standard_normal(100)).change_points) for _ in range(200))
    assert alarms <= 10


@pytest.mark.parametrize("series", [np.full(50, -0.1), np.linspace(0, -1, 50)], ids=["constant", "a line"])
def test_a_constant_and_a_line_have_none(series: np.ndarray) -> None:
    found = find_phases(series)
    assert found.change_points == ()
    assert found.overfitting is None


def test_a_series_that_recovers_is_no_overfitting() -> None:
    rising = np.interp(EPOCHS, [1, 40, 100], [-0.5, -0.1, -0.1]) + 0.002 * np.random.default_rng(0).standard_normal(100)
    found = find_phases(rising)
    assert found.change_points == pytest.approx((40,), abs=3)
    assert found.overfitting is None


def test_the_scale_and_the_level_of_a_series_do_not_matter() -> None:
    noisy = PUBLISHED + 0.005 * np.random.default_rng(3).standard_normal(100)
    assert find_phases(1000 * noisy + 7).change_points == find_phases(noisy).change_points


@pytest.mark.parametrize("series", [[0.0] * 9, [float("nan")] * 20, [[0.0] * 20]])
def test_a_series_that_says_nothing_is_refused(series: list) -> None:
    with pytest.raises(BadInput, match="at least 10 finite values"):
        find_phases(series)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.33])
def test_a_flat_series_whose_early_epochs_are_five_times_as_noisy_has_no_change_point(share: float) -> None:
    generator, alarms = np.random.default_rng(2), 0
    for _ in range(150):
        series = 0.01 * generator.standard_normal(60)
        series[: round(60 * share)] *= 5
        alarms += bool(find_phases(series, draws=199).change_points)
    assert alarms <= 7  # 1 % are asked for; noise of one size in all epochs gives 9 to 32 %


def test_of_training_without_an_attack_no_robust_overfitting_is_reported() -> None:
    lines = (SHIPPED / "digits" / "standard.dynamics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert robust_overfitting(rows, phases_of(rows), attacked=False) is None


@pytest.mark.parametrize("path", sorted((SHIPPED / "digits").glob("*.json")), ids=lambda path: path.stem)
def test_the_card_of_a_shipped_entrant_says_what_is_found_in_its_dynamics(path: Path) -> None:
    training = json.loads(path.read_text())["training"]
    rows = [json.loads(line) for line in path.with_suffix(".dynamics.jsonl").read_text().splitlines()]
    found = phases_of(rows)
    assert found is not None
    told = training["dynamics"]["phases"]
    assert [(phase["first"], phase["last"]) for phase in told] == [(phase.first, phase.last) for phase in found.phases]
    attacked = find_objective(training["recipe"]["objective"], {}).attack is not None
    assert training["dynamics"]["overfitting_epoch"] == robust_overfitting(rows, found, attacked=attacked)
