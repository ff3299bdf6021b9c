"""The phase detector on series whose change points are known."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import BadInput
from harness.training.phases import find_phases

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
