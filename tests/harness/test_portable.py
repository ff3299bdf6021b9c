"""What a record says to whoever wants to measure again: commands that work, and no path of the machine that measured."""

from __future__ import annotations

import html
import re
import shlex
import shutil
from pathlib import Path

import pytest

import harness
from harness.run.portable import of_one_place, portable_spec, portable_values
from harness.suites.suite import SUITES

ROOT = Path(__file__).resolve().parents[2]
ONE = ("--measures", "standard", "--limit", "6", "--shard-size", "3", "--workers", "0")
DATA = """
import numpy as np


def load(split):
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
    return images, np.arange(20) % 10, [str(k) for k in range(10)]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a user's own, who keeps a checkpoint in it and others of its name elsewhere."""
    here = tmp_path / "here"
    for folder, name in ((here / "runs", "standard"), (tmp_path / "a", "standard"), (tmp_path / "b", "sat")):
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "zoo" / "digits" / f"{name}.safetensors", folder / "best.safetensors")
    (here / "mine.toml").write_text('base = "digits"\nname = "mine"\neps = 0.1\n')
    (here / "own.py").write_text(DATA)
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize(
    "asked",
    [
        ("--suite", "mine.toml"),
        ("--suite", "{here}/mine.toml"),
        ("--suite", "digits"),
        ("--suite", "digits", "--dataset", "own:load"),
        ("--suite", "mine.toml", "--dataset", "own:load"),
    ],
    ids=" ".join,
)
def test_the_command_of_a_page_measures_the_same_again(harness_here, place: Path, asked: tuple[str, ...]) -> None:
    asked, out = tuple(word.format(here=place) for word in asked), place / "out"
    checkpoint = f"checkpoint:{place / 'runs' / 'best.safetensors'}@digits-cnn"
    done = harness_here("run", *asked, "--entrants", checkpoint, *ONE, "--seed", "2", "--out", str(out), cwd=place)
    assert done.returncode == 0, done.stderr
    (page,) = out.glob("site/*/first-6/best.html")
    (printed,) = re.findall(r"<code[^>]*>(harness run [^<]*)</code>", page.read_text())
    words = shlex.split(html.unescape(printed))[1:]
    assert "checkpoint:runs/best.safetensors@digits-cnn" in words
    again = harness_here(*words, "--workers", "0", "--out", str(out), cwd=place)
    assert again.returncode == 0, again.stderr
    assert "0 of 2 shards to measure" in again.stderr, "the same work, which is done"
    for path in (path for path in out.rglob("*") if path.suffix in (".json", ".html", ".csv", ".bib")):
        assert str(place.parent) not in path.read_text(), path


def test_a_checkpoint_elsewhere_is_named_without_its_folder_and_no_other_takes_its_record(
    harness_here, place: Path
) -> None:
    def run(folder: str) -> tuple[int, str]:
        checkpoint = f"checkpoint:{place.parent / folder / 'best.safetensors'}@digits-cnn"
        done = harness_here("run", "--suite", "digits", "--entrants", checkpoint, *ONE, "--out", "out", cwd=place)
        return done.returncode, done.stderr

    assert run("a")[0] == 0
    (record,) = (place / "out" / "results").rglob("*.json")
    before = record.read_bytes()
    assert b'"spec": "checkpoint:best.safetensors@digits-cnn"' in before
    status, said = run("b")
    assert status == 2
    assert "expected a name of its own, got 'best', which checkpoint:best.safetensors@digits-cnn has" in said
    assert record.read_bytes() == before
    assert run("a")[0] == 0


def test_a_spec_keeps_what_lies_below_the_working_directory(place: Path) -> None:
    inside, outside = f"checkpoint:{place}/runs/best.safetensors", f"checkpoint:{place.parent}/a/best.safetensors@m:f"
    assert portable_spec(inside) == "checkpoint:runs/best.safetensors"
    assert portable_spec("checkpoint:./runs/x@y.pt@resnet-18") == "checkpoint:runs/x@y.pt@resnet-18"
    assert portable_spec(outside) == "checkpoint:best.safetensors@m:f"
    assert portable_spec("checkpoint:../a/best.pt") == "checkpoint:best.pt"
    assert [portable_spec(spec) for spec in ("weat-adv", "robustbench:Standard", "python:m:f")] == [
        "weat-adv", "robustbench:Standard", "python:m:f",
    ]  # fmt: skip
    assert of_one_place("checkpoint:runs/best.safetensors", inside)
    assert of_one_place(outside, outside), "a record from before"
    assert not of_one_place(portable_spec(outside), outside)


def test_a_card_with_a_path_loses_the_folder(place: Path) -> None:
    said = {"synthetic": {"file": f"{place.parent}/a/edm.npz", "images": 3}, "recipe": {"sources": [f"{place}/own.py"]}}
    assert portable_values(said) == {
        "synthetic": {"file": "edm.npz", "images": 3}, "recipe": {"sources": ["own.py"]},
    }  # fmt: skip
    assert portable_values({"lr": 0.1, "schedule": "a/b"}) == {"lr": 0.1, "schedule": "a/b"}


def test_data_found_under_another_name_is_asked_for_as_before() -> None:
    suite = SUITES["cifar10"].found_as("cifar10-jpeg")
    assert (suite.name, suite.words) == ("cifar10-jpeg", ("--suite", "cifar10"))
    assert SUITES["cifar10"].on("cifar10-jpeg").words == ("--suite", "cifar10", "--dataset", "cifar10-jpeg")
    assert SUITES["digits"].words == ("--suite", "digits")


def test_what_was_judged_in_memory_has_no_command(place: Path) -> None:
    from leaderboards.pages.commands import measured_again as commands

    found = harness.judge(harness.load("standard"), "digits", ["standard"], limit=4, name="mine")
    assert commands(found.record) == ()
