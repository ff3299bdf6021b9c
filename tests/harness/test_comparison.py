"""Two records compared by example: the shipped ones, held against statsmodels and scipy, and what must be refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from harness.check.comparison import AccuracyDifference, Comparison, compare
from harness.check.measured import RecordOnDisk, measured_on_disk
from harness.errors import BadInput
from leaderboards.records.schema import Measurement, Record, RecordError

LEADERBOARDS = Path(__file__).resolve().parents[2] / "leaderboards"
RESULTS = LEADERBOARDS / "results" / "digits"


def shipped(name: str) -> RecordOnDisk:
    return measured_on_disk(RESULTS / f"{name}.json")


def kept(measured: RecordOnDisk, accuracy: str) -> np.ndarray:
    """The flags, read without the code under test."""
    if accuracy == "autoattack":
        return measured.arrays("autoattack")["stage"] == 4
    return {
        "standard": lambda: measured.arrays("standard")["correct"],
        "pgd": lambda: measured.arrays("energies")["pgd.correct"],
    }[accuracy]()


@dataclass(frozen=True)
class InMemory:
    """A record whose arrays were never written."""

    record: Record
    held: Mapping[str, Mapping[str, np.ndarray]]

    def arrays(self, measure: str) -> Mapping[str, np.ndarray]:
        return self.held.get(measure, {})


def changed(measured: RecordOnDisk, measure: str, change: Callable[[Measurement], dict[str, object]]) -> RecordOnDisk:
    """The same record with one measurement otherwise."""
    there = measured.record.measurements
    other = there[measure].model_copy(update=change(there[measure]))
    record = measured.record.model_copy(update={"measurements": {**there, measure: other}})
    return RecordOnDisk(record, measured.folder)


@pytest.mark.parametrize(
    ("a", "b"), [("trades", "weat-adv"), ("weat-adv", "trades"), ("standard", "sat"), ("sat", "mart")]
)
def test_accuracies_are_compared_as_statsmodels_exact_mcnemar_does(a: str, b: str) -> None:
    found = compare(shipped(a), shipped(b))
    assert [row.name for row in found.accuracies] == ["standard", "pgd", "autoattack"]
    for row in found.accuracies:
        one, other = (kept(shipped(name), row.name) for name in (a, b))
        table = [[(one & other).sum(), (one & ~other).sum()], [(~one & other).sum(), (~one & ~other).sum()]]
        assert row.p == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-12)
        assert (len(row.lost), len(row.gained), row.n) == (table[0][1], table[1][0], 200)
        assert one[list(row.lost)].all()
        assert not other[list(row.lost)].any()
        assert (row.a, row.b) == (one.mean(), other.mean())
        assert row.difference == pytest.approx(other.mean() - one.mean())
        assert row.low <= row.difference <= row.high


def test_energies_are_compared_by_students_paired_t() -> None:
    found = compare(shipped("weat-adv"), shipped("sat"))
    names = ("marginal_energy", "joint_energy")
    assert [row.name for row in found.energies] == [
        *names,
        *(f"pgd.{n}_adv" for n in names),
        *(f"pgd.delta_{n}" for n in names),
    ]
    was, now = (shipped(name).arrays("energies") for name in ("weat-adv", "sat"))
    for row in found.energies:
        energy = row.name.removeprefix("pgd.delta_")
        one, other = (np.asarray(arrays[energy], dtype=np.float64) for arrays in (was, now))
        if row.name != energy:
            one, other = one - was[f"pgd.{energy}_adv"], other - now[f"pgd.{energy}_adv"]
        expected = stats.ttest_rel(other, one)
        ends = expected.confidence_interval(0.95)
        assert row.p == pytest.approx(expected.pvalue)
        assert (row.low, row.high) == (pytest.approx(ends.low), pytest.approx(ends.high))
        assert row.difference == pytest.approx(other.mean() - one.mean())


def row(lost: int, gained: int, p: float = 0.5, name: str = "autoattack") -> AccuracyDifference:
    n = 200
    return AccuracyDifference(
        name, 0.5, 0.5, (gained - lost) / n, -0.1, 0.1, 0.95, p, tuple(range(lost)), tuple(range(gained)), n
    )


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([row(14, 0, 1e-4)], "a keeps 14 images that b loses and loses none of its: p = 0.0001 (under AutoAttack, 200 images)"),
        ([row(2, 5)], "b keeps 5 images that a loses and loses 2 of its: p = 0.5 (under AutoAttack, 200 images)"),
        ([row(1, 0, name="pgd")], "a keeps 1 image that b loses and loses none of its: p = 0.5 (under PGD-20, 200 images)"),
        ([row(9, 9, name="standard"), row(0, 0)], "a and b keep the same images (under AutoAttack, 200 images)"),
    ],
)  # fmt: skip
def test_a_comparison_says_in_one_sentence_who_keeps_what(rows: list[AccuracyDifference], sentence: str) -> None:
    assert str(Comparison("digits", "a", "b", tuple(rows), ())) == sentence


def test_the_shipped_entrants_are_told_apart_in_a_sentence() -> None:
    found = compare(shipped("standard"), shipped("weat-adv"))
    robust = found.accuracy("autoattack")
    assert str(found).startswith(
        f"weat-adv keeps {len(robust.gained)} images that standard loses and loses none of its: p = "
    )
    with pytest.raises(BadInput, match="got 'robust'; it is one of standard, pgd, autoattack"):
        found.accuracy("robust")


def test_the_frame_has_a_row_for_all_that_was_compared() -> None:
    found = compare(shipped("trades"), shipped("weat-adv"))
    frame = found.to_frame()
    assert list(frame.index) == [row.name for row in (*found.accuracies, *found.energies)]
    assert frame.loc["autoattack", "lost"] == len(found.accuracy("autoattack").lost)
    assert frame["lost"].isna().sum() == len(found.energies)
    assert (frame["low"] <= frame["high"]).all()


def test_records_in_memory_are_compared_by_what_both_have() -> None:
    disk = shipped("sat")
    measurements = {"autoattack": disk.record.measurements["autoattack"]}
    record = disk.record.model_copy(update={"measurements": measurements})
    memory = InMemory(record, {"autoattack": disk.arrays("autoattack")})
    found = compare(memory, shipped("trades"))
    assert [row.name for row in found.accuracies] == ["autoattack"]
    assert found.energies == ()
    assert found.accuracy("autoattack") == compare(disk, shipped("trades")).accuracy("autoattack")
    assert found.to_frame()["lost"].tolist() == [len(found.accuracies[0].lost)]


def test_an_entrant_and_its_successor_of_the_same_name_are_told_apart_by_their_weights() -> None:
    old = shipped("sat")
    entrant = old.record.entrant.model_copy(update={"weights_sha256": "f" * 64})
    found = compare(old, RecordOnDisk(old.record.model_copy(update={"entrant": entrant}), old.folder))
    assert found.a == f"sat ({old.record.entrant.weights_sha256[:12]})"
    assert str(found) == f"{found.a} and sat (ffffffffffff) keep the same images (under AutoAttack, 200 images)"
    assert {row.p for row in (*found.accuracies, *found.energies)} == {1.0}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"fingerprint": "xyz"}, "suite fingerprint"),
        ({"version": 99}, "suite version 99"),
        ({"eps": 0.1}, "suite eps 0.1"),
        ({"norm": "L2"}, 'suite norm "L2"'),
    ],
)
def test_records_of_other_data_or_another_threat_model_are_refused(change: dict[str, object], named: str) -> None:
    sat = shipped("sat")
    suite = sat.record.suite.model_copy(update=change)
    with pytest.raises(BadInput, match="found alike") as refused:
        compare(shipped("trades"), RecordOnDisk(sat.record.model_copy(update={"suite": suite}), sat.folder))
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_attack_is_refused_and_another_seed_of_it_is_not() -> None:
    sat, trades = shipped("sat"), shipped("trades")
    reseeded = changed(sat, "autoattack", lambda m: {"seed": 7, "settings": {**m.settings, "batch_size": 10}})
    assert compare(reseeded, trades).accuracies == compare(sat, trades).accuracies
    weaker = changed(sat, "autoattack", lambda m: {"settings": {**m.settings, "targets": 3}})
    with pytest.raises(BadInput, match="autoattack targets 9 of trades and autoattack targets 3 of sat"):
        compare(trades, weaker)
    newer = changed(sat, "energies", lambda m: {"version": 99})
    with pytest.raises(BadInput, match="energies version 99 of sat"):
        compare(trades, newer)


def test_records_of_other_examples_or_without_flags_in_common_are_refused() -> None:
    sat, trades = shipped("sat"), shipped("trades")
    first = {name: {key: array[:50] for key, array in sat.arrays(name).items()} for name in ("standard", "energies")}
    with pytest.raises(BadInput, match="examples 200 of trades and examples 50 of sat"):
        compare(trades, InMemory(sat.record, first))
    apart = [InMemory(m.record, {name: m.arrays(name)}) for m, name in ((sat, "standard"), (trades, "autoattack"))]
    with pytest.raises(BadInput, match="got correct of sat and stage of trades; measure both alike"):
        compare(*apart)


def test_a_record_file_is_read_with_the_arrays_beside_its_results(tmp_path: Path) -> None:
    assert shipped("sat").folder == LEADERBOARDS / "arrays"
    elsewhere = tmp_path / "sat.json"
    elsewhere.write_bytes((RESULTS / "sat.json").read_bytes())
    with pytest.raises(RecordError, match="name the folder of its arrays"):
        measured_on_disk(elsewhere)
    named = measured_on_disk(elsewhere, LEADERBOARDS / "arrays")
    assert compare(named, shipped("trades")) == compare(shipped("sat"), shipped("trades"))
