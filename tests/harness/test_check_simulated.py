"""The whole check, with its looks and its cascade, on thousands of simulated pairs of models: how often it errs."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.check.baseline import Baseline, Description
from harness.check.check import Check
from harness.check.conditions import MeasureInfo
from harness.check.gates import Gate, Gates
from harness.check.sequential import FlagGate, shares, sizes
from harness.check.statistics import Outcome, interval, significance
from harness.check.verdict import AccuracyResult
from harness.measures import Summary
from leaderboards.records.schema import SuiteInfo

PAIRS, N, ALPHA = 2000, 1000, 0.05
ROBUST = Gates((Gate("robust", 0.01, measure="robust"),), ALPHA)
SUITE = SuiteInfo(name="s", version=1, dataset="d", split="test", fingerprint="f", examples=N, norm="Linf", eps=0.1)
MEASURED = {
    name: MeasureInfo(version=1, seed=0, settings={"stages": ["first", "last"]})
    for name in ("standard", "autoattack", "energies")
}
DESCRIPTION = Description(
    suite=SUITE,
    limit=None,
    entrant="e",
    weights_sha256="0",
    precision="fp32",
    device="cpu",
    shard_size=50,
    measured_at="",
    measures=MEASURED,
    values={},
)


@dataclass(frozen=True)
class Simulated:
    """A model whose every flag is known. `broken` (N,): 0 natural, 1 PGD, 2 and 3 AutoAttack's stages, 4 nothing."""

    broken: np.ndarray

    @property
    def shards(self) -> Sequence[tuple[int, int]]:
        return [(start, start + 50) for start in range(0, len(self.broken), 50)]

    def standard(self) -> np.ndarray:
        return self.broken > 0

    def pgd(self, examples: np.ndarray) -> np.ndarray:
        return self.broken[examples] > 1

    def autoattack(self, numbers: Sequence[int]) -> Iterator[tuple[str, np.ndarray, np.ndarray, bool]]:
        examples = np.concatenate([np.arange(*self.shards[number]) for number in numbers])
        # what PGD breaks AutoAttack breaks too, in its first stage
        yield "first", examples, self.broken[examples] > 2, False
        yield "last", examples, self.broken[examples] > 3, True

    def arrays(self, measure: str) -> dict[str, np.ndarray]:
        raise AssertionError("no gate needs energies")

    def summary(self, measure: str) -> Summary:
        raise AssertionError("no gate needs values")


def baseline_of(model: Simulated) -> Baseline:
    stage = np.where(model.broken == 0, -1, np.maximum(model.broken - 2, 0)).astype(np.int8)
    arrays = {"correct": model.broken > 0, "pgd.correct": model.broken > 1, "stage": stage}
    return Baseline(DESCRIPTION, arrays)


def pair(random: np.random.Generator, p_lost: float, p_gained: float, n: int = N) -> tuple[Baseline, Simulated]:
    """Two models, robust on 55 % of the examples but for p_lost and p_gained of all, broken at all stages."""
    table = random.choice(4, n, p=[0.55 - p_lost, p_lost, p_gained, 0.45 - p_gained])
    broken = random.choice(4, (2, n), p=[0.15, 0.6, 0.15, 0.1])
    was = np.where(np.isin(table, [0, 1]), 4, broken[0])
    now = np.where(np.isin(table, [0, 2]), 4, broken[1])
    return baseline_of(Simulated(was)), Simulated(now)


def outcomes(
    p_lost: float, p_gained: float, gates: Gates, pairs: int = PAIRS, n: int = N
) -> tuple[dict[Outcome, float], list[Check]]:
    random = np.random.default_rng(0)
    checks = []
    for number in range(pairs):
        check = Check(gates, *pair(random, p_lost, p_gained, n), seed=number)
        check()
        checks.append(check)
    found = [check.outcome for check in checks]
    return {outcome: found.count(outcome) / pairs for outcome in Outcome}, checks


def attacked(check: Check) -> float:
    """The share of AutoAttack's last stage that was run, which is most of the work."""
    return check.cost.get("last", 0) / N


