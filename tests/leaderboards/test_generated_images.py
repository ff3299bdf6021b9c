"""Scores of generated images on boards and pages: which of them may stand in one column, and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from leaderboards.board.board import make_board
from leaderboards.board.columns import COLUMNS
from leaderboards.board.entry import Entry
from leaderboards.board.generation import generation_columns, score_rows, score_tables, with_generation
from leaderboards.charts.scatter import AXES, against
from leaderboards.pages.commands import measured_again as commands
from leaderboards.pages.gallery import LARGEST, gallery, samples_folder
from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.files import read_record, write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Arrays, Measurement, Record, Value

RecordOf = Callable[..., Record]
RECORD = Path(__file__).resolve().parents[2] / "leaderboards" / "results" / "digits" / "standard.json"
DECLARED = read_record(RECORD).measurements["generation"].quantities
DIGITS = {"name": "digits-features", "sha256": "d" * 64}
INCEPTION = {"name": "inception-v3-compat", "sha256": "e" * 64}


def generated(
    record: Record, fid: float | None, extractor: Any = DIGITS, n: int = 1000, train: str = "a" * 64
) -> Record:
    values = {
        f"{prefix}{name}": Value(value=number, n=count, method="digits-features dddddddd", reason=reason)
        for prefix, count, factor in (("", n, 1.0), ("starts.", n, 2.0), ("held_out.", 400, 0.5))
        for name, number, reason in (
            ("fid", None if fid is None else fid * factor, "" if fid is not None else "no feature extractor"),
            ("kid", None, "KID needs at least its subsets' 1000 images, got 400"),
            ("inception_score", 9.0 * factor, ""),
        )
    }
    measurement = Measurement(
        measure="generation",
        version=1,
        n=n,
        seed=0,
        settings={"preset": "short", "extractor": extractor, "train": {"fingerprint": train, "images": 1397}},
        values=values,
        quantities={name: said for name, said in DECLARED.items() if name in values},
        arrays=Arrays(sha256="b" * 64, names=("label",)),
        seconds=4.0,
        provenance=next(iter(record.measurements.values())).provenance,
    )
    return record.model_copy(update={"measurements": {**record.measurements, "generation": measurement}})


def fids(*records: Record) -> dict[str, dict[str, float]]:
    table = make_board(records).table.set_index("entrant")
    return {
        key: table[key].dropna().to_dict()
        for key in table.columns
        if key.startswith("fid_") and table[key].notna().any()
    }


def test_scores_of_one_extractor_and_one_number_of_images_share_a_column(record_of: RecordOf) -> None:
    (column,) = fids(generated(record_of("One"), 10.0), generated(record_of("Two"), 20.0)).values()
    assert column == {"One": 10.0, "Two": 20.0}


@pytest.mark.parametrize(
    "other",
    [
        {"extractor": INCEPTION},
        {"extractor": {**DIGITS, "sha256": "c" * 64}},
        {"n": 10_000},
        {"train": "9" * 64},
    ],
    ids=["extractor", "its weights", "images", "real images"],
)
def test_scores_that_do_not_compare_never_share_a_column(record_of: RecordOf, other: dict[str, Any]) -> None:
    found = fids(generated(record_of("One"), 10.0), generated(record_of("Two"), 20.0, **other))
    assert sorted(found.values(), key=str) == [{"One": 10.0}, {"Two": 20.0}]


def test_a_column_names_its_extractor_and_says_what_it_compares_with(record_of: RecordOf) -> None:
    columns = generation_columns([Entry(generated(record_of(), 10.0))])
    assert [column.heading for column in columns] == ["FID", "FID, 0 steps", "KID", "IS", "Time / 1,000"]
    assert {column.group for column in columns} == {"Generation, 1,000 images, digits-features dddddddd"}
    assert "digits-features (sha256 dddddddddddddddd" in columns[0].title
    assert columns[-1].get(Entry(generated(record_of(), 10.0))) == 4.0


@pytest.mark.parametrize("extractor", [None, "digits", {}, {"name": 3, "sha256": []}])
def test_without_an_extractor_there_is_no_column(record_of: RecordOf, extractor: Any) -> None:
    entries = [Entry(generated(record_of(), None, extractor)), Entry(record_of("Other"))]
    assert generation_columns(entries) == ()
    assert with_generation(COLUMNS, entries) == COLUMNS


def compared(record: Record, fid: float, failed: int = 0) -> Record:
    """With scores at 400 images each beside those at the record's own numbers."""
    found = generated(record, fid)
    measurement = found.measurements["generation"]
    values = dict(measurement.values)
    values["fid"] = values["fid"].model_copy(update={"n": 1000 - failed})
    for prefix, number in (("", fid + 8.0), ("starts.", 2 * fid + 8.0), ("held_out.", fid / 2)):
        values[f"equal_n.{prefix}fid"] = Value(value=number, n=400)
    changed = measurement.model_copy(update={"values": values})
    return found.model_copy(update={"measurements": {**found.measurements, "generation": changed}})


