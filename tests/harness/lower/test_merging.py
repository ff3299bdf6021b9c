"""What was found beside AutoAttack, when AutoAttack is measured again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.run.best_known import known_of, with_found
from harness.run.merging import Merge
from leaderboards.records.files import record_path, write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Counterexamples, Record, Value
from leaderboards.records.witnesses import packed, read_witnesses, write_witnesses


def found_beside(home: Home, record: Record, greys, example: int) -> Record:
    """The record with an image that somebody found of an example that AutoAttack left."""
    at = np.array([example])
    held = packed(at, greys.images().images.numpy()[at], greys.shifted(0.08, at))
    one = Counterexamples(
        source="challenge",
        who="Ada",
        how="by hand",
        found_at="2026-11-21T10:00:00+00:00",
        witnesses=write_witnesses(home.witnesses, held),
    )
    record = with_found(record, known_of(home, record).without(at), [one])
    write_record(home.results, record)
    return record


def measured(record: Record, **changes) -> Record:
    """What a run would write: AutoAttack alone, changed, and nothing beside it."""
    attack = record.measurements["autoattack"].model_copy(update=changes)
    return record.model_copy(update={"measurements": {"autoattack": attack}, "best_known": None})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_bounded_answer_of_another_engine_does_not_lose_what_somebody_found(greys, home: Home) -> None:
    old = found_beside(home, greys.recorded(home, greys.judged("A"), {0: 0.08}), greys, 1)
    interval = Value(value=None, low=0.5, high=0.6, level=0.95, n=8)
    bounded = measured(old, values={"autoattack_accuracy": interval}, settings={"engine": "other", "bounded": 0.1})
    now = Merge(home)(bounded)
    assert now == old
    assert [len(read_witnesses(home.witnesses, one)) for one in now.bundles.values()] == [1, 1]


def test_what_broke_a_network_in_one_precision_is_nothing_known_of_it_in_another(greys, home: Home) -> None:
    old = found_beside(home, greys.recorded(home, greys.judged("A"), {0: 0.08}), greys, 1)
    made = old.measurements["autoattack"].provenance
    assert Merge(home)(measured(old)).best_known == old.best_known
    now = Merge(home)(measured(old, provenance=made.model_copy(update={"precision": "bf16"})))
    assert now.best_known is None
    assert record_path(home.results, now).is_file()
