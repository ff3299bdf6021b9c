"""The tests behind the verdicts, against scipy, statsmodels and closed forms; and the rule by which verdicts follow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from leaderboards.findings.statement import ALPHA, Part, Statement, Verdict, concluded, holm, judged, overall, why
from leaderboards.findings.statistics import Outcome, merged, rank_correlation, rank_sum_test, sign_test
from leaderboards.findings.training import three_phases


def outcome(above: float, below: float, effect: float = 0.6) -> Outcome:
    return Outcome(effect, 0.5, 0.7, above, below, 10)


@pytest.mark.parametrize(("up", "down", "still"), [(14, 5, 3), (0, 9, 0), (9, 0, 1), (1, 0, 0), (60, 40, 0)])
def test_the_sign_test_is_the_exact_binomial_one_on_shifts_that_are_not_zero(up: int, down: int, still: int) -> None:
    found = sign_test(np.concatenate([np.full(up, 0.3), np.full(down, -2.0), np.zeros(still)]))
    assert found is not None
    expected = stats.binomtest(up, up + down)
    assert found.effect == up / (up + down)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12)
    assert (found.low, found.high) == pytest.approx(proportion_confint(up, up + down, method="beta"), abs=1e-12)
    assert found.above == pytest.approx(stats.binomtest(up, up + down, alternative="greater").pvalue)
    assert found.n == up + down


def test_no_shift_at_all_is_no_test() -> None:
    assert sign_test(np.zeros(5)) is None


def test_the_rank_sum_test_counts_the_pairs_in_which_the_first_is_above() -> None:
    random = np.random.default_rng(7)
    first, second = random.normal(0.7, 1, 12).round(1), random.normal(0, 1, 30).round(1)
    found = rank_sum_test(first, second)
    assert found is not None
    pairs = (first[:, None] > second) + 0.5 * (first[:, None] == second)
    assert found.effect == pytest.approx(pairs.mean())
    assert found.p == pytest.approx(stats.mannwhitneyu(first, second, alternative="two-sided").pvalue)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.effect < found.high


def test_the_interval_of_the_rank_sum_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    truth = stats.norm.cdf(0.8 / np.sqrt(2))
    covered = 0
    for _ in range(200):
        found = rank_sum_test(random.normal(0.8, 1, 40), random.normal(0, 1, 60))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_groups_that_lie_wholly_apart_have_no_interval_for_a_few_images_prove_no_certainty() -> None:
    found = rank_sum_test(np.arange(5.0), np.arange(5.0) + 9)
    assert found is not None
    assert (found.effect, found.low, found.high) == (0.0, None, None)
    assert found.p == pytest.approx(2 / 252)  # one order in 10 over 5, on either side


def test_an_empty_group_is_no_test() -> None:
    assert rank_sum_test(np.array([]), np.ones(3)) is None


@pytest.mark.parametrize("n", [5, 7])
def test_a_perfect_order_of_few_recipes_has_the_p_value_of_one_order_in_all(n: int) -> None:
    found = rank_correlation(list(range(n)), [-(float(i) ** 3) for i in range(n)])
    assert found is not None
    orders = {5: 120, 7: 5040}[n]
    assert found.effect == pytest.approx(-1)
    assert found.p == pytest.approx(2 / orders)
    assert found.low is found.high is None


def test_the_exact_rank_correlation_is_that_of_scipy_also_with_ties() -> None:
    x, y = [1.0, 2.0, 2.0, 5.0, 4.0, 7.0], [0.1, 0.4, 0.3, 0.3, 0.9, 0.8]
    found = rank_correlation(x, y)
    assert found is not None
    assert found.effect == pytest.approx(stats.spearmanr(x, y).statistic)
    ranks = stats.rankdata(y)
    every = stats.permutation_test(
        (stats.rankdata(x),),
        lambda a: float(np.corrcoef(a, ranks)[0, 1]),
        permutation_type="pairings",
        n_resamples=720,
        alternative="greater",
    )
    assert found.above == pytest.approx(every.pvalue)


def test_of_many_recipes_the_p_value_is_near_that_of_the_t_distribution() -> None:
    random = np.random.default_rng(7)
    x = random.normal(size=30)
    y = x + random.normal(0, 4, 30)
    found = rank_correlation(x.tolist(), y.tolist())
    assert found is not None
    assert found.p == pytest.approx(stats.spearmanr(x, y).pvalue, rel=0.15)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.effect < found.high


@pytest.mark.parametrize("level", [[1.0, 1.0, 1.0, 1.0], [1.0, 2.0]])
def test_level_or_too_few_numbers_have_no_rank_correlation(level: list[float]) -> None:
    assert rank_correlation(level, [float(i) for i in range(len(level))]) is None


def test_seeds_are_merged_by_twice_the_mean_of_their_p_values() -> None:
    one = merged([outcome(0.01, 0.99, 0.6), outcome(0.03, 0.97, 0.8)])
    assert (one.effect, one.above, one.below) == (pytest.approx(0.7), pytest.approx(0.04), 1.0)
    assert one.p == pytest.approx(0.08)
    alone = outcome(0.01, 0.99)
    assert merged([alone]) is alone


def test_a_seed_that_goes_the_other_way_leaves_a_recipe_undecided() -> None:
    assert merged([outcome(1e-9, 1.0), outcome(1.0, 1e-9)]).p == 1


def test_holm_is_that_of_statsmodels() -> None:
    values = [0.04, 0.001, 0.2, 0.013, 0.013, 0.9]
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])
    assert holm([]) == []


def part(p: float | None, effect: float | None = 0.9, **more: object) -> Part:
    return Part("a", 10, effect=effect, p=p, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("p", "effect", "direction", "verdict"),
    [
        (ALPHA, 0.9, 1, Verdict.UNDECIDED),
        (np.nextafter(ALPHA, 0), 0.9, 1, Verdict.HOLDS),
        (0.01, 0.1, 1, Verdict.DOES_NOT_HOLD),
        (0.01, 0.1, -1, Verdict.HOLDS),
        (0.01, 0.1, 0, Verdict.HOLDS),
        (0.01, 0.5, 1, Verdict.UNDECIDED),
    ],
)
def test_a_part_is_decided_below_alpha_alone_and_by_its_direction(
    p: float, effect: float, direction: int, verdict: Verdict
) -> None:
    assert judged([part(p, effect)], 0.5, direction)[0].verdict is verdict


def test_parts_are_adjusted_for_each_other_and_not_for_those_beside() -> None:
    found = judged([part(0.03), part(0.04), part(0.03, counts=False)], 0.5)
    assert [one.adjusted for one in found] == pytest.approx([0.06, 0.06, 0.03])
    assert [one.verdict for one in found] == [Verdict.UNDECIDED, Verdict.UNDECIDED, Verdict.HOLDS]


H, N, U = Verdict.HOLDS, Verdict.DOES_NOT_HOLD, Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [([H, H], H), ([H, U], U), ([H, N, U], N), ([U], U), ([], Verdict.NOT_MEASURED)],
)
def test_one_counterexample_refutes_and_all_parts_together_confirm(verdicts: list[Verdict], expected: Verdict) -> None:
    beside = Part("beside", 1, verdict=N, counts=False)
    assert overall([*(Part("a", 1, verdict=one) for one in verdicts), beside]) is expected


def test_the_line_of_a_verdict_names_what_says_otherwise() -> None:
    parts = [Part(name, 1, verdict=one) for name, one in (("a", H), ("b", N), ("c", U), ("d", U))]
    assert why(parts) == "confirmed in 1 of 4 tests (a), contradicted in 1 (b), undecided in 2 (c; d)"
    assert why(parts[:1]) == "confirmed in the only test (a)"
    assert why([parts[0]] * 3) == "confirmed in all 3 tests"
    few = Part("c", 1, note="3 recipes, a verdict needs 5")
    assert why([few, few]) == "undecided in all 2 tests: 3 recipes, a verdict needs 5"
    assert why(parts[1:3]) == "contradicted in 1 of 2 tests (b), undecided in 1 (c)"


def test_a_statement_without_parts_keeps_the_command_that_measures_them() -> None:
    statement = Statement("k", "t", "title", "c", "d", (), "test", "effect", needs="harness run")
    empty, full = concluded(statement, []), concluded(statement, [part(0.001)], 0.5)
    assert (empty.verdict, empty.needs) == (Verdict.NOT_MEASURED, "harness run")
    assert (full.verdict, full.needs) == (Verdict.HOLDS, "")


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [
        ((-0.0145, -0.0005, -0.003, -0.022), True),
        ((0.002, -0.1, -0.01, -0.05), True),
        ((-0.1, -0.025, -0.05), True),
        ((-0.1, -0.0251, -0.1), False),
        ((-0.1, -0.02, -0.039), False),
        ((-0.1, -0.001, 0.05), False),
        ((0.1, 0.001, -0.05), False),
        ((-0.1, -0.001), False),
        ((), False),
    ],
)
def test_three_phases_are_a_fall_a_flat_stretch_and_a_fall_again(slopes: tuple[float, ...], expected: bool) -> None:
    assert three_phases(slopes) is expected
