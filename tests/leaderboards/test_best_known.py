"""What is best known beside AutoAttack: it ranks, and it stands with who found it wherever AutoAttack is shown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from harness.measures.intervals import proportion
from harness.run import report
from leaderboards.board.board import make_board
from leaderboards.board.columns import COLUMNS
from leaderboards.board.downloads import as_csv, as_json
from leaderboards.board.entry import Basis, Entry
from leaderboards.board.transfers import matrix
from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.arrays import measured_arrays
from leaderboards.records.files import read_record, record_path, write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import BestKnown, Bundle, Counterexamples, Flag, Record, RecordError
from leaderboards.records.transfers import Pair, Transfers, key_of, publish_transfers, read_transfers, write_transfers

SUITE = SuitePage("digits", "Digits", "", "digits", "Linf", "0.1")
HIDING = Flag(
    code="hidden-gradients", message="images made for b break 60 of 120 examples that AutoAttack left (50.0 %)"
)


def bundle(name: str) -> Bundle:
    return Bundle(sha256=f"{name:0>64}".replace("s", "5"), n=3, size=100)


def lowered(record: Record, to: float, *flags: Flag, who: str = "Ada", source: str = "challenge") -> Record:
    """A record with a best known value; it is what somebody handed in."""
    robust = float(record.measurements["autoattack"].values["autoattack_accuracy"])
    found = Counterexamples(
        source=source,
        who=who,
        how="by <hand>",
        found_at="2026-11-21T20:00:00+00:00",
        witnesses=bundle("1").model_copy(update={"n": round(360 * robust) - round(360 * to)}),
    )
    value = proportion(np.arange(360) < round(360 * to))
    return record.model_copy(update={"best_known": BestKnown(value=value, found=(found,), flags=flags)})


def test_what_is_best_known_ranks_where_it_is_below_autoattack(record_of: Callable[..., Record]) -> None:
    records = [
        record_of("honest", robust=0.5),
        lowered(record_of("lowered", robust=0.7), 0.4, HIDING),
        lowered(record_of("equal", robust=0.45), 0.45),
    ]
    board = make_board(records)
    assert [(entry.name, entry.rank) for entry in board.entries] == [("honest", 1), ("equal", 2), ("lowered", 3)]
    assert list(board.table["ranked_by"]) == ["measured", "measured", "measured, best known"]
    assert board.entries[2].ranking == (0.4, Basis.MEASURED_BEST_KNOWN)
    assert [note for note in board.entries[2].notes if "best known" in note] == [f"best known: {HIDING.message}"]
    assert board.table["measured_best_known_accuracy"].tolist()[1:] == [0.45, 0.4]


def test_downloads_and_the_terminal_carry_it_and_say_nothing_where_nobody_has_it(
    record_of: Callable[..., Record],
) -> None:
    plain, less = record_of("plain", robust=0.5), lowered(record_of("less", robust=0.7), 0.4, HIDING)
    board = make_board([plain, less])
    assert less.best_known is not None
    rows = {row["entrant"]: row for row in csv.DictReader(io.StringIO(as_csv(board.entries)))}
    assert rows["less"]["measured_best_known_accuracy"] == "0.4"
    assert rows["less"]["measured_best_known_accuracy.low"] == str(less.best_known.value.low)
    assert rows["plain"]["measured_best_known_accuracy"] == ""
    told = {row["entrant"]: row for row in json.loads(as_json({"name": "digits"}, board.entries))["entrants"]}
    assert told["less"]["measured_best_known_accuracy"] == 0.4
    assert [record.entrant.name for record in report.ranked([less, plain])] == ["plain", "less"]
    shown = report.headline_columns([plain, less])
    headings = [report.heading(said) for said in shown.values()]
    assert headings[headings.index("AutoAttack, % ↑") + 1] == "Best known, here, % ↑"
    row = report.result_row(less, shown)
    assert row[0] == "less *"
    assert row[2 + headings.index("Best known, here, % ↑")] == "40.0 [35.1, 45.1]"
    assert report.result_row(plain, shown)[2 + headings.index("Best known, here, % ↑")] == "-"
    assert report.flag_lines([less]) == [f"* less, best known: {HIDING.message}"]
    assert "Best known, here" not in str([report.heading(said) for said in report.headline_columns([plain]).values()])


class Cells(HTMLParser):
    """The rows of one table as texts."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self.table, self.inside, self.rows, self.caption = table, False, [], ""
        self.cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = self.inside or (tag == "table" and dict(attrs).get("id") == self.table)
        if self.inside and tag == "tr":
            self.rows.append([])
        if self.inside and tag in ("th", "td", "caption"):
            self.cell = []

    def handle_endtag(self, tag: str) -> None:
        if self.inside and tag in ("th", "td", "caption") and self.cell is not None:
            text = " ".join("".join(self.cell).split())
            if tag == "caption":
                self.caption = text
            else:
                self.rows[-1].append(text)
            self.cell = None
        self.inside = self.inside and tag != "table"

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            self.cell.append(data)


def cells(page: str, table: str) -> Cells:
    found = Cells(table)
    found.feed(page)
    return found


def with_bundle(home: Home, record: Record, name: str) -> Record:
    found = record.measurements["autoattack"]
    stage = measured_arrays(home.arrays, found)["stage"]
    broken = int(((stage >= 0) & (stage < 4)).sum())
    measured = found.model_copy(update={"witnesses": bundle(name).model_copy(update={"n": broken})})
    return record.model_copy(update={"measurements": {**record.measurements, "autoattack": measured}})


def pair(target: Record, source: str, at: str, tried: int, broken: int) -> Pair:
    key = key_of(target)
    assert key is not None
    return Pair(
        target=key[0], weights_sha256=key[1], flags_sha256=key[2], source=source, bundle_sha256=bundle(at).sha256, tried=tried,
        broken=broken,
    )  # fmt: skip


