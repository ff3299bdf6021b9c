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
from leaderboards.board.generation import generation_columns, score_rows, with_generation
from leaderboards.pages.details import commands
from leaderboards.pages.gallery import LARGEST, gallery, samples_folder
from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.files import read_record, write_record
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


def test_the_starts_and_held_out_images_stand_beside_the_generated_ones(record_of: RecordOf) -> None:
    rows = score_rows(generated(record_of(), 10.0).measurements["generation"])
    assert [(row.label, row.cells[0], row.n) for row in rows] == [
        ("Generated", "10.000", "1,000"),
        ("Starts alone (0 steps)", "20.000", "1,000"),
        ("Held-out real images", "5.000", "400"),
    ]
    assert rows[0].reasons == ("KID needs at least its subsets' 1000 images, got 400",)


def test_the_command_names_the_preset(record_of: RecordOf) -> None:
    (command,) = commands(generated(record_of(robust=None), 10.0))
    assert "--measures standard,generation:short" in command


def test_a_page_shows_the_pictures_of_its_own_measurement_and_no_others(record_of: RecordOf, tmp_path: Path) -> None:
    record = generated(record_of(), 10.0)
    folder = samples_folder(tmp_path, record)
    assert folder == tmp_path / "digits" / "Small"
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
    (found,) = gallery(tmp_path, record, "generation")
    assert (found.title, found.width, found.height) == ("<b>cat</b>", 4, 4)
    assert gallery(None, record, "generation") == gallery(tmp_path, record_of(), "generation") == ()

    write_record(tmp_path / "results", record)
    suite = SuitePage("digits", "Digits", "", "digits", "Linf", "0.1")
    render(tmp_path / "results", tmp_path / "site", [suite], samples=tmp_path)
    page = (tmp_path / "site" / "digits" / "Small.html").read_text()
    assert page.count("<img ") == 1
    assert "&lt;b&gt;cat&lt;/b&gt;" in page
    assert "img-src data:" in page
    board = (tmp_path / "site" / "digits" / "index.html").read_text()
    assert "Generation, 1,000 images, digits-features dddddddd" in board
