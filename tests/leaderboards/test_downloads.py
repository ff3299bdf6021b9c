"""Boards to take away, and what a board can be narrowed to."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import pytest

from leaderboards.board.board import Published, make_board
from leaderboards.board.downloads import as_bibtex, as_csv, as_json, bibtex
from leaderboards.board.entry import Entry
from leaderboards.board.filters import choices, family, groups_of
from leaderboards.records.schema import Flag, Record

RecordOf = Callable[..., Record]
PAPER = Published(
    "Ada2023Title",
    0.9,
    0.6,
    None,
    "WideResNet-28-10",
    "A Title",
    "Ada Lovelace, Alan Turing",
    "ICML 2023",
    "https://a.org/1",
)


def test_csv_and_json_hold_the_boards_numbers(record_of: RecordOf) -> None:
    board = make_board([record_of("a", robust=0.5, energies=-1.25)], [PAPER])
    table = list(csv.DictReader(io.StringIO(as_csv(board.entries))))
    assert [row["entrant"] for row in table] == ["Ada2023Title", "a"]
    assert [row["rank"] for row in table] == ["1", "2"]
    assert float(table[1]["autoattack_accuracy"]) == 0.5
    assert float(table[1]["autoattack_accuracy.low"]) < 0.5 < float(table[1]["autoattack_accuracy.high"])
    assert float(table[1]["marginal_energy_mean"]) == -1.25
    assert float(table[1]["accuracy_after_apgd-ce"]) == 0.53
    assert (table[0]["autoattack_accuracy"], table[0]["venue"]) == ("", "ICML 2023")
    plain = json.loads(as_json({"name": "digits"}, board.entries))
    assert plain["suite"] == {"name": "digits"}
    assert plain["entrants"][1]["autoattack_accuracy"] == 0.5
    assert plain["entrants"][0]["autoattack_accuracy"] is None
    assert plain["entrants"][0]["published_autoattack_accuracy"] == 0.6


@pytest.mark.parametrize(
    "start", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u202e=1", "\0=1"]
)
def test_no_cell_of_a_csv_is_a_formula(record_of: RecordOf, start: str) -> None:
    card = {"title": start, "architecture": start, "authors": start, "venue": start}
    record = record_of(start, entrant=card, flags=(Flag(code="x", message=start),))
    (row,) = csv.DictReader(io.StringIO(as_csv(make_board([record]).entries)))
    for name, cell in row.items():
        assert not re.match(r"[=+@\t\r]", cell), (name, cell)
        assert not cell.startswith("-") or float(cell) < 0
        assert cell.isprintable()


def test_a_csv_cell_cannot_leave_its_place(record_of: RecordOf) -> None:
    record = record_of('a",b\n"c;', entrant={"title": '"\n,\n"'})
    (row,) = csv.DictReader(io.StringIO(as_csv(make_board([record]).entries)))
    assert row["entrant"] == 'a",b "c;'


def test_a_paper_is_cited() -> None:
    assert bibtex(Entry(published=PAPER)) == (
        "@inproceedings{Ada2023Title,\n"
        "  title = {{A Title}},\n"
        "  author = {Ada Lovelace and Alan Turing},\n"
        "  booktitle = {ICML},\n"
        "  year = {2023},\n"
        "  url = {https://a.org/1},\n"
        "}\n"
    )
    loose = bibtex(Entry(published=Published("x", title="T", venue="arXiv, Mar 2021")))
    assert loose == "@misc{x,\n  title = {{T}},\n  howpublished = {arXiv},\n  year = {2021},\n}\n"
    assert bibtex(Entry(published=Published("x"))) == ""


def test_one_paper_of_two_entrants_is_cited_once() -> None:
    twice = (PAPER, Published("Ada2023Title_b", *list(vars(PAPER).values())[1:]))
    assert as_bibtex([Entry(published=row) for row in twice]).count("@inproceedings") == 1


@pytest.mark.parametrize("field", ["title", "authors", "venue", "link", "name"])
def test_no_text_leaves_its_braces_in_bibtex(field: str) -> None:
    hostile = '}}\n@misc{x, note="\\input{/etc/passwd}" % $ # _ ~ ^ & \u202e'
    card = {"name": "a", "title": "T", "link": "https://a.org/", field: hostile}
    if field == "link":
        card["link"] = "https://a.org/}{\\input"
    text = bibtex(Entry(published=Published(**card)))
    depth = 0
    for character in re.sub(r"\\[{}\\]", "", text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert text.count("\n@") == 0
    assert text.startswith("@")
    assert r"\input" not in text.replace(r"\textbackslash{}input", "")


def test_a_board_is_narrowed_by_what_sets_its_entries_apart(record_of: RecordOf) -> None:
    board = make_board([record_of("a", entrant={"additional_data": True})], [PAPER])
    found = {choice.filter.key: dict(choice.groups) for choice in choices(board.entries)}
    assert found == {
        "source": {"measured": 1, "published only": 1},
        "family": {"CNN": 1, "WideResNet": 1},
        "data": {"yes": 1},
        "venue": {"ICML 2023": 1},
    }
    assert choices(board.entries[:1]) == ()
    assert dict(groups_of(board.entries[0]))["family"] == "WideResNet"


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("WideResNet-34-10", "WideResNet"),
        ("WideResNet-34-R", "WideResNet"),
        ("XCiT-L12", "XCiT"),
        ("ResNet-152 + WideResNet-70-16", "ResNet"),
        ("digits-cnn", "digits-cnn"),
        ("5-layer-CNN", "5-layer-CNN"),
        ("", ""),
    ],
)
def test_an_architecture_has_a_family(architecture: str, name: str) -> None:
    assert family(architecture) == name
