"""A check from Python: an entrant and a baseline to a verdict, without a terminal, and values read as their measure says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.check.baseline import Baseline, Description, from_record
from harness.check.check import Check
from harness.check.conditions import MeasureInfo
from harness.check.gates import Gate, Gates, robust_gate
from harness.check.preparation import Checking, values_of
from harness.check.sequential import FlagGate
from harness.check.statistics import Outcome
from harness.check.verdict import AccuracyResult, ValueResult
from harness.errors import BadInput
from harness.measures import Summary
from harness.run.inputs import sources, suite_images
from harness.run.plan import Judged
from harness.run.store import Store
from harness.suites.suite import SUITES
from leaderboards.records.files import read_record
from leaderboards.records.schema import Quantity, Record, SuiteInfo, Value
from zoo.own_entrants import own_entrants

ROOT = Path(__file__).resolve().parents[2]
SUITE = SUITES["digits"]


def shipped(name: str) -> Record:
    return read_record(ROOT / "leaderboards" / "results" / "digits" / f"{name}.json")


@pytest.fixture
def checking(tmp_path: Path) -> Checking:
    """The standard entrant against the baseline of a robust one, with what is measured kept in a folder of its own."""
    entrant = next(one for one in own_entrants(SUITE.domain) if one.card.name == "standard")
    images = suite_images(SUITE, data_dir=tmp_path, download=False)
    beside = sources(SUITE, data_dir=tmp_path, download=False, fits=tmp_path / "fits", inception_weights=None)
    return Checking(
        judged=Judged(entrant, entrant.weights(), images),
        suite=SUITE,
        baseline=from_record(shipped("weat-adv"), ROOT / "leaderboards" / "arrays"),
        gates=robust_gate(0.03),
        store=Store(tmp_path / "shards"),
        beside=beside,
        devices=(torch.device("cpu"),),
    )


def test_a_script_gets_a_verdict_and_nothing_is_printed(checking: Checking, capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    verdict = replace(checking, told=lines.append)()
    (gate,) = verdict.gates
    assert isinstance(gate, AccuracyResult)
    assert (verdict.outcome, gate.stage, verdict.notes) == (Outcome.FAIL, "pgd", ())
    assert verdict.line.startswith("FAIL standard on digits: robust accuracy fell by ")
    assert (
        lines[0]
        == "standard on digits, 200 examples, against weat-adv (" + checking.baseline.description.measured_at + ")"
    )
    assert any(line.startswith("pgd: robust, ") for line in lines[1:])
    assert tuple(capfd.readouterr()) == ("", "")


def test_what_cannot_be_checked_is_refused_before_anything_is_measured(checking: Checking) -> None:
    def refused(gate: Gate) -> str:
        with pytest.raises(BadInput) as error:
            _ = replace(checking, gates=Gates((gate,))).plan
        return str(error.value)

    assert "which change is a worsening" in refused(Gate("mine", 1.0, value="nowhere.mine"))
    assert "got 'nowhere'; measure it and give its record" in refused(
        Gate("mine", 1.0, value="nowhere.mine", worse="lower")
    )
    other = replace(checking, suite=replace(SUITE, eps="0.1"))
    with pytest.raises(BadInput, match=r"suite eps 0\.15\), got suite eps 0\.1;"):
        _ = other.plan


@pytest.mark.parametrize(("n", "margin"), [(200, 0.0), (200, 0.01), (389, 0.01), (100, 0.03)])
def test_the_margin_and_the_number_that_a_refusal_names_would_do(n: int, margin: float) -> None:
    def gate(examples: int, allowed: float) -> FlagGate:
        return FlagGate("robust", allowed, 0.05, np.ones(examples, dtype=bool), fail_looks=3, pass_looks=2)

    refused = gate(n, margin)
    assert refused.least_bound >= margin
    allowed = np.floor(refused.least_bound * 1e4 + 1) / 1e4
    enough = refused.examples_to_pass
    for examples, wide in ((n, allowed), *([(enough, margin)] if enough else [])):
        flags = gate(examples, wide)
        everything = np.arange(examples)
        flags.exactly(everything, np.ones(examples, dtype=bool))
        assert flags.passes(everything, last=True), "an entrant that is as good, image by image"
    assert (enough is None) == (margin == 0)
    if enough:
        assert gate(enough - 1, margin).least_bound >= margin, "no fewer would do"


def test_a_margin_that_cannot_be_decided_is_refused_before_anything_is_measured(checking: Checking) -> None:
    with pytest.raises(
        BadInput, match=r"expected a margin that 200 examples can decide, got 0\.019 for the gate 'robust'"
    ):
        replace(checking, gates=robust_gate(0.019))()
    assert not list(checking.store.root.rglob("*"))


def test_the_baselines_own_weights_are_measured_only_where_all_is_asked_for(checking: Checking) -> None:
    record = shipped("standard")
    same = replace(checking, baseline=from_record(record, ROOT / "leaderboards" / "arrays"))
    assert (same().outcome, same().cost) == (Outcome.PASS, {})
    gates = Gates((Gate("plain", 0.03, measure="standard"),))
    assert replace(same, gates=gates, full=True)().cost == {"natural": 200}
    was = same.baseline.description.model_copy(update={"device": "cuda"})
    other = replace(same, baseline=replace(same.baseline, description=was), gates=gates)
    assert other().cost == {"natural": 200}, "measured elsewhere: another draw of attacks"


def test_the_plan_is_the_baselines_own_run(checking: Checking) -> None:
    was = checking.baseline.description
    assert [measure.name for measure in checking.plan.measures] == ["standard", "autoattack", "energies"]
    assert (checking.plan.suite.shard_size, checking.plan.precision) == (was.shard_size, was.precision)
    assert {measure.seed for measure in checking.plan.measures} == {0}


def test_the_values_of_a_record_are_those_of_the_same_weights(checking: Checking) -> None:
    values = values_of(shipped("standard"), checking.judged)
    assert values["standard.standard_accuracy"].n == 200
    with pytest.raises(BadInput, match=r"record of standard .*got one of sat .*harness run"):
        values_of(shipped("sat"), checking.judged)


# ---------------------------------------------------------------- values that say how they are read

READ = {
    "mine.share": Quantity(title="share of something", unit="fraction", better="higher"),
    "mine.depth": Quantity(title="depth of something", unit="energy", better="lower"),
}
WAS = {"share": Value(value=0.8, low=0.79, high=0.81, level=0.95, n=4), "depth": Value(value=2.0, n=4)}


@dataclass(frozen=True)
class Made:
    """A candidate of which one made measure is known."""

    found: dict[str, Value]
    shards: tuple[tuple[int, int], ...] = ((0, 4),)

    def summary(self, measure: str) -> Summary:
        assert measure == "mine"
        return Summary(self.found)


def made_baseline(quantities: dict[str, Quantity]) -> Baseline:
    suite = SuiteInfo(name="s", version=1, dataset="d", split="test", fingerprint="f", examples=4, norm="Linf", eps=0.1)
    description = Description(
        suite=suite, limit=None, entrant="e", weights_sha256="0", precision="fp32", device="cpu", shard_size=4,
        measured_at="", measures={"mine": MeasureInfo(version=1, seed=0, settings={})},
        values={f"mine.{key}": value for key, value in WAS.items()}, quantities=quantities,
    )  # fmt: skip
    return Baseline(description, {"correct": np.ones(4, dtype=bool)})


GATES = Gates((Gate("share", 0.02, value="mine.share"), Gate("depth", 0.5, value="mine.depth")))


@pytest.mark.parametrize("by_baseline", [True, False])
def test_a_measure_says_unit_and_direction_of_its_values_and_a_gate_follows(by_baseline: bool) -> None:
    now = {"share": Value(value=0.7, low=0.69, high=0.71, level=0.95, n=4), "depth": Value(value=1.0, n=4)}
    baseline = made_baseline(READ if by_baseline else {})
    check = Check(GATES, baseline, Made(now), full=True, quantities={} if by_baseline else READ)  # type: ignore[arg-type]
    assert check() is Outcome.FAIL
    share, depth = check.found.results()
    assert isinstance(share, ValueResult)
    assert isinstance(depth, ValueResult)
    assert (share.outcome, depth.outcome) == (Outcome.FAIL, Outcome.PASS), "less of a depth is better"
    assert share.statement.startswith(
        "mine.share went from 80.0 % to 70.0 % (95% interval of the worsening [8.6, 11.4]"
    )
    assert (share.plain()["unit"], depth.plain()["unit"], share.plain()["margin"]) == ("points", "energy", 0.02)
    assert depth.statement == "mine.depth went from 2 to 1 (margin 0.5)"


def test_a_gate_may_contradict_its_quantity() -> None:
    now = {"share": WAS["share"], "depth": Value(value=1.0, n=4)}
    gates = Gates((Gate("depth", 0.5, value="mine.depth", worse="lower"),))
    assert Check(gates, made_baseline(READ), Made(now))() is Outcome.FAIL  # type: ignore[arg-type]


def test_without_a_quantity_a_gate_must_say_which_change_is_a_worsening() -> None:
    with pytest.raises(BadInput, match="expected worse = one of lower, higher, either in the gate 'share', got None"):
        Check(GATES, made_baseline({}), Made(WAS))  # type: ignore[arg-type]
