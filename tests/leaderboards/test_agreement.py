"""How a record agrees with the published one of its name: flags exactly, other numbers but for rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from leaderboards.board.agreement import Agreement, agreement
from leaderboards.board.beside import shown
from leaderboards.board.rounding import FARTHEST, ROUNDING
from leaderboards.records.collection import Collected
from leaderboards.records.files import record_path
from leaderboards.records.home import Home
from leaderboards.records.schema import BestKnown, Measurement, Record

RecordOf = Callable[..., Record]
N = 200
Arrays = Mapping[str, Mapping[str, np.ndarray]]


@pytest.fixture
def record(record_of: RecordOf) -> Record:
    return record_of("A", robust=0.77, energies=-4.0, n=N)


def arrays() -> dict[str, dict[str, np.ndarray]]:
    """Of the record's measures: a flag array and numbers of which one is not known."""
    energy = np.linspace(-40, 8, N)
    energy[7] = np.nan
    stage = np.where(np.arange(N) < 154, 4, 1).astype(np.int8)
    return {
        "autoattack": {"stage": stage, "reached": stage.copy()},
        "standard": {"correct": np.arange(N) < 190},
        "energies": {"marginal_energy": energy, "pgd.correct": stage == 4},
    }


def beside(record: Record, mine: Arrays, published: Record | None = None, theirs: Arrays | None = None) -> Agreement:
    return agreement(record, mine, published or record, arrays() if theirs is None else theirs)


def changed(record: Record, measure: str, **update: object) -> Record:
    there = record.measurements
    return record.model_copy(update={"measurements": {**there, measure: there[measure].model_copy(update=update)}})


def test_equal_records_agree_and_say_what_was_compared(record: Record) -> None:
    found = beside(record, arrays())
    assert found.within
    assert found.line == "as published here: AutoAttack 77.0, yours 77.0, 0 of 200 flags differ, energies equal"
    assert found.note == ""


def test_what_is_best_known_of_one_alone_is_told_for_it_ranks(record: Record) -> None:
    known = BestKnown(
        value=record.measurements["autoattack"].values["autoattack_accuracy"].model_copy(update={"value": 0.7})
    )
    lowered = record.model_copy(update={"best_known": known})
    for mine, published, said in (
        (record, lowered, "70.0 as published, yours 77.0"),
        (lowered, record, "77.0 as published, yours 70.0"),
    ):
        found = beside(mine, arrays(), published)
        assert found.within, "both measured the same"
        assert f"energies equal; best known {said}" in found.line
        assert found.note == f"best known {said}"
    assert beside(lowered, arrays(), lowered).note == ""


def test_numbers_are_compared_as_shares_of_the_largest_of_their_array(record: Record) -> None:
    mine = arrays()
    mine["energies"]["marginal_energy"][199] += 40 * 4e-7  # the largest is -40
    found = beside(record, mine)
    assert found.within
    assert found.line.endswith("0 of 200 flags differ, energies within 4e-7")


def test_one_example_with_another_flag_is_found_and_counted_once(record: Record) -> None:
    mine = arrays()
    mine["autoattack"]["stage"][3] = mine["autoattack"]["reached"][3] = 2
    mine["autoattack"]["stage"][5] = 0
    found = beside(record, mine)
    assert not found.within
    assert found.line == (
        "as published here: AutoAttack 77.0, yours 77.0; autoattack: 2 of 200 flags differ; the same: standard, energies"
    )
    assert found.note == "differs from the published record in autoattack"


def test_numbers_beyond_rounding_say_how_far_beyond(record: Record) -> None:
    mine = arrays()
    mine["energies"]["marginal_energy"] += 40 * 30 * ROUNDING
    found = beside(record, mine)
    assert not found.within
    assert "energies: 0 of 200 flags differ, numbers differ by 3e-4, 30 times rounding (marginal_energy)" in found.line


def test_few_examples_whose_search_ended_elsewhere_are_named_and_many_are_not_rounding(record: Record) -> None:
    mine = arrays()
    mine["energies"]["marginal_energy"][20:24] *= 1.001
    few = beside(record, mine)
    assert few.within
    assert few.line.endswith("energies equal but for 4 of 200 examples (9e-4)")
    mine["energies"]["marginal_energy"][20:60] *= 1.001
    assert not beside(record, mine).within
    alone = arrays()
    alone["energies"]["marginal_energy"][20] += 40 * 1.1 * FARTHEST
    assert not beside(record, alone).within


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_number_that_one_record_alone_has_is_no_rounding(record: Record, odd: float) -> None:
    mine = arrays()
    mine["energies"]["marginal_energy"][9] = odd
    found = beside(record, mine)
    assert not found.within
    assert "numbers of marginal_energy are finite in one record alone" in found.line
    assert beside(record, mine, theirs=mine).within


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"version": 9}, "yours is by version 9 of the measure, the published one by version 1"),
        ({"seed": 3}, "your seed is 3, the published one 0"),
        ({"n": 100}, "yours is of 100 examples, the published one of 200"),
        ({"settings": {"batch_size": 256, "stages": 5}}, "other settings (stages)"),
        ({"settings": {"batch_size": 4}}, "other settings (batch_size)"),
    ],
    ids=lambda given: str(given)[:24],
)
def test_a_measure_taken_otherwise_is_not_compared_and_says_why(
    record: Record, update: dict[str, object], words: str
) -> None:
    found = beside(changed(record, "energies", **update), arrays(), record)
    assert not found.within
    assert f"energies is not compared: {words}" in found.line
    assert found.note == "", "other conditions are no disagreement"


