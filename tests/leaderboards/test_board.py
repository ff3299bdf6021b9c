"""Who stands where on a board, beside whom, and with which words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from leaderboards.board import formats
from leaderboards.board.board import Basis, Board, Published, limits, make_board
from leaderboards.board.cells import Scale, make_grid
from leaderboards.board.columns import COLUMNS, STAGE_COLUMNS
from leaderboards.board.partial import partial_columns
from leaderboards.records.schema import Flag, Record, Value

RecordOf = Callable[..., Record]
FROM_ROBUSTBENCH = {"source": "robustbench"}


def ranks(board: Board) -> dict[str, int | None]:
    return {entry.name: entry.rank for entry in board.entries}


def row(board: Board, name: str) -> Any:
    return board.table.set_index("entrant").loc[name]


def without_autoattack(record: Record, value: float | None, reason: str = "") -> Record:
    plain = json.loads(record.to_json())
    plain["measurements"]["autoattack"]["values"]["autoattack_accuracy"] = {"value": value, "n": 0, "reason": reason}
    return Record.model_validate(plain)


def test_an_empty_board_is_a_board() -> None:
    board = make_board([])
    assert (board.suite, board.entries, board.incomparable, board.limit) == (None, (), (), None)
    assert limits([]) == ()
    assert list(board.table.columns[:3]) == ["rank", "entrant", "ranked_by"]
    assert len(board.table) == len(board.stages) == 0


def test_the_higher_measured_autoattack_accuracy_stands_first(record_of: RecordOf) -> None:
    board = make_board([record_of("low", robust=0.2), record_of("high", robust=0.6), record_of("mid", robust=0.4)])
    assert list(board.table["entrant"]) == ["high", "mid", "low"]
    assert list(board.table["rank"]) == [1, 2, 3]


def test_ties_share_a_rank(record_of: RecordOf) -> None:
    robust = {"d": 0.1, "c": 0.5, "B": 0.5, "a": 0.9}
    board = make_board(record_of(name, robust=value) for name, value in robust.items())
    assert ranks(board) == {"a": 1, "B": 2, "c": 2, "d": 4}
    assert list(ranks(board)) == ["a", "B", "c", "d"]


def test_a_tie_survives_the_way_a_percentage_was_divided(record_of: RecordOf) -> None:
    board = make_board([record_of("a", robust=0.5728)], [Published("b", autoattack_accuracy=57.28 / 100 + 1e-16)])
    assert set(ranks(board).values()) == {1}


def test_the_order_does_not_depend_on_the_order_of_the_records(record_of: RecordOf) -> None:
    records = [record_of(name, robust=robust) for name, robust in (("b", 0.5), ("a", 0.5), ("A", 0.5), ("c", 0.7))]
    assert make_board(records) == make_board(reversed(records))


def test_what_was_measured_goes_before_what_is_published(record_of: RecordOf) -> None:
    published = Published("a", autoattack_accuracy=0.9, best_known_accuracy=0.8)
    entry = make_board([record_of("a", robust=0.3, entrant=FROM_ROBUSTBENCH)], [published]).entries[0]
    assert entry.ranking == (0.3, Basis.MEASURED)


def test_the_best_known_published_accuracy_goes_before_autoattacks() -> None:
    board = make_board(
        [],
        [
            Published("only", autoattack_accuracy=0.70),
            Published("doubted", autoattack_accuracy=0.75, best_known_accuracy=0.65),
        ],
    )
    assert ranks(board) == {"only": 1, "doubted": 2}
    assert list(board.table["ranked_by"]) == ["published", "published, best known"]


def test_measured_and_published_entrants_are_told_apart_by_words(record_of: RecordOf) -> None:
    board = make_board([record_of("here", robust=0.3)], [Published("there", autoattack_accuracy=0.5)])
    assert list(board.table["ranked_by"]) == ["published", "measured"]


def test_a_measured_entrant_and_its_published_row_share_one_line(record_of: RecordOf) -> None:
    published = Published(
        "a", standard_accuracy=0.93, autoattack_accuracy=0.52, venue="ICML 2023", additional_data=True
    )
    board = make_board([record_of("a", standard=0.95, robust=0.5, entrant=FROM_ROBUSTBENCH)], [published])
    assert len(board.entries) == 1
    line = row(board, "a")
    assert line["autoattack_accuracy"] == 0.5
    assert line["published_autoattack_accuracy"] == 0.52
    assert line["autoattack_difference"] == pytest.approx(-0.02)
    assert line["standard_difference"] == pytest.approx(0.02)
    assert line["additional_data"] == "yes"
    assert board.entries[0].text("venue") == "ICML 2023"


def test_a_stranger_of_the_same_name_gets_no_published_numbers(record_of: RecordOf) -> None:
    board = make_board(
        [record_of("a", robust=0.5, entrant={"source": "checkpoint"})], [Published("a", autoattack_accuracy=0.7)]
    )
    assert [(e.record is not None, e.published is not None) for e in board.entries] == [(False, True), (True, False)]
    assert board.table["autoattack_difference"].isna().all()


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_an_accuracy_that_is_no_number_ranks_nobody(record_of: RecordOf, value: float | None) -> None:
    board = make_board([without_autoattack(record_of("broken"), value, "no examples"), record_of("fine", robust=0.0)])
    assert ranks(board) == {"fine": 1, "broken": None}
    assert row(board, "broken")["ranked_by"] == "not ranked"
    assert "not ranked: no robust accuracy (no examples)" in board.entries[1].notes


def test_where_autoattack_was_not_measured_the_published_accuracy_ranks(record_of: RecordOf) -> None:
    record = record_of("a", robust=None, entrant=FROM_ROBUSTBENCH)
    board = make_board([record], [Published("a", autoattack_accuracy=0.6)])
    assert board.entries[0].ranking == (0.6, Basis.PUBLISHED)
    assert math.isnan(row(board, "a")["autoattack_accuracy"])


def test_every_number_of_first_examples_has_a_board_and_no_record_stands_on_two(record_of: RecordOf) -> None:
    records = [
        *(record_of("whole", robust=0.3), record_of("both", robust=0.2), record_of("both", robust=0.9, limit=64)),
        *(record_of("part", robust=0.95, limit=64), record_of("part", limit=8)),
    ]
    assert limits(records) == (64, 8)
    boards = {limit: make_board(records, limit=limit) for limit in (None, *limits(records))}
    assert {limit: ranks(board) for limit, board in boards.items()} == {
        None: {"whole": 1, "both": 2},
        64: {"part": 1, "both": 2},
        8: {"part": 1},
    }
    stand = [entry.record for board in boards.values() for entry in board.entries]
    assert all(sum(record is other for other in stand) == 1 for record in records)
    assert [board.limit for board in boards.values()] == [None, 64, 8]
    assert "n" not in boards[None].table
    assert list(boards[64].table["n"]) == [64, 64]


def test_ranks_of_the_first_examples_count_the_measured_alone_among_published_rows(record_of: RecordOf) -> None:
    rows = [Published(name, autoattack_accuracy=robust) for name, robust in (("p9", 0.9), ("p6", 0.6), ("p1", 0.1))]
    measured = {"m8": 0.8, "m7": 0.7, "m7b": 0.7, "m5": 0.5}
    board = make_board([record_of(name, robust=robust, limit=50) for name, robust in measured.items()], rows, limit=50)
    assert list(ranks(board).items()) == [
        *(("p9", None), ("m8", 1), ("m7", 2), ("m7b", 2), ("p6", None), ("m5", 4), ("p1", None))
    ]
    assert [entry.place for entry in board.entries] == [1, 2, 3, 3, 5, 6, 7]
    assert list(board.table["n"]) == [360, 50, 50, 50, 360, 50, 360], "published numbers are of the whole suite"
    assert not any(entry.notes for entry in board.entries)
    grid = make_grid(board.entries, board.columns)
    assert [(row.cells[0].text, float(row.cells[0].order)) for row in grid.rows[:3]] == [("", 1), ("1", 2), ("2", 3)]
    whole = make_board([record_of(name, robust=robust) for name, robust in measured.items()], rows)
    assert [entry.rank for entry in whole.entries] == [entry.place for entry in whole.entries] == [1, 2, 3, 3, 5, 6, 7]


def test_a_published_number_of_all_images_gives_no_rank_among_the_first_ones(record_of: RecordOf) -> None:
    row = Published("a", autoattack_accuracy=0.6, title="T")
    record = record_of("a", robust=None, limit=8, entrant=FROM_ROBUSTBENCH)
    board = make_board([record, record_of("b", robust=0.5, limit=8)], [row], limit=8)
    assert list(ranks(board).items()) == [("a", None), ("b", 1)]
    assert board.entries[0].text("title") == "T"
    assert board.entries[0].notes == ("not ranked: no robust accuracy of these images",)
    assert ranks(make_board([record], [row])) == {"a": 1}, "on the board of all images it keeps its place"


def test_a_short_measurement_says_so_among_the_first_examples_too(record_of: RecordOf) -> None:
    board = make_board([record_of("a", limit=64), record_of("b", limit=64, n=10, robust=0.1)], limit=64)
    assert "autoattack: on 10 examples, others on 64" in row(board, "b")["notes"]
    assert row(board, "a")["notes"] == ""


def test_the_newest_version_of_a_suite_stands_on_the_board(record_of: RecordOf) -> None:
    old = [record_of(f"old{i}", suite={"version": 1}) for i in range(3)]
    board = make_board([*old, record_of("new", suite={"version": 2})])
    assert list(ranks(board)) == ["new"]
    assert {other.entry.name: other.reason for other in board.incomparable} == {
        f"old{i}": "measured on version 1 of the suite; the board shows version 2" for i in range(3)
    }


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ({"fingerprint": "0" * 64}, "on other images or labels (fingerprint 00000000; the board's is ffffffff)"),
        ({"eps": 0.05}, "with eps 0.05 instead of 0.1 under the same version"),
        ({"norm": "L2"}, "with norm L2 instead of Linf under the same version"),
        ({"examples": 100}, "with examples 100 instead of 360 under the same version"),
    ],
)
def test_records_of_another_task_are_not_compared(record_of: RecordOf, difference: dict[str, Any], words: str) -> None:
    board = make_board([record_of("a"), record_of("b"), record_of("odd", robust=1.0, suite=difference)])
    assert list(ranks(board)) == ["a", "b"]
    assert [other.entry.name for other in board.incomparable] == ["odd"]
    assert words in board.incomparable[0].reason


def test_where_two_tasks_are_level_the_later_measured_one_stands(record_of: RecordOf) -> None:
    late = {"measured_at": "2027-01-01T00:00:00Z"}
    board = make_board([record_of("a"), record_of("b", suite={"fingerprint": "0" * 64}, provenance=late)])
    assert list(ranks(board)) == ["b"]


def test_the_first_examples_of_another_task_are_not_compared_either(record_of: RecordOf) -> None:
    records = [record_of("a"), *(record_of(name, limit=8, suite={"version": v}) for name, v in (("b", 9), ("c", 3)))]
    board = make_board(records, limit=8)
    assert (ranks(board), [other.entry.name for other in board.incomparable]) == ({"b": 1}, ["c"])
    assert make_board(records).incomparable == ()


def test_flags_show_their_words(record_of: RecordOf) -> None:
    flags = (Flag(code="zero-gradients", message="zero gradients on 3 examples"), Flag(code="mixed-run", message=""))
    board = make_board([record_of("a", flags=flags), record_of("b", robust=0.1)])
    assert row(board, "a")["notes"] == "autoattack: zero gradients on 3 examples; autoattack: mixed run"
    assert row(board, "b")["notes"] == ""


def test_runs_that_differ_from_the_others_say_so(record_of: RecordOf) -> None:
    board = make_board(
        [
            record_of("usual", version=2),
            record_of("old", version=1, robust=0.4),
            record_of("short", version=2, n=100, robust=0.3),
            record_of("half", version=2, provenance={"precision": "bf16"}, robust=0.2),
        ]
    )
    assert row(board, "usual")["notes"] == ""
    assert "autoattack: by version 1 of the measure, others by version 2" in row(board, "old")["notes"]
    assert "autoattack: on 100 examples, others on 360" in row(board, "short")["notes"]
    assert "autoattack: in bf16" in row(board, "half")["notes"]


def test_the_publishers_doubts_are_told(record_of: RecordOf) -> None:
    published = Published("a", autoattack_accuracy=0.71, best_known_accuracy=0.642, unreliable=True)
    alone = make_board([], [published]).entries[0]
    assert any("unreliable" in note for note in alone.notes)
    measured = make_board([record_of("a", robust=0.71, entrant=FROM_ROBUSTBENCH)], [published]).entries[0]
    assert any(note.startswith("a published attack goes lower: 64.20") for note in measured.notes)


@pytest.mark.parametrize("percentage", [71.59, -0.1, 1.01])
def test_percentages_are_not_fractions(percentage: float) -> None:
    with pytest.raises(ValueError, match="is it in percent"):
        Published("a", autoattack_accuracy=percentage)


def test_one_name_published_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'a' twice"):
        make_board([], [Published("a"), Published("a")])


def test_one_name_measured_twice_is_refused(record_of: RecordOf) -> None:
    with pytest.raises(ValueError, match="'a' twice"):
        make_board([record_of("a"), record_of("a", robust=0.1)])


def test_a_board_is_a_data_frame_of_numbers(record_of: RecordOf) -> None:
    board = make_board([record_of("a", energies=-4.0)], [Published("b", autoattack_accuracy=0.4), Published("c")])
    table = board.table
    assert {column.key for column in COLUMNS} <= set(table.columns)
    for key in ("autoattack_accuracy", "autoattack_accuracy.low", "autoattack_accuracy.high", "parameters", "seconds"):
        assert pd.api.types.is_float_dtype(table[key]), key
    low, value, high = (row(board, "a")[f"autoattack_accuracy{end}"] for end in (".low", "", ".high"))
    assert low < value < high
    assert row(board, "a")["seconds"] == pytest.approx(5497.5)
    assert row(board, "a")["marginal_energy_mean"] == -4.0
    assert list(table["rank"]) == [1, 2, pd.NA]


def test_every_stage_of_autoattack_has_its_column(record_of: RecordOf) -> None:
    stages = make_board([record_of("a", robust=0.5)], [Published("b", autoattack_accuracy=0.6)]).stages
    assert list(stages["entrant"]) == ["a"]
    found = stages.iloc[0][["accuracy_after_apgd-ce", "accuracy_after_apgd-t", "accuracy_after_square"]]
    assert list(found) == pytest.approx([0.53, 0.502, 0.5])


def test_every_column_explains_itself() -> None:
    for columns in (COLUMNS, partial_columns(10), STAGE_COLUMNS):
        assert len({column.key for column in columns}) == len(columns)
        assert len({(column.group, column.heading) for column in columns}) == len(columns)
        assert all(column.title.endswith(".") and column.heading for column in columns)


def test_columns_in_which_nobody_has_anything_are_left_out(record_of: RecordOf) -> None:
    only_published = make_grid(make_board([], [Published("a", autoattack_accuracy=0.5)]).entries, COLUMNS)
    assert [column.key for column in only_published.columns] == [
        *("rank", "entrant", "ranked_by", "published_autoattack_accuracy")
    ]
    measured = {column.key for column in make_grid(make_board([record_of("a")]).entries, COLUMNS).columns}
    assert {"autoattack_accuracy", "parameters"} <= measured
    assert not {"published_autoattack_accuracy", "autoattack_difference", "marginal_energy_mean"} & measured


def test_columns_of_a_group_stand_under_one_heading(record_of: RecordOf) -> None:
    grid = make_grid(make_board([record_of("a", energies=-1.0)]).entries, COLUMNS)
    assert sum(heading.span for heading in grid.headings) == len(grid.columns)
    assert [h.span for h in grid.headings if h.text == "Energy"] == [3]


def test_bars_share_the_smallest_scale_that_holds_them() -> None:
    scale = Scale.over([Value(value=0.52, low=0.47, high=0.57, n=9), Value(value=0.60, low=0.58, high=0.62, n=9)])
    assert scale == Scale(0.45, 0.65)
    assert scale is not None
    assert [scale.place(x) for x in (0.45, 0.55, 0.65)] == [0, 50, 100]
    assert Scale.over([Value(value=None, n=0), Value(value=math.nan, low=None, high=math.inf, n=1)]) is None


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (formats.percent(0.71594, 10_000), "71.59"),
        (formats.percent(0.71594, 360), "71.6"),
        (formats.percent(math.nan), "NaN"),
        (formats.points(-0.0203), "−2.03"),
        (formats.points(0.0203), "+2.03"),
        (formats.points(-0.00001), "0.00"),
        (formats.decimal(-4.41249), "−4.412"),
        (formats.decimal(-0.000012), "−1.20e−5"),
        (formats.decimal(math.inf), "∞"),
        (formats.decimal(-math.inf), "−∞"),
        (formats.count(1234567), "1,234,567"),
        (formats.quantity(266_796_506), f"267{formats.THIN}M"),
        (formats.quantity(11_173_962), f"11.2{formats.THIN}M"),
        (formats.quantity(999), "999"),
        (formats.duration(0.25), f"0.2{formats.THIN}s"),
        (formats.duration(5400), f"90.0{formats.THIN}min"),
        (formats.duration(90_000), f"25.0{formats.THIN}h"),
        (formats.eps(8 / 255), "8/255"),
        (formats.eps(128 / 255), "128/255"),
        (formats.eps(8 * (1 / 255) + 1e-17), "8/255"),
        (formats.eps(0.031372549), "8/255"),
        (formats.eps(0.0314), "0.0314"),
        (formats.eps(math.inf), "inf"),
        (formats.eps(0.5), "0.5"),
        (formats.eps(0.0), "0"),
        (formats.cut("a  long\nname", 8), "a long…"),
        (formats.cut("short", 8), "short"),
        (formats.citation("Ada Lovelace, Charles Babbage", "ICML 2023", "T"), "Ada Lovelace et al., ICML 2023"),
        (formats.citation("", "", " T "), "T"),
        (
            formats.interval(Value(value=0.5, low=0.4, high=0.6, level=0.9, n=9), formats.percent),
            "40.0–60.0 (90\u202f%)",
        ),
        (formats.interval(Value(value=0.5, low=0.4, n=9), formats.percent), ""),
    ],
)
def test_numbers_are_written_for_readers(written: str, text: str) -> None:
    assert written == text


@pytest.mark.parametrize("link", ["https://arxiv.org/abs/2302.04638", "http://example.org/a?b=c#d"])
def test_links_to_the_web_are_links(link: str) -> None:
    assert formats.safe_link(link) == link


@pytest.mark.parametrize(
    "link",
    [
        "",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " https://example.org",
        "java\nscript:alert(1)",
        "https:\n//example.org",
        "data:text/html,x",
        "file:///etc/passwd",
        "//example.org",
        "https://",
        "https:example.org",
        "http://[::1",
        "https://example.org/\u202egpj.exe",
    ],
)
def test_links_to_anything_else_are_not(link: str) -> None:
    assert formats.safe_link(link) == ""
