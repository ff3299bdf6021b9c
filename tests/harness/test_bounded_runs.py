"""`autoattack:bounded` from the command to the record: what it runs, what it says, and how it is completed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import harness
from harness.attacks.engine.engine import Engine
from harness.attacks.engine.outcome import SURVIVED
from harness.check.baseline import baseline_of
from harness.check.check import Check
from harness.check.gates import Gate, Gates
from harness.data.datasets import digits
from harness.data.images import Examples
from harness.errors import BadInput
from harness.measures import RobustAccuracy
from harness.measures.bounded import FIRST, SHARE, Bound, chosen
from harness.run.judge import Judgement
from harness.run.selection import chosen_measures
from harness.suites.files import find_suite

Answers = tuple[Judgement, Judgement, Judgement, Path]


@pytest.fixture(scope="module", autouse=True)
def _short_attacks() -> Iterator[None]:
    """Few steps and queries: what is run on which example does not depend on them."""
    engine = RobustAccuracy._engine

    def short(self: RobustAccuracy, examples: Examples) -> Engine:
        return replace(engine(self, examples), steps=5, queries=20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RobustAccuracy, "_engine", short)
        yield


LIMIT = 60


def judged(out: Path, measure: str, **more: Any) -> Judgement:
    return harness.judge("trades", "digits", [measure], limit=LIMIT, shard_size=20, out=out, **more)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """A bounded answer, its completion from its shards, and the complete answer at once."""
    out = tmp_path_factory.mktemp("bounded")
    first = judged(out, "autoattack:bounded")
    return first, judged(out, "autoattack"), judged(tmp_path_factory.mktemp("complete"), "autoattack"), out


def test_a_bounded_run_records_an_interval_that_holds_what_the_complete_run_then_finds(answers: Answers) -> None:
    bounded, completed, _, _ = answers
    value, number = bounded.value("autoattack_accuracy"), completed.value("autoattack_accuracy").value
    assert value.bounded
    assert value.low <= number <= value.high
    assert bounded.measurement("autoattack").settings["bounded"] == SHARE
    assert "accuracy_after.fab-t" not in bounded.measurement("autoattack").values
    (flag,) = (flag for flag in bounded.measurement("autoattack").flags if flag.code == "bounded")
    found = Bound.of(bounded.arrays("autoattack"))
    assert f"on {found.sampled} of the {found.survivors} examples" in flag.message
    assert 0 < found.sampled < found.survivors


def test_the_stages_that_it_ran_found_what_the_complete_run_finds(answers: Answers) -> None:
    bounded, completed, _, _ = answers
    for name in ("accuracy_after.apgd-ce", "accuracy_after.apgd-t"):
        assert bounded.value(name) == completed.value(name)
    sample = chosen(digits("test").examples(0, LIMIT).x, 0).numpy()
    stage, reached = (bounded.arrays("autoattack")[name] for name in ("stage", "reached"))
    survived = stage == SURVIVED
    assert (reached[survived & sample] == SURVIVED).all()
    assert (reached[survived & ~sample] == FIRST).all()


def test_completing_it_gives_the_record_of_a_complete_run_without_running_a_stage_again(answers: Answers) -> None:
    _, completed, at_once, _ = answers
    assert completed.measurement("autoattack").values == at_once.measurement("autoattack").values
    for name in ("stage", "reached"):
        np.testing.assert_array_equal(completed.arrays("autoattack")[name], at_once.arrays("autoattack")[name])
    assert completed.record.findings() == at_once.record.findings()


def test_a_bounded_run_after_a_complete_one_runs_nothing_and_leaves_the_record(answers: Answers) -> None:
    _, completed, _, out = answers
    lines: list[str] = []
    again = judged(out, "autoattack:bounded", progress=lines.append)
    assert lines == []
    assert again.record == completed.record
    assert again.correct("autoattack").sum() == round(LIMIT * float(completed.value("autoattack_accuracy")))


def test_it_has_no_flags_by_example_and_no_baseline_is_made_of_it(answers: Answers) -> None:
    bounded, completed, _, _ = answers
    with pytest.raises(BadInput, match="expected a measure with flags by example, got 'autoattack'"):
        bounded.correct("autoattack")
    with pytest.raises(BadInput, match="expected a complete autoattack of trades, got a bounded one"):
        baseline_of(bounded)
    with pytest.raises(BadInput, match="expected a complete autoattack of trades, got a bounded one"):
        harness.compare(bounded, completed)
    assert baseline_of(completed).flags("autoattack").sum() == completed.correct("autoattack").sum()


def test_a_gate_on_the_value_of_a_bounded_candidate_is_refused(answers: Answers) -> None:
    bounded, completed, _, _ = answers
    gate = Gate("robust accuracy", margin=0.01, value="autoattack.autoattack_accuracy", worse="lower")
    given = {"autoattack.autoattack_accuracy": bounded.value("autoattack_accuracy")}
    candidate = SimpleNamespace(shards=[(0, LIMIT)])  # nothing of it is measured
    check = Check(Gates((gate,), 0.05), baseline_of(completed), candidate, given)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"expected a complete autoattack\.autoattack_accuracy of the candidate"):
        check()


def test_the_command_line_takes_one_answer_and_the_engine_that_can_give_it() -> None:
    (measure,) = chosen_measures(["autoattack:bounded"], find_suite("digits"))
    assert measure == RobustAccuracy(bounded=True)
    assert chosen_measures(["autoattack"], find_suite("digits")) == [RobustAccuracy()]
    with pytest.raises(BadInput, match="expected one of autoattack and autoattack:bounded, got both"):
        chosen_measures(["autoattack:bounded", "autoattack"], find_suite("digits"))
    with pytest.raises(BadInput, match="expected autoattack or autoattack:bounded, got 'autoattack:quick'"):
        chosen_measures(["autoattack:quick"], find_suite("digits"))
    with pytest.raises(BadInput, match="with --engine harness"):
        RobustAccuracy(engine="pyautoattack", bounded=True)


def test_a_bounded_run_costs_a_fraction_of_a_complete_one() -> None:
    bounded, complete = RobustAccuracy(bounded=True).cost(10), RobustAccuracy().cost(10)
    assert bounded.forward < 0.25 * complete.forward
    assert bounded.backward < 0.6 * complete.backward