def test_the_starts_and_held_out_images_stand_beside_the_generated_ones_at_their_own_number(
    record_of: RecordOf,
) -> None:
    rows = score_rows(generated(record_of(), 10.0).measurements["generation"])
    assert [(row.label, row.cells[0], row.n) for row in rows] == [
        ("Generated", "10.00", "1,000"),
        ("Starts alone (0 steps)", "20.00", "1,000"),
        ("Held-out real images", "5.000", "400"),
    ]
    assert rows[0].reasons == ("KID needs at least its subsets' 1000 images, got 400",)
    assert [(table.images, len(table.rows)) for table in score_tables(rows)] == [(1000, 2), (400, 1)]


def test_no_two_numbers_of_images_stand_in_one_table_of_the_page(record_of: RecordOf, tmp_path: Path) -> None:
    record = compared(record_of("One"), 10.0, failed=3)
    alike, whole, fewer = score_tables(score_rows(record.measurements["generation"]))
    assert (alike.images, whole.images, fewer.images) == (400, 1000, 997)
    assert [(row.label, alike.cells(row)[0]) for row in alike.rows] == [
        ("Generated", "18.00"),
        ("Starts alone (0 steps)", "28.00"),
        ("Held-out real images", "5.000"),
    ]
    for table in (alike, whole, fewer):
        assert {row.images for row in table.rows} == {table.images}

    write_record(tmp_path / "results", record)
    suite = SuitePage("digits", "Digits", "", "digits", "Linf", "0.1")
    render(Home(tmp_path), tmp_path / "site", [suite])
    page = (tmp_path / "site" / "digits" / "One.html").read_text()
    assert "Generated, Starts alone (0 steps), Held-out real images: 400 images each" in page
    assert "Generated: 997 images each" in page


def test_a_score_stands_on_the_board_under_its_own_number_of_images_where_draws_failed(record_of: RecordOf) -> None:
    found = fids(compared(record_of("One"), 10.0), compared(record_of("Two"), 20.0, failed=3))
    assert sorted(found.values(), key=str) == [{"One": 10.0}, {"Two": 20.0}]
    alone = [column.group for column in generation_columns([Entry(compared(record_of(), 10.0, failed=3))])]
    assert alone.count("Generation, 997 images, digits-features dddddddd") == 1


def test_the_chart_of_fid_sets_only_scores_of_one_number_of_images_side_by_side(record_of: RecordOf) -> None:
    axis = next(axis for axis in AXES if axis.key == "fid")
    entries = [
        Entry(generated(record_of(name), fid, n=n))
        for name, fid, n in (("One", 10.0, 1000), ("Two", 20.0, 1000), ("Three", 5.0, 10_000))
    ]
    chart = against(entries, axis)
    assert chart is not None
    assert [row["name"] for row in chart.data] == ["One", "Two"]
    assert against(entries[1:], axis) is None


def test_the_command_names_the_preset(record_of: RecordOf) -> None:
    (command,) = commands(generated(record_of(robust=None), 10.0))
    assert "--measures standard,generation:short" in command


def test_a_page_shows_the_pictures_of_its_own_measurement_and_no_others(record_of: RecordOf, tmp_path: Path) -> None:
    record = generated(record_of(), 10.0)
    folder = samples_folder(tmp_path / "samples", record)
    assert folder == tmp_path / "samples" / "digits" / "Small"
    folder.mkdir(parents=True)

    def picture(name: str, mark: str, klass: str, size: int = 4) -> None:
        words = PngInfo()
        words.add_itxt("measurement", mark)
        words.add_itxt("class", klass)
        Image.effect_noise((size, size), 90).save(folder / name, pnginfo=words)

    picture("class-000.png", "b" * 64, "<b>cat</b>")
    picture("class-001.png", "a" * 64, "of other draws")
    picture("class-002.png", "b" * 64, "too large", 900)
    assert (folder / "class-002.png").stat().st_size > LARGEST
    (folder / "class-003.png").write_bytes(b"no picture")
    (found,) = gallery(tmp_path / "samples", record, "generation")
    assert (found.title, found.width, found.height) == ("<b>cat</b>", 4, 4)
    assert gallery(None, record, "generation") == gallery(tmp_path / "samples", record_of(), "generation") == ()

    write_record(tmp_path / "results", record)
    suite = SuitePage("digits", "Digits", "", "digits", "Linf", "0.1")
    render(Home(tmp_path), tmp_path / "site", [suite])
    page = (tmp_path / "site" / "digits" / "Small.html").read_text()
    assert page.count("<img ") == 1
    assert "&lt;b&gt;cat&lt;/b&gt;" in page
    assert "img-src data:" in page
    board = (tmp_path / "site" / "digits" / "index.html").read_text()
    assert "Generation, 1,000 images, digits-features dddddddd" in board
