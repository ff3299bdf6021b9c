"""Boards and correlations take a figure at the calibrated scale of the logits where a record has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leaderboards.board.board import make_board
from leaderboards.board.correlations import comparable, correlations
from leaderboards.records.schema import Record, Value

RecordOf = Callable[..., Record]
RAW, CALIBRATED = "lipschitz_energy_normalised", "lipschitz_energy_calibrated"


def with_calibrated(record: Record, number: float) -> Record:
    found = record.measurements["smoothness"]
    values = {**found.values, f"{CALIBRATED}.mean": Value(value=number, n=found.n)}
    measurements = {**record.measurements, "smoothness": found.model_copy(update={"values": values})}
    return record.model_copy(update={"measurements": measurements})


@pytest.fixture
def old(record_of: RecordOf) -> list[Record]:
    return [record_of(name, robust=0.1 * k + 0.1, smoothness=5.0 - k) for k, name in enumerate("abcde")]


def test_a_board_of_old_records_shows_the_figures_that_they_have(old: list[Record]) -> None:
    board = make_board(old)
    assert list(board.table[RAW]) == [1, 2, 3, 4, 5]
    assert comparable(board.entries, "smoothness", f"{RAW}.mean") == f"{RAW}.mean"


def test_the_calibrated_figure_takes_the_place_of_the_raw_one(old: list[Record]) -> None:
    board = make_board([with_calibrated(record, 10.0 + k) for k, record in enumerate(old)])
    assert RAW not in board.table
    assert list(board.table[CALIBRATED]) == [14, 13, 12, 11, 10]
    found = next(one for one in correlations(board.entries) if "Lipschitz constant of E(x)" in one.label)
    assert "at the calibrated scale" in found.label
    assert found.rho == pytest.approx(1)  # the raw one has -1


def test_an_old_record_beside_a_new_one_has_no_number_in_a_calibrated_column(old: list[Record]) -> None:
    board = make_board([with_calibrated(old[0], 7.0), *old[1:]])
    numbers = dict(zip(board.table["entrant"], board.table[CALIBRATED], strict=True))
    assert numbers["a"] == 7
    assert all(number != number for name, number in numbers.items() if name != "a")
