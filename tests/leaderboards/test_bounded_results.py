"""A bounded result is an interval wherever it is shown, and never stands above a complete one that it may not beat."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leaderboards.board.board import Basis, Board, Published, make_board
from leaderboards.board.by_energy import by_energy
from leaderboards.board.cells import make_grid
from leaderboards.board.columns import COLUMNS
from leaderboards.board.correlations import correlations
from leaderboards.board.downloads import as_csv, as_json
from leaderboards.charts.scatter import against_standard
from leaderboards.charts.stages import stage_chart
from leaderboards.pages.commands import measured_again as commands
from leaderboards.pages.comparison import comparison
from leaderboards.pages.details import section
from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.files import read_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Flag, Record, Value

RecordOf = Callable[..., Record]
WORDS = "an interval, not the full attack"


def bounded(record: Record, low: float, high: float) -> Record:
    """The record with a bounded AutoAttack accuracy in place of its number."""
    found = record.measurements["autoattack"]
    interval = Value(
        value=None, low=low, high=high, level=0.95, method="hypergeometric, one-sided", n=found.n, reason="bounded"
    )
    values = {
        "autoattack_accuracy": interval,
        **{name: found.values[name] for name in ("accuracy_after.apgd-ce", "accuracy_after.apgd-t")},
    }
    flag = Flag(code="bounded", message=WORDS)
    changed = found.model_copy(update={"values": values, "flags": (flag,), "settings": {"bounded": 0.1}})
    return record.model_copy(update={"measurements": {**record.measurements, "autoattack": changed}})


def ranks(board: Board) -> dict[str, int | None]:
    return {entry.name: entry.rank for entry in board.entries}


def test_a_bounded_value_is_no_number_and_says_its_interval(record_of: RecordOf) -> None:
    record = bounded(record_of("a"), 0.752, 0.759)
    value = record.measurements["autoattack"].values["autoattack_accuracy"]
    assert value.bounded
    assert np.isnan(float(value))
    assert str(value) == "0.752 to 0.759 (bounded), n = 360"
    assert record.measurements["autoattack"].bounded
    assert not record_of("b").measurements["autoattack"].bounded
    assert Record.model_validate_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("complete", "above"), [(0.80, True), (0.759, True), (0.755, True), (0.752, True), (0.751, False)]
)
def test_it_never_ranks_above_a_complete_one_that_its_interval_holds(
    record_of: RecordOf, complete: float, above: bool
) -> None:
    board = make_board([bounded(record_of("Bounded"), 0.752, 0.759), record_of("complete", robust=complete)])
    assert ranks(board) == ({"complete": 1, "Bounded": 2} if above else {"Bounded": 1, "complete": 2})
    assert {e.name: e.ranking[1] for e in board.entries if e.ranking}["Bounded"] is Basis.BOUNDED


def test_it_never_ranks_above_a_published_one_that_its_interval_holds(record_of: RecordOf) -> None:
    board = make_board([bounded(record_of("A"), 0.752, 0.759)], [Published("z", autoattack_accuracy=0.752)])
    assert ranks(board) == {"z": 1, "A": 2}


def test_its_cell_is_the_interval_with_a_word_and_an_explanation(record_of: RecordOf) -> None:
    board = make_board([bounded(record_of("a"), 0.752, 0.759), record_of("b", robust=0.7)])
    grid = make_grid(board.entries, COLUMNS)
    place = [column.key for column in grid.columns].index("autoattack_accuracy")
    cell = grid.rows[0].cells[place]
    assert (cell.text, cell.interval, cell.order) == ("75.2–75.9", "bounded", "0.752")
    assert "95 % confidence" in cell.says
    assert cell.bar is not None
    assert cell.bar.at is None


def test_downloads_hold_the_ends_no_number_and_the_word(record_of: RecordOf) -> None:
    board = make_board([bounded(record_of("a"), 0.752, 0.759), record_of("b", robust=0.7)])
    (first, second) = json.loads(as_json({}, board.entries))["entrants"]
    assert first["autoattack_accuracy"] is None
    assert (first["autoattack_accuracy.low"], first["autoattack_accuracy.high"]) == (0.752, 0.759)
    assert first["ranked_by"] == "measured, bounded"
    assert WORDS in first["notes"]
    assert second["ranked_by"] == "measured"
    row = next(csv.DictReader(io.StringIO(as_csv(board.entries))))
    assert (row["autoattack_accuracy"], row["ranked_by"]) == ("", "measured, bounded")
    assert row["autoattack_accuracy.low"] == "0.752"


def test_charts_draw_its_interval_and_no_mark(record_of: RecordOf) -> None:
    board = make_board([bounded(record_of("a"), 0.752, 0.759), record_of("b", robust=0.7)])
    chart = against_standard(board.entries)
    assert chart is not None
    rows = {row["name"]: row for row in chart.data}
    assert "y" not in rows["a"]
    assert (rows["a"]["yl"], rows["a"]["yh"]) == (75.2, 75.9)
    assert "y" in rows["b"]
    assert "bounded" in chart.says
    lines = stage_chart(board.entries)
    assert lines is not None
    assert {row["name"] for row in lines.data} == {"b"}
    compared = comparison(make_grid(board.entries, COLUMNS)).entrants[0]
    (interval,) = (row for row in compared.accuracies if row["kind"] == "robust")
    assert "x" not in interval
    assert (interval["low"], interval["high"], interval["source"]) == (75.2, 75.9, "measured, bounded")


def test_it_does_not_stand_in_for_a_published_figure_on_a_chart(record_of: RecordOf) -> None:
    other = record_of("a", standard=None, entrant={"source": "robustbench"})
    row = Published("a", standard_accuracy=0.9, autoattack_accuracy=0.755)
    board = make_board([bounded(other, 0.752, 0.759), record_of("b")], [row])
    assert against_standard(board.entries) is None


def test_numbers_by_example_leave_it_out(record_of: RecordOf, tmp_path: Path) -> None:
    complete = record_of("a", energies=-5.0, arrays=tmp_path)
    (by_autoattack, by_pgd) = (by_energy(record, tmp_path) for record in (complete, bounded(complete, 0.4, 0.5)))
    assert by_autoattack is not None
    assert by_pgd is not None
    assert by_autoattack.attack != by_pgd.attack
    records = [bounded(record_of(name, energies=-5.0), 0.4, 0.5) for name in "abcd"]
    assert correlations(make_board(records).entries) == ()


def test_pages_say_the_interval_and_the_command_asks_for_it(
    record_of: RecordOf, written: Callable[..., Home], tmp_path: Path
) -> None:
    record = bounded(record_of("Quick"), 0.752, 0.759)
    home = written(record)
    assert read_record(next(home.results.rglob("*.json"))) == record
    suite = SuitePage("digits", "Digits", "", "digits", "Linf", "0.1")
    render(home, tmp_path / "site", [suite])
    for page in ("index.html", "digits/index.html", "digits/Quick.html"):
        text = (tmp_path / "site" / page).read_text()
        assert "75.2–75.9" in text
        assert "bounded" in text
    assert WORDS in (tmp_path / "site" / "digits" / "Quick.html").read_text()
    assert "Bounded robust accuracy" in (tmp_path / "site" / "method.html").read_text()
    line = section(record.measurements["autoattack"]).lines[0]
    assert line.text.startswith("75.2–75.9")
    assert line.bar is not None
    assert line.bar.at is None
    assert any("autoattack:bounded" in command for command in commands(record))
