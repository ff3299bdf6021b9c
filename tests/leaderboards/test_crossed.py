"""The interval of a mean over seeds and images, held against closed forms, a bootstrap, and what it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from leaderboards.board.crossed import crossed_mean


def test_of_equal_seeds_the_interval_is_the_normal_one_over_images() -> None:
    row = np.arange(50) < 30
    found = crossed_mean(np.stack([row, row, row]), 0.0, 1.0)
    half = stats.norm.ppf(0.975) * row.std(ddof=1) / math.sqrt(50)
    assert (found.mean, found.sd) == (0.6, 0.0)
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half))


def test_of_equal_images_the_interval_is_students_over_seeds() -> None:
    means = np.array([0.2, 0.5, 0.3])
    found = crossed_mean(np.repeat(means[:, None], 40, axis=1), -1.0, 1.0)
    expected = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
    assert found.sd == pytest.approx(means.std(ddof=1))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.seeds_low, found.seeds_high) == pytest.approx((expected.low, expected.high))


def test_mean_squares_of_a_table_of_two_by_two_by_hand() -> None:
    # means by seed 2 and 5, by image 2 and 5: no rest, MS of either 9, so the variance is (9 + 9 - 0) / 4
    found = crossed_mean(np.array([[0.5, 3.5], [3.5, 6.5]]), -1000.0, 1000.0)
    assert found.mean == 3.5
    half = stats.t.ppf(0.975, 18**2 / 9**2) * math.sqrt(18 / 4)
    assert (found.low, found.high) == pytest.approx((3.5 - half, 3.5 + half))


@pytest.mark.parametrize("value", [False, True])
def test_where_all_flags_are_alike_the_interval_is_that_of_what_was_never_seen(value: bool) -> None:
    found = crossed_mean(np.full((3, 100), value), 0.0, 1.0)
    exact = stats.binomtest(100 * value, 100).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_the_interval_is_never_shorter_than_over_the_images_alone() -> None:
    # every seed has half of the images, the seeds' means agree better than chance: their mean square is 0
    rng = np.random.default_rng(0)
    table = np.stack([rng.permutation(np.arange(200) < 100) for _ in range(3)])
    found = crossed_mean(table, 0.0, 1.0)
    half = stats.norm.ppf(0.975) * table.mean(0).std(ddof=1) / math.sqrt(200)
    assert found.sd == 0
    assert found.high - found.low >= 2 * half * (1 - 1e-12)


def test_an_interval_stays_inside_its_range() -> None:
    table = np.ones((3, 60))
    table[0, :20] = 0
    found = crossed_mean(table, 0.0, 1.0)
    assert found.high == found.seeds_high == 1
    assert 0 <= found.low < found.mean


@pytest.mark.parametrize("shape", [(1, 5), (3, 1), (4,)])
def test_one_seed_or_one_image_is_no_table(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 2 seeds and 2 images"):
        crossed_mean(np.zeros(shape), 0.0, 1.0)


def tables(rng: np.random.Generator, many: int, seeds: int, images: int, seed_sd: float) -> np.ndarray:
    """Flags (many, seeds, images) of probability 0.9: images differ in how hard they are, seeds by `seed_sd` (probit scale)."""
    hard = rng.normal(size=(many, 1, images)) * math.sqrt(0.8)
    rest = rng.normal(size=(many, seeds, images)) * math.sqrt(0.2)
    level = stats.norm.ppf(0.9) * math.sqrt(1 + seed_sd**2)
    return np.asarray(level + hard + rest + seed_sd * rng.normal(size=(many, seeds, 1)) > 0)


@pytest.mark.parametrize("seed_sd", [0.0, 0.05, 0.2])
def test_three_seeds_hold_what_they_promise_whether_seeds_or_images_vary_more(seed_sd: float) -> None:
    found = [crossed_mean(table, 0.0, 1.0) for table in tables(np.random.default_rng(1), 400, 3, 500, seed_sd)]
    covered = np.mean([one.low <= 0.9 <= one.high for one in found])
    assert covered > 0.9  # 0.95 within four of its standard errors


def test_of_many_seeds_the_variance_is_that_of_a_bootstrap_of_seeds_and_images() -> None:
    rng = np.random.default_rng(2)
    (table,) = tables(rng, 1, 40, 150, 0.3)
    weights = [rng.multinomial(n, np.full(n, 1 / n), size=4000) / n for n in table.shape]
    means = np.einsum("ds,si,di->d", weights[0], table.astype(float), weights[1], optimize=True)
    found = crossed_mean(table, 0.0, 1.0)
    assert (found.high - found.low) / 2 / 1.97 == pytest.approx(means.std(), rel=0.08)
