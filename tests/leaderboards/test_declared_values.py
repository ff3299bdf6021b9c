"""How values are read: as their measures declare it, on boards, pages and in downloads; records of before stay readable."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from leaderboards.board import formats
from leaderboards.board.board import make_board
from leaderboards.board.cells import make_grid
from leaderboards.board.columns import COLUMNS
from leaderboards.board.downloads import as_csv, as_json
from leaderboards.board.measures import shown
from leaderboards.board.quantities import assumed, declared
from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.home import Home
from leaderboards.records.schema import Measurement, Quantity, Record, Value

RecordOf = Callable[..., Record]
Written = Callable[..., Home]
DIGITS = SuitePage("digits", "Digits", "", "digits", "Linf", "0.1")


def joined(
    record: Record, measure: str, quantities: dict[str, Quantity], version: int = 1, number: float = 0.25
) -> Record:
    """A record with one measurement more: every declared value is `number`."""
    found = Measurement(
        measure=measure,
        version=version,
        n=360,
        seed=0,
        settings={},
        values={name: Value(value=number, low=number / 2, high=number * 2, n=360) for name in quantities},
        quantities=quantities,
        seconds=1.0,
        provenance=next(iter(record.measurements.values())).provenance,
    )
    return record.model_copy(update={"measurements": {**record.measurements, measure: found}})


def heading_of(record: Record, key: str) -> str:
    return {column.key: column.heading for column in shown(COLUMNS, make_board([record]).entries)}[key]


@pytest.mark.parametrize(
    ("unit", "heading", "text"),
    [
        ("fraction", "Title, %", "25.0"),
        ("count", "Title", "0"),
        ("seconds", "Title", f"0.2{formats.THIN}s"),
        ("energy", "Title", "0.250"),
        ("", "Title", "0.250"),
    ],
)
def test_a_number_is_written_in_its_declared_unit(record_of: RecordOf, unit: str, heading: str, text: str) -> None:
    said = Quantity(title="Title", unit=unit, kind="headline")  # type: ignore[arg-type]
    entries = make_board([joined(record_of(), "new", {"x": said})]).entries
    grid = make_grid(entries, shown(COLUMNS, entries))
    (place,) = (i for i, column in enumerate(grid.columns) if column.key == "new.x")
    assert (grid.columns[place].heading, grid.columns[place].group) == (heading, "new")
    assert grid.rows[0].cells[place].text == text


def test_a_detail_has_no_column_and_stands_on_the_entrants_page(
    record_of: RecordOf, written: Written, tmp_path: Path
) -> None:
    record = joined(record_of(), "new", {"x": Quantity(title="Fine print", unit="fraction")})
    assert "new.x" not in make_board([record]).table
    render(written(record), tmp_path / "site", [DIGITS])
    assert "Fine print" not in (tmp_path / "site/digits/index.html").read_text(encoding="utf-8")
    page = (tmp_path / "site/digits/Small.html").read_text(encoding="utf-8")
    assert f'<bdi>Fine print</bdi></th><td class="number"><span class="value">25.0{formats.THIN}%' in page


def test_where_two_records_declare_a_value_differently_the_newest_version_of_the_measure_says(
    record_of: RecordOf,
) -> None:
    old = joined(record_of("a"), "new", {"x": Quantity(title="Old", kind="headline")}, version=1)
    new = joined(record_of("b"), "new", {"x": Quantity(title="New", kind="headline", better="lower")}, version=2)
    for records in ([old, new], [new, old]):
        assert declared(records)["new", "x"].title == "New"
        column = next(c for c in shown(COLUMNS, make_board(records).entries) if c.key == "new.x")
        assert (column.heading, column.better, column.title) == ("New", "lower", "New. Lower is better.")


def test_records_of_before_measures_declared_anything_are_read_by_their_names(
    record_of: RecordOf, written: Written, tmp_path: Path
) -> None:
    old = record_of("Old", energies=-4.0, smoothness=2.0, declared=False)
    assert not any(m.quantities for m in old.measurements.values())
    entries = make_board([old]).entries
    columns = {column.key: column for column in shown(COLUMNS, entries)}
    assert (columns["autoattack_accuracy"].better, columns["marginal_energy_mean"].heading) == ("higher", "E(x), mean")
    render(written(old), tmp_path / "site", [DIGITS])
    page = (tmp_path / "site/digits/Old.html").read_text(encoding="utf-8")
    assert f'PGD: accuracy</bdi></th><td class="number"><span class="value">54.0{formats.THIN}%' in page
    assert assumed("apgd-t.accuracy").unit == assumed("accuracy_after.square").unit == "fraction"
    assert assumed("marginal_energy.mean") == Quantity(title="E(x), mean")
    # beside a record that declares them, its values are read like that one's
    assert declared([old, record_of("New", energies=-4.0)])["energies", "marginal_energy.mean"].heading == "Mean E(x)"


def test_a_declaration_cannot_leave_its_place(record_of: RecordOf, written: Written, tmp_path: Path) -> None:
    hostile = '</th><script>alert(1)</script>"\u202e\n=1+1' + "x" * 1000
    said = Quantity(title=hostile, short=hostile, description=hostile, kind="headline")
    record = joined(record_of("a"), "=cmd|' /C calc'!A0", {"x": said, "\n\u202e": said})
    render(written(record), tmp_path / "site", [DIGITS])
    for page in ("index.html", "a.html"):
        text = (tmp_path / "site" / "digits" / page).read_text(encoding="utf-8")
        assert "<script>alert(1)" not in text
    header = next(csv.reader(io.StringIO(as_csv(make_board([record]).entries))))
    assert all(name.isprintable() and name[0] not in "=+-@" for name in header)
    column = next(c for c in shown(COLUMNS, make_board([record]).entries) if c.source and c.source.value == "x")
    assert len(column.heading) <= 60
    assert column.heading.isprintable()


def test_no_measure_hides_another_number_by_its_name(record_of: RecordOf) -> None:
    said = Quantity(title="T", kind="headline")
    record = joined(record_of("a", robust=0.5), "autoattack_accuracy", {"low": said, "low.low": said}, number=7.0)
    (row,) = csv.DictReader(io.StringIO(as_csv(make_board([record]).entries)))
    assert 0 < float(row["autoattack_accuracy.low"]) < 0.5
    assert float(row["autoattack_accuracy.low_"]) == 7.0
    assert make_board([record]).table["autoattack_accuracy.low"][0] < 0.5


def test_the_download_says_how_each_measured_column_is_read(record_of: RecordOf) -> None:
    plain = json.loads(as_json({}, make_board([record_of(energies=-4.0)]).entries))
    assert plain["columns"]["marginal_energy_mean"] == {
        "measure": "energies",
        "value": "marginal_energy.mean",
        "title": "E(x), mean",
        "unit": "energy",
        "better": "neither",
    }
    assert plain["columns"]["autoattack_accuracy"]["better"] == "higher"
    assert "fid" not in " ".join(plain["columns"]), "a column in which nobody has anything needs no words"


def test_the_board_calls_a_known_value_what_its_measure_calls_it(record_of: RecordOf) -> None:
    record = record_of(smoothness=2.0)
    assert heading_of(record, "lipschitz_energy_normalised") == "Lipschitz of E / sd"
    assert heading_of(record, "autoattack_accuracy") == "Measured", "published ones stand beside it in its group"
