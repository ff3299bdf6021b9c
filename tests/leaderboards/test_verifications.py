"""What pages say of a record that was verified, of one that was not, and of one that contradicts itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.files import record_path
from leaderboards.records.home import Home
from leaderboards.records.schema import Record
from leaderboards.records.verifications import (
    Audit,
    Verification,
    proved,
    read_verification,
    verification_path,
    write_verification,
)

RecordOf = Callable[..., Record]
Written = Callable[..., Home]
DIGITS = SuitePage("digits", "Digits", "Small images.", "digits", "Linf", "0.1")


def found(content: bytes, verdict: str = "proved", **more: object) -> Verification:
    return Verification(
        **{
            "record_sha256": hashlib.sha256(content).hexdigest(),
            "verdict": verdict,
            "statement": "at most 50.0 % robust is proved here",
            "witnesses": 43,
            "verified_at": "2026-11-21T10:00:00+00:00",
            **more,
        }
    )


@pytest.fixture
def pages(record_of: RecordOf, written: Written, tmp_path: Path) -> Callable[[], tuple[str, str]]:
    """The board of one record and its own page, as they are now."""
    home = written(record_of("A"))

    def made() -> tuple[str, str]:
        render(home, tmp_path / "site", [DIGITS])
        return tuple((tmp_path / "site" / "digits" / name).read_text() for name in ("index.html", "A.html"))  # type: ignore[return-value]

    return made


def test_a_record_is_marked_until_it_is_proved_and_again_when_it_changes(
    pages: Callable[[], tuple[str, str]], record_of: RecordOf, tmp_path: Path
) -> None:
    home, record = Home(tmp_path), record_of("A")
    file = record_path(home.results, record)
    board, page = pages()
    assert ">not verified<" in board
    assert "Not verified since its last change" in page
    write_verification(home, record, found(file.read_bytes(), "differs"))
    assert ">not verified<" in pages()[0]
    write_verification(home, record, found(file.read_bytes()))
    board, page = pages()
    assert ">not verified<" not in board
    assert "Verified 2026-11-21: 43 witnesses replayed." in page
    file.write_bytes(file.read_bytes().replace(b"NVIDIA", b"NVIDI4"))
    board, page = pages()
    assert ">not verified<" in board
    assert "Not verified since its last change" in page


def test_a_record_that_contradicts_itself_has_no_rank_and_its_page_says_why(
    record_of: RecordOf, written: Written, tmp_path: Path
) -> None:
    good, bad = record_of("good", robust=0.4), record_of("bad", robust=0.5, standard=0.3)
    rendered = render(written(good, bad), tmp_path / "site", [DIGITS])
    said = "accuracy_after.apgd-ce is 0.53, above standard_accuracy, which is 0.3"
    assert [(p.file, p.message) for p in rendered.problems] == [("digits/bad.json", f"it contradicts itself: {said}")]
    pages = {name: (tmp_path / "site" / "digits" / f"{name}.html").read_text() for name in ("index", "good", "bad")}
    assert f"not ranked, for it contradicts itself: {said}" in pages["index"]
    assert said in pages["bad"]
    assert "Rank" not in pages["bad"]
    assert ">1</strong> <span" in pages["good"]


def test_what_was_found_the_same_before_stays_with_its_time_and_its_audit(record_of: RecordOf, tmp_path: Path) -> None:
    home, record = Home(tmp_path), record_of("A")
    audit = Audit(survivors=597, attacked=300, broken=0, seed=1, most=0.0067, least=0.0)
    assert (
        audit.words
        == "300 of 597 survivors attacked again, 0 broken: at most 0.67 % of the survivors breakable by it, p >= 0.95"
    )
    first = found(b"x", audit=audit)
    path = write_verification(home, record, first)
    before = path.read_bytes()
    write_verification(home, record, found(b"x", verified_at="2027-01-01T00:00:00+00:00"))
    assert path.read_bytes() == before
    write_verification(home, record, found(b"x", audit=audit.model_copy(update={"seed": 2})))
    assert path.read_bytes() == before, "an audit by somebody else changes no committed file"
    write_verification(home, record, renewed := found(b"x", audit=audit.model_copy(update={"seed": 2})), renew=True)
    assert read_verification(home, record) == renewed
    write_verification(home, record, found(b"x", "differs"))
    assert proved(home, record, b"x") is None, "another verdict is told"
    write_verification(home, record, found(b"y"))
    assert read_verification(home, record) == found(b"y"), "another file: its audit goes"


def test_a_damaged_note_is_as_none(record_of: RecordOf, tmp_path: Path) -> None:
    home, record = Home(tmp_path), record_of("A", limit=5)
    assert verification_path(home, record) == tmp_path / "verified" / "digits" / "partial-5" / "A.json"
    path = write_verification(home, record, found(b"x"))
    assert proved(home, record, b"x") is not None
    assert proved(home, record, b"y") is None
    path.write_text(path.read_text().replace('"proved"', '"sure"'))
    assert proved(home, record, b"x") is None