@pytest.fixture
def board(record_of: Callable[..., Record], tmp_path: Path) -> tuple[Home, dict[str, Record]]:
    """Three entrants with pairs: c lost 60 of 120 to b; what a lost is of witnesses that b no longer has."""
    home = Home(tmp_path / "out")
    records = {
        name: with_bundle(home, record_of(name, robust=robust, arrays=home.arrays), str(number))
        for number, (name, robust) in enumerate({"a": 0.6, "b": 0.5, "c": 0.7}.items(), 1)
    }
    records["c"] = lowered(records["c"], 192 / 360, HIDING, who="b", source="transfer")
    for record in records.values():
        write_record(home.results, record)
    a, b, c = records.values()
    pairs = [
        pair(a, "b", "9", 80, 80), pair(a, "c", "3", 90, 1), pair(b, "a", "1", 40, 0), pair(b, "c", "3", 0, 0),
        pair(c, "a", "1", 150, 3), pair(c, "b", "2", 120, 60), pair(c, "elsewhere", "7", 130, 2),
    ]  # fmt: skip
    write_transfers(home.transfers, Transfers(suite="digits").with_pairs(pairs))
    return home, records


def test_the_page_of_a_suite_shows_who_is_broken_by_images_made_for_whom(board, tmp_path: Path) -> None:
    home, _ = board
    assert render(home, tmp_path / "site", [SUITE]).problems == ()
    found = cells((tmp_path / "site" / "digits" / "index.html").read_text(), "transfers")
    assert found.caption == "Images made for another entrant: how many break, of those that were shown"
    assert found.rows == [
        ["Entrant", "made for a", "made for c", "made for b", "made for elsewhere"],
        ["a", "its own", "1 of 90 1.1 %", "not tried", "not tried"],
        ["c gradients may be hidden", "3 of 150 2.0 %", "its own", "60 of 120 50.0 %", "2 of 130 1.5 %"],
        ["b", "0 of 40 0.0 %", "none to try", "its own", "not tried"],
    ]


def test_the_matrix_stands_only_where_there_are_pairs_and_a_file_that_is_none_hides_nothing_else(
    board, tmp_path: Path
) -> None:
    home, records = board
    (home.transfers / "digits.json").write_text("{}")
    with pytest.raises(
        RecordError, match=r"expected transfers of digits in transfers/digits\.json, got .*; remove the file"
    ):
        read_transfers(home.transfers, "digits")
    assert matrix([Entry(record, home=home) for record in records.values()], "digits").rows == ()
    render(home, tmp_path / "site", [SUITE])
    assert 'id="transfers"' not in (tmp_path / "site" / "digits" / "index.html").read_text()


def test_the_page_of_an_entrant_says_what_is_best_known_who_found_it_how_and_when(board, tmp_path: Path) -> None:
    home, records = board
    write_record(home.results, lowered(records["a"], 0.55, who="Ada & <b>Eve</b>"))
    render(home, tmp_path / "site", [SUITE])
    page = (tmp_path / "site" / "digits" / "a.html").read_text()
    assert cells(page, "best-known").rows[1] == [
        "Ada & <b>Eve</b>",
        "by <hand>",
        "2026-11-21",
        "18",
        "0" * 12,
    ]
    assert "<dt>Best known, here</dt><dd><strong>55.0" in page
    flagged = (tmp_path / "site" / "digits" / "c.html").read_text()
    assert cells(flagged, "best-known").rows[1][0] == "images made for b"
    assert flagged.count("images made for b break 60 of 120 examples") == 1, "said once"
    assert "measured, best known" in flagged
    assert 'id="best-known"' not in (tmp_path / "site" / "digits" / "b.html").read_text()


def test_transfers_are_read_back_as_they_were_written_and_written_once(board) -> None:
    home, records = board
    there = read_transfers(home.transfers, "digits")
    assert not write_transfers(home.transfers, there)
    assert len(there.of(records["c"])) == 3
    other = records["c"].entrant.model_copy(update={"weights_sha256": "b" * 64})
    assert there.of(records["c"].model_copy(update={"entrant": other})) == ()
    assert read_transfers(home.transfers, "nothing") == Transfers(suite="nothing")
    with pytest.raises(ValueError, match="3 broken of 2 that were tried"):
        pair(records["a"], "b", "9", 2, 3)


def test_pairs_are_published_where_both_records_are(board, tmp_path: Path) -> None:
    home, records = board
    to = Home(tmp_path / "published")
    assert publish_transfers(home, to) == [], "no record, no pair"
    for record in (records["a"], records["c"], with_bundle(home, records["b"], "8")):  # of b there are other witnesses
        write_record(to.results, record)
    stale = pair(records["a"], "gone", "6", 5, 1)
    write_transfers(to.transfers, Transfers(suite="digits").with_pairs([stale]))
    assert publish_transfers(home, to) == [to.transfers / "digits.json"]
    told = {(p.target, p.source): p.broken for p in read_transfers(to.transfers, "digits").pairs}
    assert told == {("a", "c"): 1, ("b", "a"): 0, ("b", "c"): 0, ("c", "a"): 3}
    assert publish_transfers(home, to) == []


def test_a_board_without_it_has_no_column_of_it(record_of: Callable[..., Record], tmp_path: Path) -> None:
    home = Home(tmp_path)
    write_record(home.results, record_of("a"))
    render(home, tmp_path / "site", [SUITE])
    assert "Best known, here" not in (tmp_path / "site" / "digits" / "index.html").read_text()
    assert any(column.key == "measured_best_known_accuracy" for column in COLUMNS)
    assert read_record(record_path(home.results, record_of("a"))).best_known is None