def test_how_the_work_was_cut_up_is_no_difference(record: Record) -> None:
    cut = changed(record, "energies", settings={"batch_size": 256, "shard_size": 7})
    assert beside(cut, arrays(), record).within


def test_another_precision_is_not_compared(record: Record) -> None:
    made: Measurement = record.measurements["standard"]
    other = changed(record, "standard", provenance=made.provenance.model_copy(update={"precision": "bf16"}))
    assert (
        "standard is not compared: yours is in bf16, the published one in fp32" in beside(other, arrays(), record).line
    )


def test_other_weights_another_suite_and_other_examples_are_not_compared_at_all(
    record: Record, record_of: RecordOf
) -> None:
    other = record.model_copy(update={"entrant": record.entrant.model_copy(update={"weights_sha256": "9" * 64})})
    found = beside(record, arrays(), other)
    assert found.line == found.note == "the published record is of other weights: not compared"
    assert not found.within
    elsewhere = record_of("A", robust=0.77, energies=-4.0, n=N, suite={"eps": 0.2})
    assert "under another threat model" in beside(record, arrays(), elsewhere).line
    part = record_of("A", limit=8)
    assert (
        beside(part, {}, record).line
        == "the published record is of all examples, yours of the first 8 examples: not compared"
    )
    of_a_part = record_of("A", limit=8, suite={"fingerprint": "8" * 64})
    assert beside(of_a_part, {}, record).line == beside(part, {}, record).line


def test_published_records_stand_beside_a_run_of_their_images_or_of_a_part_of_them(
    record_of: RecordOf, tmp_path: Path
) -> None:
    def collected(**given: object) -> Collected:
        record = record_of(**given)
        return Collected(record, record_path(Path(), record).as_posix(), {}, Home(tmp_path))

    part = {"fingerprint": "8" * 64}
    published = [collected(name="whole"), collected(name="part", limit=8, suite=part)]

    def beside_run(own: Collected) -> set[str]:
        return {item.record.entrant.name for item in shown([own], published) if item.published}

    assert beside_run(collected(name="mine")) == {"whole", "part"}
    assert beside_run(collected(name="mine", limit=8, suite=part)) == {"whole", "part"}
    assert beside_run(collected(name="mine", limit=8)) == {"whole"}, "other images in the place of the part"
    assert beside_run(collected(name="mine", suite={"fingerprint": "7" * 64})) == {"part"}
    assert beside_run(collected(name="mine", suite={"eps": 0.2})) == set()


def test_a_measure_that_was_not_published_is_named(record: Record, record_of: RecordOf) -> None:
    found = beside(record, arrays(), record_of("A", robust=0.77, n=N))
    assert "energies is not compared: it was not published" in found.line
    assert not found.within


@pytest.mark.parametrize(("mine", "whose"), [(True, "the published"), (False, "your")])
def test_missing_arrays_are_said_and_never_within(record: Record, mine: bool, whose: str) -> None:
    here, there = arrays(), arrays()
    del (there if mine else here)["energies"]
    found = beside(record, here, theirs=there)
    assert not found.within
    assert f"energies: {whose} arrays are missing" in found.line


def test_an_array_that_one_alone_has_is_named(record: Record) -> None:
    mine = arrays()
    mine["energies"]["new"] = np.zeros(N)
    assert "energies: 0 of 200 flags differ, numbers are equal, arrays of one record alone" in beside(record, mine).line


def test_a_value_edited_by_hand_differs_though_the_arrays_agree(record: Record) -> None:
    values = record.measurements["autoattack"].values
    better = {**values, "autoattack_accuracy": values["autoattack_accuracy"].model_copy(update={"value": 0.775})}
    found = beside(record, arrays(), changed(record, "autoattack", values=better))
    assert not found.within
    assert "AutoAttack 77.5, yours 77.0" in found.line
    assert "values differ: autoattack_accuracy" in found.line
