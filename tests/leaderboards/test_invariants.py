"""A record that contradicts itself is named, in a line, and one that does not is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaderboards.records.arrays import measured_arrays, read_arrays
from leaderboards.records.files import read_record, record_files
from leaderboards.records.home import Home
from leaderboards.records.invariants import broken_invariants, missed
from leaderboards.records.ranges import wilson
from leaderboards.records.schema import BestKnown, Bundle, Counterexamples, Record, Value
from leaderboards.records.witnesses import packed

SHIPPED = Home(Path(__file__).resolve().parents[2] / "leaderboards")
RecordOf = Callable[..., Record]
Arrays = dict[str, dict[str, np.ndarray]]


def arrays_of(folder: Path, record: Record) -> Arrays:
    return {name: measured_arrays(folder, found) for name, found in record.measurements.items() if found.arrays}


@pytest.fixture
def sound(record_of: RecordOf, tmp_path: Path) -> tuple[Record, Arrays]:
    """100 examples: AutoAttack leaves 50, PGD 70, and 90 are right to begin with."""
    record = record_of("A", standard=0.9, robust=0.5, energies=-4.0, arrays=tmp_path, n=100, suite={"examples": 100})
    found = arrays_of(tmp_path, record)
    assert broken_invariants(record, found) == []
    return record, found


def with_value(record: Record, measure: str, name: str, **changes: Any) -> Record:
    found = record.measurements[measure]
    values = {**found.values, name: found.values[name].model_copy(update=changes)}
    changed = {**record.measurements, measure: found.model_copy(update={"values": values})}
    return record.model_copy(update={"measurements": changed})


def counted(k: int, n: int = 100) -> dict[str, float]:
    low, high = wilson(k / n, n)
    return {"value": k / n, "low": low, "high": high}


def test_no_shipped_record_contradicts_itself() -> None:
    files = list(record_files(SHIPPED.results))
    assert files
    for path in files:
        record = read_record(path)
        assert broken_invariants(record, arrays_of(SHIPPED.arrays, record)) == [], path.name


@pytest.mark.parametrize(
    ("measure", "name", "changes", "said"),
    [
        ("standard", "standard_accuracy", counted(40), "accuracy_after.apgd-ce is 0.53, above standard_accuracy, which is 0.4"),
        ("standard", "standard_accuracy", {"high": 0.99}, "another interval than 100 examples give"),
        ("standard", "standard_accuracy", {"value": 1.2}, "is no share of the examples"),
        ("standard", "standard_accuracy", {"value": float("nan")}, "which is no number"),
        ("standard", "standard_accuracy", {"n": 99}, "rests on 99 examples, and 100 were judged"),
        ("autoattack", "autoattack_accuracy", counted(60), "autoattack_accuracy is 0.6, and 50 of 100 in its arrays"),
        ("autoattack", "accuracy_after.fab-t", counted(60), "accuracy_after.fab-t is 0.6, above accuracy_after.apgd-t"),
        ("energies", "pgd.accuracy", counted(71), "pgd.accuracy is 0.71, and 70 of 100 in its arrays"),
        ("energies", "pgd.accuracy", counted(40), "more than 0.02 above pgd alone, which is 0.4"),
        ("autoattack", "autoattack_accuracy", {"value": None}, "its settings do not say so"),
    ],
)  # fmt: skip
def test_a_number_that_cannot_be_is_named(
    sound: tuple[Record, Arrays], measure: str, name: str, changes: dict[str, Any], said: str
) -> None:
    record, found = sound
    lines = broken_invariants(with_value(record, measure, name, **changes), found)
    assert any(said in line for line in lines), lines


@pytest.mark.parametrize(
    ("row", "stage", "reached", "said"),
    [
        (0, 0, 0, "49 of 100 in its arrays"),
        (0, 5, 4, "1 examples have a stage that there is not"),
        (0, 4, 3, "1 examples were not attacked to the end"),
        (99, -1, 2, "1 examples ran to the end of the stage that broke them"),
        (99, 0, 0, "differ in 1 natural images, the first is example 99"),
    ],
)
def test_a_flag_that_cannot_be_is_named(
    sound: tuple[Record, Arrays], row: int, stage: int, reached: int, said: str
) -> None:
    record, found = sound
    found["autoattack"]["stage"][row], found["autoattack"]["reached"][row] = stage, reached
    lines = broken_invariants(record, found)
    assert any(said in line for line in lines), lines


def test_an_example_that_a_single_attack_breaks_alone_is_told_and_many_are_a_contradiction(
    sound: tuple[Record, Arrays],
) -> None:
    record, found = sound
    correct = found["energies"]["pgd.correct"]
    correct[[0, 69]] = [False, True]
    correct[70] = True
    record = with_value(record, "energies", "pgd.accuracy", **counted(int(correct.sum())))
    assert broken_invariants(record, found) == []
    assert missed(record, found) == [
        "pgd of energies broke 1 of the examples that AutoAttack left: fewer are robust than its number says"
    ]


def test_arrays_of_another_number_of_examples_are_named(sound: tuple[Record, Arrays]) -> None:
    record, found = sound
    found["autoattack"] = {name: array[:-1] for name, array in found["autoattack"].items()}
    assert "autoattack: its array stage has 99 rows, and it says 100 examples" in broken_invariants(record, found)


def test_witnesses_are_of_the_broken_examples_and_of_no_others(sound: tuple[Record, Arrays]) -> None:
    record, found = sound
    broken = np.flatnonzero((found["autoattack"]["stage"] >= 0) & (found["autoattack"]["stage"] < 4))
    attacked = record.measurements["autoattack"]
    bundle = Bundle(sha256="a" * 64, n=len(broken), size=1)
    record = record.model_copy(
        update={
            "measurements": {**record.measurements, "autoattack": attacked.model_copy(update={"witnesses": bundle})}
        }
    )

    def lines(examples: np.ndarray) -> list[str]:
        x = np.zeros((len(examples), 1, 2, 2), np.float32)
        return broken_invariants(record, found, {"autoattack": packed(examples, x, x)})

    assert lines(broken) == []
    assert lines(broken[1:]) == [
        f"autoattack: flags and witnesses differ in 1 examples: {broken[0]} is broken, and has no witness"
    ]
    assert lines(np.append(broken, 0)) == [
        "autoattack: flags and witnesses differ in 1 examples: 0 is no broken one, and has a witness"
    ]


def test_what_is_best_known_is_what_nothing_broke(sound: tuple[Record, Arrays]) -> None:
    record, found = sound
    x = np.zeros((2, 1, 2, 2), np.float32)
    beside = Counterexamples(
        source="challenge", who="A", how="B", found_at="2026-11-21", witnesses=Bundle(sha256="b" * 64, n=2, size=1)
    )

    def lines(share: float, examples: list[int], n: int = 100) -> list[str]:
        count = round(100 * share)
        known = BestKnown(value=Value(**counted(count), level=0.95, method="wilson", n=n), found=(beside,))
        bundles = {"found 1": packed(np.array(examples), x, x)}
        return broken_invariants(record.model_copy(update={"best_known": known}), found, bundles)

    assert lines(0.48, [3, 4]) == []
    assert lines(0.47, [3, 4]) == [
        "best_known: it says 0.47, and 48 of 100 examples are broken by nothing that it names"
    ]
    assert any("broken before it" in line for line in lines(0.49, [3, 60]))
    assert any("no share of 100 examples" in line for line in lines(0.48, [3, 4], n=99))


def test_what_is_best_known_is_counted_where_its_bundle_is_not_here(sound: tuple[Record, Arrays]) -> None:
    """Else a record could name images that nobody has, and say that they broke nothing."""
    record, found = sound
    beside = Counterexamples(
        source="challenge", who="A", how="B", found_at="2026-11-21", witnesses=Bundle(sha256="b" * 64, n=2, size=1)
    )
    for count, said in (
        (48, []),
        (50, ["best_known: it says 0.5, and 48 of 100 examples are broken by nothing that it names"]),
    ):
        known = BestKnown(value=Value(**counted(count), level=0.95, method="wilson", n=100), found=(beside,))
        assert broken_invariants(record.model_copy(update={"best_known": known}), found) == said


def test_wilsons_interval_is_that_of_statsmodels() -> None:
    from statsmodels.stats.proportion import proportion_confint

    for count, n in ((0, 7), (3, 7), (7, 7), (43, 200), (1, 10_000)):
        assert wilson(count / n, n) == pytest.approx(proportion_confint(count, n, method="wilson"), abs=1e-9)


def test_the_fixture_has_the_arrays_that_it_says(sound: tuple[Record, Arrays], tmp_path: Path) -> None:
    arrays = sound[0].measurements["autoattack"].arrays
    assert arrays is not None
    assert set(read_arrays(tmp_path, arrays)) == set(arrays.names)
