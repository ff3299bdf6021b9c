"""harness render from the command line, and what harness run hands to the pages of an entrant's training."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.render import command
from harness.run.findings import training_log
from leaderboards.records.arrays import read_arrays
from leaderboards.records.files import remove_leftovers
from zoo.cards import read_card
from zoo.entrant import Card
from zoo.published import published

DIGITS = Path(__file__).parents[2] / "zoo" / "digits"


@pytest.fixture(autouse=True)
def outside_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output folder, and not a mistyped one; nothing is published there that would stand beside."""
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.output


def test_every_published_entry_is_a_row_from_the_start(tmp_path: Path) -> None:
    run("--out", str(tmp_path))
    for suite, norm, count in (
        ("cifar10", "Linf", 99), ("cifar10-l2", "L2", 21), ("cifar100", "Linf", 38), ("imagenet", "Linf", 30)
    ):  # fmt: skip
        rows = json.loads((tmp_path / "site" / suite / "board.json").read_text())["entrants"]
        names = {row.name for row in published(suite.removesuffix("-l2"), norm)}
        assert {row["entrant"] for row in rows} == names
        assert len(rows) == count
        ranks = [row["rank"] for row in rows if row["rank"] is not None]
        assert ranks == sorted(ranks)


def test_what_a_killed_command_left_is_named_and_cleared(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path))
    assert run(*out)[0] == 0
    folder = tmp_path / "site" / "cifar10"
    left = folder / ".index.html.0123456789abcdef.tmp"
    left.write_text("<html>")
    elses = [folder / name for name in (".mine.tmp", "notes.0123456789abcdef.tmp", ".index.html.swp")]
    for path in elses:
        path.write_text("a user's own")
    status, words = run(*out, "--check")
    assert (status, words.splitlines()[0]) == (
        1,
        "cifar10/.index.html.0123456789abcdef.tmp: left by a command that was killed",
    )
    assert left.exists(), "a check removes nothing"
    assert run(*out)[0] == 0
    assert not left.exists()
    assert all(path.exists() for path in elses)
    assert run(*out, "--check")[0] == 0


def test_a_kill_while_a_page_is_written_leaves_what_the_next_command_clears(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from leaderboards.records import files\n"
        "pathlib.Path.replace = lambda self, target: os.kill(os.getpid(), 9)\n"
        "files.write_atomically(pathlib.Path(sys.argv[1]), b'a page', lasting=False)\n"
    )
    place = tmp_path / "site" / "digits" / "index.html"
    done = subprocess.run([sys.executable, "-c", code, str(place)], cwd=DIGITS.parents[1], check=False)
    assert done.returncode == -9
    (left,) = place.parent.iterdir()
    assert run("--out", str(tmp_path))[0] == 0
    assert not left.exists()
    assert place.exists()


def test_a_run_clears_what_was_left_beside_its_records(tmp_path: Path) -> None:
    left = [tmp_path / folder / ".x.json.00112233aabbccdd.tmp" for folder in ("results/digits", "arrays", "samples/a")]
    for path in left:
        path.parent.mkdir(parents=True)
        path.touch()
    remove_leftovers(*(tmp_path / folder for folder in ("results", "arrays", "samples", "nowhere")))
    assert not any(path.exists() for path in left)


def test_check_tells_where_site_and_records_disagree_and_writes_nothing(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path))
    status, words = run(*out, "--check")
    assert status == 1
    assert "cifar10/index.html: not what the records make" in words
    assert not (tmp_path / "site").exists()
    assert run(*out)[0] == 0
    assert run(*out, "--check")[0] == 0
    page = tmp_path / "site" / "cifar10" / "index.html"
    before = page.read_bytes()
    page.write_bytes(before.replace(b"CIFAR-10", b"CIFAR-11"))
    stale = tmp_path / "site" / "old" / "index.html"
    stale.parent.mkdir()
    stale.write_bytes(before)
    status, words = run(*out, "--check")
    assert status == 1
    assert words.splitlines()[:2] == ["cifar10/index.html: not what the records make", "old/index.html: no record's"]
    assert stale.exists()
    assert page.read_bytes() != before


def test_another_process_makes_the_same_bytes(tmp_path: Path) -> None:
    run("--out", str(tmp_path))
    words = [sys.executable, "-m", "harness", "render", "--check", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_log_that_a_card_names_goes_with_the_record(tmp_path: Path) -> None:
    card = read_card(DIGITS / "weat-adv.json", "zoo").card
    kept = training_log(card, tmp_path)
    assert kept is not None
    series = read_arrays(tmp_path, kept)
    rows = [json.loads(row) for row in (DIGITS / "weat-adv.dynamics.jsonl").read_text().splitlines()]
    assert series["epoch"].tolist() == [row["number"] for row in rows]
    assert series["train.delta_marginal_energy"].tolist() == [row["train"]["delta_marginal_energy"] for row in rows]
    assert series["validation.pgd_accuracy"].tolist() == [row["validation"]["pgd_accuracy"] for row in rows]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]\n", b'{"number": 1}\n\xff'])
def test_a_log_that_the_card_does_not_name_is_left_out(tmp_path: Path, content: bytes) -> None:
    log = tmp_path / "a.dynamics.jsonl"
    log.write_bytes(content)
    wrong = {"dynamics": {"sha256": "0" * 64}}
    right = {"dynamics": {"sha256": hashlib.sha256(content).hexdigest()}}
    for told in (wrong, right, {}, {"dynamics": 3}):
        assert training_log(Card("a", "zoo", training=told, dynamics=log), tmp_path / "arrays") is None
    assert training_log(Card("a", "zoo", training=right, dynamics=tmp_path / "none"), tmp_path / "arrays") is None
    assert not (tmp_path / "arrays").exists()
