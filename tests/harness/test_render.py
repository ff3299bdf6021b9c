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
from zoo.cards import read_card
from zoo.entrant import Card
from zoo.published import published

DIGITS = Path(__file__).parents[2] / "zoo" / "digits"


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
