"""Where a run writes, and the published records beside it: a checkout stays clean, whatever processor measures."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leaderboards.board.beside import BESIDE
from leaderboards.records.arrays import measured_arrays, write_arrays
from leaderboards.records.files import read_record, record_files, record_path, write_atomically, write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Measurement, Record, Value

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ("mart", "sat")
"""Of the shipped records, those that the checkout of these tests has."""

JOB = (
    "run",
    "--suite",
    "digits",
    "--entrants",
    "sat",
    "--limit",
    "4",
    "--workers",
    "0",
    "--measures",
    "standard,smoothness",
)


def git(place: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout


def committed(place: Path) -> None:
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "what is published")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As the project's: its name, what git ignores, and the records that it publishes."""
    place = tmp_path / "checkout"
    place.mkdir()
    for name in ("pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, place)
    shipped, published = Home(ROOT / "leaderboards"), Home(place / "leaderboards")
    for name in PUBLISHED:
        record = read_record(shipped.results / "digits" / f"{name}.json")
        write_record(published.results, record)
        for folder, held in (("arrays", record.arrays), ("witnesses", record.bundles)):
            (published.root / folder).mkdir(exist_ok=True)
            for one in held.values():
                shutil.copy(shipped.root / folder / one.file, published.root / folder)
    git(place, "init", "-q")
    committed(place)
    return place


def rounded_otherwise(home: Home, record: Record, by: float) -> None:
    """The record as another processor would have found it: every number that is no share of examples differs by `by` of it."""

    def value(found: Measurement, name: str) -> Value:
        one, said = found.values[name], found.quantities.get(name)
        if said is not None and said.unit == "fraction":
            return one
        ends = {end: getattr(one, end) for end in ("value", "low", "high")}
        return one.model_copy(update={end: x if x is None else x * (1 + by) for end, x in ends.items()})

    measurements = {}
    for name, found in record.measurements.items():
        held = measured_arrays(home.arrays, found)
        other = {key: array * np.float32(1 + by) if array.dtype.kind == "f" else array for key, array in held.items()}
        measurements[name] = found.model_copy(
            update={
                "values": {key: value(found, key) for key in found.values},
                "arrays": write_arrays(home.arrays, other),
            }
        )
    changed = record.model_copy(update={"measurements": measurements})
    write_atomically(record_path(home.results, record), changed.to_json().encode())


@pytest.fixture
def elsewhere(checkout: Path, harness_here) -> Callable[[float], None]:
    """Publishes what JOB finds, as a processor would find it whose numbers differ by so much; the shards serve a run."""
    published = Home(checkout / "leaderboards")

    def measured(by: float) -> None:
        assert harness_here(*JOB, "--out", "leaderboards", cwd=checkout).returncode == 0
        for path in record_files(published.results):
            if path.parent.name == "partial-4":
                rounded_otherwise(published, read_record(path), by)
        shutil.move(published.root / "shards", checkout / "runs" / "shards")
        committed(checkout)

    return measured


def test_a_checkout_stays_clean_on_a_processor_that_rounds_otherwise(
    checkout: Path, elsewhere: Callable[[float], None], harness_here
) -> None:
    elsewhere(4e-7)
    done = harness_here(*JOB, cwd=checkout)
    assert done.returncode == 0, done.stderr
    assert harness_here("render", cwd=checkout).returncode == 0
    assert git(checkout, "status", "--porcelain") == ""
    words = "s published here: standard accuracy 100.0, yours 100.0, 0 of 4 flags differ, smoothness within 4e-7"
    assert f"sat: a{words}\n" in done.stdout
    assert f"A{words}." in (checkout / "runs" / "site" / "digits" / "first-4" / "sat.html").read_text()
    # the deliberate way changes what is committed
    shutil.copytree(checkout / "runs" / "shards", checkout / "leaderboards" / "shards")
    assert harness_here(*JOB, "--out", "leaderboards", cwd=checkout).returncode == 0
    assert git(checkout, "status", "--porcelain").startswith(" D leaderboards/arrays/")


def test_a_difference_beyond_rounding_is_told_with_its_size(
    checkout: Path, elsewhere: Callable[[float], None], harness_here
) -> None:
    elsewhere(1e-3)
    done = harness_here(*JOB, cwd=checkout)
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("sat: ")]
    assert "smoothness: 0 of 4 flags differ, numbers differ by 1e-3, 100 times rounding" in said
    board = (checkout / "runs" / "site" / "digits" / "first-4" / "index.html").read_text()
    assert "differs from the published record in smoothness" in board


def test_an_entrant_of_ones_own_meets_the_published_ones_on_the_board_of_its_run(checkout: Path, harness_here) -> None:
    shutil.copy(ROOT / "zoo" / "digits" / "mart.safetensors", checkout / "mine.safetensors")
    committed(checkout)
    spec = "checkpoint:mine.safetensors@digits-cnn"
    job = ("run", "--suite", "digits", "--entrants", spec, "--measures", "standard", "--workers", "0")
    done = harness_here(*job, cwd=checkout)
    assert done.returncode == 0, done.stderr
    assert "as published here" not in done.stdout, "nobody published this entrant"
    run, published = Home(checkout / "runs"), Home(checkout / "leaderboards")
    assert [path.stem for path in record_files(run.results)] == ["mine"]
    board = json.loads((run.site / "digits" / "board.json").read_text())["entrants"]
    notes = {row["entrant"]: row["notes"] for row in board}
    names = set(PUBLISHED)
    assert set(notes) == names | {"mine"}
    assert {name for name, words in notes.items() if BESIDE in words} == names
    for name in names:
        page = (run.site / "digits" / f"{name}.html").read_text()
        assert "Accuracy by fifths of E(x)" in page, "its arrays are read where it is published"
        there = (published.results / "digits" / f"{name}.json").read_bytes()
        assert (run.site / "digits" / f"{name}.json").read_bytes() == there
    assert harness_here("render", "--check", cwd=checkout).returncode == 0
    assert git(checkout, "status", "--porcelain") == ""


def test_the_published_folder_has_nothing_beside_it_and_is_checked_as_it_is(checkout: Path, harness_here) -> None:
    assert harness_here("render", "--out", "leaderboards", cwd=checkout).returncode == 0
    assert BESIDE not in (checkout / "leaderboards" / "site" / "digits" / "index.html").read_text()
    assert harness_here("render", "--check", "--out", "leaderboards", cwd=checkout).returncode == 0
    assert not (checkout / "runs").exists()
    assert git(checkout, "status", "--porcelain") == ""


def test_a_baseline_is_of_the_runs_record_else_of_the_published_one(checkout: Path, harness_here) -> None:
    made = ("baseline", "--suite", "digits", "--entrant", "sat", "--to")
    assert harness_here(*made, "published", cwd=checkout).returncode == 0
    run = Home(checkout / "runs")
    record = read_record(checkout / "leaderboards" / "results" / "digits" / "sat.json")
    mine = record.model_copy(update={"measurements": {"standard": record.measurements["standard"]}})
    write_atomically(record_path(run.results, mine), mine.to_json().encode())
    shutil.copytree(checkout / "leaderboards" / "arrays", run.arrays)
    done = harness_here(*made, "own", cwd=checkout)
    assert "200 examples, standard\n" in done.stderr
    assert harness_here("baseline", "--suite", "digits", "--entrant", "none", cwd=checkout).returncode == 2
