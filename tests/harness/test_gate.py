"""The statistics of a gate, against scipy's own tests, closed forms, and sums over every outcome of small samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from harness.check.statistics import (
    Outcome,
    difference_interval,
    examples_needed,
    holm,
    interval,
    judge,
    judge_change,
    paired_change,
    significance,
    unpaired_change,
    upper_bound,
)
from leaderboards.records.schema import Value


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (5, 0), (0, 5), (12, 3), (30, 30), (1, 9)])
def test_the_p_of_a_drop_is_the_exact_binomial_tests(lost: int, gained: int) -> None:
    expected = 1.0
    if lost + gained:
        expected = stats.binomtest(lost, lost + gained, 0.5, alternative="greater").pvalue
    assert float(significance(lost, gained)) == pytest.approx(expected, rel=1e-12)
    if lost > gained:  # statsmodels' exact McNemar has two sides
        assert 2 * float(significance(lost, gained)) == pytest.approx(mcnemar([[0, lost], [gained, 0]]).pvalue)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("n", [10, 40])
def test_the_bound_is_exceeded_with_probability_alpha_at_most(n: int, alpha: float) -> None:
    """Summed over every table of n pairs, for a grid of true rates: no simulation."""
    lost, gained = (grid.ravel() for grid in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    lost, gained = (counts[lost + gained <= n] for counts in (lost, gained))
    bound = upper_bound(lost, gained, n, alpha)
    for p_lost in np.linspace(0.0, 0.6, 13):
        for p_gained in np.linspace(0.0, 0.4, 9):
            rates = [p_lost, p_gained, max(1 - p_lost - p_gained, 0.0)]
            chance = stats.multinomial.pmf(np.stack([lost, gained, n - lost - gained], 1), n, rates)
            assert chance[bound < p_lost - p_gained - 1e-12].sum() <= alpha + 1e-9, (p_lost, p_gained)


def test_the_bound_without_discordant_pairs_is_clopper_pearsons() -> None:
    assert float(upper_bound(0, 0, 200, 0.05)) == pytest.approx(1 - 0.025 ** (1 / 200), rel=1e-9)


def test_the_three_outcomes() -> None:
    assert judge(40, 5, 1000, 0.01, 0.05) == "fail"
    assert judge(40, 5, 1000, 0.04, 0.05) != "fail"  # a drop of 3.5 points is significant and within the margin
    assert judge(0, 0, 1000, 0.01, 0.05) == "pass"
    assert judge(0, 0, 100, 0.01, 0.05) == "undecided"
    assert judge(50, 50, 1000, 0.03, 0.05) == "pass"
    assert judge(np.array([40, 0]), np.array([5, 0]), np.array([1000, 1000]), 0.01, 0.05).tolist() == ["fail", "pass"]


@pytest.mark.parametrize(("p_lost", "p_gained"), [(0.05, 0.05), (0.08, 0.03), (0.25, 0.15)])
def test_the_interval_covers_as_often_as_it_says(p_lost: float, p_gained: float) -> None:
    n = 300
    counts = np.random.default_rng(1).multinomial(n, [p_lost, p_gained, 1 - p_lost - p_gained], size=2000)
    tables, often = np.unique(counts[:, :2], axis=0, return_counts=True)
    ends = np.array([interval(int(lost), int(gained), n, resamples=600) for lost, gained in tables])
    covered = (ends[:, 0] <= p_lost - p_gained) & (p_lost - p_gained <= ends[:, 1])
    assert often[covered].sum() / 2000 == pytest.approx(0.95, abs=0.02)


def test_an_interval_has_width_where_resampling_has_none() -> None:
    low, high = interval(0, 0, 100)
    assert -low == high == pytest.approx(1 - 0.0125 ** (1 / 100))
    assert interval(10, 0, 10) == (pytest.approx(2 * 0.025**0.1 - 1), 1.0)
    assert interval(0, 10, 10) == (-1.0, pytest.approx(1 - 2 * 0.025**0.1))


@pytest.mark.parametrize(
    ("p_lost", "p_gained"), [(0.005, 0.005), (0.015, 0.005), (0.03, 0.03), (0.07, 0.01), (0.3, 0.1)]
)
def test_the_interval_of_a_difference_covers_also_where_few_pairs_are_discordant(
    p_lost: float, p_gained: float
) -> None:
    """Summed over the tables of 200 pairs: no simulation."""
    n = 200
    counts = np.arange(int(n * p_lost + 60))
    lost, gained = (grid.ravel() for grid in np.meshgrid(counts, counts))
    lost, gained = (one[lost + gained <= n] for one in (lost, gained))
    chance = stats.multinomial.pmf(
        np.stack([lost, gained, n - lost - gained], 1), n, [p_lost, p_gained, 1 - p_lost - p_gained]
    )
    likely = chance > 1e-6
    ends = np.array([difference_interval(int(a), int(b), n) for a, b in zip(lost[likely], gained[likely], strict=True)])
    covered = (ends[:, 0] <= p_gained - p_lost) & (p_gained - p_lost <= ends[:, 1])
    assert chance[likely][covered].sum() >= 0.94


def test_as_many_examples_as_are_needed_decide() -> None:
    needed = examples_needed(0, 0, 100, 0.01, 0.05)
    assert needed == pytest.approx(np.log(0.025) / np.log(0.99), rel=0.01)
    for lost, gained in ((4, 1), (5, 0), (6, 6)):
        many = examples_needed(lost, gained, 100, 0.02, 0.05)
        assert many is not None
        rates = round(lost / 100 * many), round(gained / 100 * many)
        assert judge(*rates, many, 0.02, 0.05) != "undecided"
    assert examples_needed(4, 2, 100, 0.02, 0.05) is None  # the drop is the margin: no number decides


def test_paired_values_are_compared_by_students_t() -> None:
    random = np.random.default_rng(0)
    was = random.normal(0, 1, 400).astype(np.float32)
    now = (was + random.normal(-0.1, 0.3, 400)).astype(np.float32)
    change = paired_change(was, now, "lower", 0.05, 0.05)
    test = stats.ttest_rel(was.astype(float), now.astype(float), alternative="greater")
    assert change.p == pytest.approx(test.pvalue)
    assert change.worsening == pytest.approx(float(was.astype(float).mean() - now.astype(float).mean()))
    assert judge_change(change, change.p, "lower", 0.05, 0.05) is Outcome.FAIL
    assert judge_change(change, change.p, "lower", 0.2, 0.05) is Outcome.UNDECIDED or change.excluded
    better = paired_change(was, now, "higher", 0.05, 0.05)
    assert (better.worsening, better.excluded) == (-change.worsening, True)
    either = paired_change(was, now, "either", 0.01, 0.05)
    assert either.p == pytest.approx(stats.ttest_rel(was.astype(float), now.astype(float)).pvalue)
    assert judge_change(either, either.p, "either", 0.01, 0.05) is Outcome.FAIL


def test_equal_values_pass_and_a_constant_shift_fails() -> None:
    was = np.linspace(-1, 1, 50)
    same = paired_change(was, was, "lower", 0.01, 0.05)
    assert (same.p, same.excluded) == (1.0, True)
    ones = np.ones(50)
    shifted = paired_change(ones, ones - 0.5, "lower", 0.01, 0.05)
    assert judge_change(shifted, shifted.p, "lower", 0.01, 0.05) is Outcome.FAIL


def test_values_with_intervals_are_compared_by_z() -> None:
    was = Value(value=20.0, low=20 - 1.959964, high=20 + 1.959964, level=0.95, method="bootstrap", n=1000)
    now = Value(value=23.0, low=23 - 1.959964, high=23 + 1.959964, level=0.95, method="bootstrap", n=1000)
    change = unpaired_change(was, now, "higher", 1.0, 0.05)
    assert change.p == pytest.approx(stats.norm.sf(3 / np.sqrt(2)), rel=1e-5)
    assert judge_change(change, change.p, "higher", 1.0, 0.05) is Outcome.FAIL
    assert unpaired_change(was, now, "lower", 1.0, 0.05).excluded
    assert not unpaired_change(was, now, "higher", 5.0, 0.05).excluded  # 2 below the margin, with an error of 1.41
    assert unpaired_change(was, now, "higher", 6.0, 0.05).excluded
    assert not unpaired_change(was, now, "either", 1.0, 0.05).excluded


@pytest.mark.parametrize(("now", "outcome"), [(22.0, Outcome.PASS), (22.1, Outcome.FAIL)])
def test_values_without_an_interval_are_compared_as_numbers(now: float, outcome: Outcome) -> None:
    change = unpaired_change(Value(value=20.0, n=10), Value(value=now, n=10), "higher", 2.0, 0.05)
    assert change.p is None
    assert judge_change(change, None, "higher", 2.0, 0.05) is outcome


def test_holms_correction_is_the_published_one() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