@pytest.mark.parametrize("discordant", [pytest.param(0.02, marks=pytest.mark.slow), 0.1])
def test_an_entrant_that_is_no_worse_fails_at_most_alpha_of_the_time(discordant: float) -> None:
    found, _ = outcomes(discordant / 2, discordant / 2, Gates((Gate("robust", 0.0, measure="robust"),), ALPHA))
    assert found[Outcome.FAIL] <= ALPHA


@pytest.fixture
def quick_collection() -> Iterator[None]:
    """statsmodels' multipletests collects garbage at each call: with all that pytest holds that takes longer than the test."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("quick_collection")
@pytest.mark.slow
def test_with_three_gates_it_still_fails_at_most_alpha_of_the_time() -> None:
    names = ("robust", "autoattack", "pgd")
    found, _ = outcomes(0.03, 0.03, Gates(tuple(Gate(name, 0.0, measure=name) for name in names), ALPHA), pairs=500)
    assert found[Outcome.FAIL] <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / 500)


@pytest.mark.slow
def test_a_drop_of_the_margin_and_three_points_fails_and_seldom_costs_a_whole_run() -> None:
    found, checks = outcomes(0.06, 0.02, ROBUST)
    assert found[Outcome.FAIL] > 0.9
    assert found[Outcome.PASS] <= ALPHA
    assert np.mean([attacked(check) for check in checks]) < 0.8


def test_a_drop_of_the_margin_passes_at_most_alpha_of_the_time() -> None:
    found, _ = outcomes(0.02, 0.01, ROBUST)
    assert found[Outcome.PASS] <= ALPHA


def test_clear_cases_cost_a_fraction() -> None:
    found, checks = outcomes(0.4, 0.0, ROBUST, pairs=100)
    assert found[Outcome.FAIL] == 1
    assert np.mean([check.cost["pgd"] for check in checks]) < 0.25 * N
    assert all(attacked(check) == 0 for check in checks)
    found, checks = outcomes(0.0, 0.0, Gates((Gate("robust", 0.03, measure="robust"),), ALPHA), pairs=100)
    assert found[Outcome.PASS] == 1
    assert max(attacked(check) for check in checks) <= 0.5


@pytest.mark.parametrize(("p_lost", "p_gained"), [(0.06, 0.02), (0.03, 0.03)])
@pytest.mark.slow
def test_the_interval_covers_also_after_stopping_early(p_lost: float, p_gained: float) -> None:
    """Where AutoAttack alone decides: the counts of a look at PGD are bounds by intention, not estimates."""
    _, checks = outcomes(p_lost, p_gained, Gates((Gate("autoattack", 0.01, measure="autoattack"),), ALPHA), n=500)
    tables, often = np.unique([check.found.flags["autoattack"].seen for check in checks], axis=0, return_counts=True)
    ends = np.array([interval(*map(int, table), resamples=300) for table in tables])
    covered = (ends[:, 0] <= p_lost - p_gained) & (p_lost - p_gained <= ends[:, 1])
    assert often[covered].sum() / PAIRS == pytest.approx(0.95, abs=0.02)


def test_a_full_check_measures_everything_and_decides_as_early() -> None:
    random = np.random.default_rng(0)
    for number in range(30):
        baseline, model = pair(random, 0.08, 0.02)
        early, full = (Check(ROBUST, baseline, model, seed=number, full=full) for full in (False, True))
        assert early() == full()
        assert full.cost["last"] == N
        assert {x.index for x in early.found.lost([""] * N)} <= {x.index for x in full.found.lost([""] * N)}
        was = baseline.flags("robust")
        assert [x.index for x in full.found.lost([""] * N)] == np.flatnonzero(was & (model.broken < 4)).tolist()


def test_without_the_baselines_pgd_flags_pgd_breaks_nothing() -> None:
    """An example that PGD breaks and AutoAttack leaves robust is lost only where the baseline was asked the same."""
    random = np.random.default_rng(0)
    baseline, _ = pair(random, 0.0, 0.0)
    bare = Baseline(DESCRIPTION, {name: baseline.arrays[name] for name in ("correct", "stage")})

    class Odd(Simulated):
        def pgd(self, examples: np.ndarray) -> np.ndarray:
            return np.zeros(len(examples), dtype=bool)

    stage = baseline.arrays["stage"]
    same = Odd(np.where(stage < 0, 0, stage + 2))
    assert Check(ROBUST, bare, same)() is Outcome.PASS
    assert Check(ROBUST, baseline, same)() is Outcome.FAIL


def test_an_order_is_drawn_by_its_seed_alone() -> None:
    random = np.random.default_rng(3)
    baseline, model = pair(random, 0.05, 0.02)
    costs = []
    for seed in (1, 1, 2):
        check = Check(ROBUST, baseline, model, seed=seed)
        check()
        costs.append((check.cost, check.found.flags["robust"].seen))
    assert costs[0] == costs[1]
    assert costs[0][1] != costs[2][1]


@pytest.mark.parametrize("looks", [1, 2, 7])
def test_the_shares_of_alpha_add_up_to_one(looks: int) -> None:
    interim, last = shares(looks)
    assert (looks - 1) * interim + last == pytest.approx(1)


def test_looks_double_up_to_all() -> None:
    assert sizes(200, 25) == (25, 50, 100, 200)
    assert sizes(10_000, 25) == (313, 625, 1250, 2500, 5000, 10_000)
    assert sizes(2, 1) == (1, 2)
    assert sizes(10, 25) == (10,)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_what_fails_with_flags_that_are_at_most_true_fails_with_the_final_ones(
    rows: list[tuple[bool, bool, bool]],
) -> None:
    was, now, later = (np.array(column) for column in zip(*rows, strict=True))
    later &= now  # later stages only break
    everything = np.arange(len(rows))
    found = []
    for flags in (now, later):
        gate = FlagGate("g", 0.0, 0.05, was)
        gate.at_most(everything, flags)
        lost, gained, n = gate.counts(everything)
        found.append((float(significance(lost, gained)), (lost - gained) / n))
    assert found[1][0] <= found[0][0] + 1e-12
    assert found[1][1] >= found[0][1]


def test_a_gate_passes_on_settled_flags_only() -> None:
    gate = FlagGate("g", 0.5, 0.05, np.ones(50, dtype=bool))
    gate.at_most(np.arange(50), np.ones(50, dtype=bool))
    with pytest.raises(ValueError, match="settled"):
        gate.passes(np.arange(50), last=True)
    gate.exactly(np.arange(50), np.ones(50, dtype=bool))
    assert gate.passes(np.arange(50), last=True)


def test_an_example_whose_attacks_have_not_ended_is_never_told_as_gained() -> None:
    """The candidate gains nothing: all that the baseline got wrong is broken by the last stage, and at each look before it
    some of it is not yet."""
    random = np.random.default_rng(3)
    before = random.choice([2, 3, 4], 400, p=[0.2, 0.3, 0.5])
    after = np.where(before == 4, random.choice([3, 4], 400, p=[0.4, 0.6]), 3)
    lines: list[str] = []
    check = Check(ROBUST, baseline_of(Simulated(before)), Simulated(after), told=lines.append, full=True)
    assert check() is Outcome.FAIL
    assert any("not attacked to the end" in line for line in lines)
    assert [line for line in lines if "gained" in line and " 0 gained" not in line] == []
    (gate,) = check.found.results()
    assert isinstance(gate, AccuracyResult)
    assert (gate.gained, "at least" in gate.statement) == (0, gate.open > 0)
    whole = Check(ROBUST, baseline_of(Simulated(after)), Simulated(before), full=True)
    assert whole() is Outcome.PASS
    (gate,) = whole.found.results()
    assert isinstance(gate, AccuracyResult)
    assert gate.open == 0
    assert 0 < gate.gained <= int(((after < 4) & (before == 4)).sum()), "when all attacks have ended it is a gain"
