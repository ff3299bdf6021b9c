"""A user's own entrants through the verbs: trained and judged from a subfolder of a project, named, published and proved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.architectures import build
from zoo.checkpoints import SHIPPED

MEASURED = ("--measures", "standard", "--limit", "10", "--workers", "0")
RUN = ("run", "--suite", "digits", *MEASURED)
TRAIN = ("train", "--suite", "digits", "--recipe", "standard", "--epochs", "1", "--limit", "64")
CARD = {"name": "mine", "suite": "digits", "architecture": "digits-cnn", "title": "Our paper"}


def own(folder: Path, name: str = "mine", **more: Any) -> Path:
    """An entrant's card and weights in <folder>/digits."""
    (folder / "digits").mkdir(parents=True, exist_ok=True)
    file = folder / "digits" / f"{name}.pt"
    torch.save(build("digits-cnn", 10, (1, 8, 8)).state_dict(), file)
    file.with_suffix(".json").write_text(json.dumps({**CARD, "name": name, **more}))
    return file


def record(out: Path, name: str) -> dict[str, Any]:
    return json.loads((out / "results" / "digits" / "partial-10" / f"{name}.json").read_text())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harness_here) -> Path:
    """A project with a subfolder, which is the working directory."""
    root = tmp_path / "project"
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    monkeypatch.chdir(root / "notebooks")
    return root


def test_an_entrant_trained_in_a_subfolder_goes_to_the_projects_entrants_and_is_found_from_all_of_it(
    harness_here, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = harness_here(*TRAIN, "--name", "mine")
    assert trained.returncode == 0, trained.stderr
    kinds = {f"mine.{kind}" for kind in ("dynamics.jsonl", "json", "safetensors")}
    assert kinds <= {path.name for path in (project / "entrants" / "digits").iterdir()}
    assert not (project / "notebooks" / "entrants").exists()
    assert trained.stdout.splitlines()[-1] == "judge it: harness run --suite digits --entrants mine"
    (project / "other").mkdir()
    monkeypatch.chdir(project / "other")
    judged = harness_here(*RUN, "--entrants", "mine", "--out", "out")
    assert judged.returncode == 0, judged.stderr
    assert record(Path("out"), "mine")["entrant"]["spec"] == "mine"
    rows = json.loads(harness_here("list", "entrants", "--suite", "digits", "--json").stdout)
    where = {row["name"]: row["where"] for row in rows}
    assert (where["mine"], where["sat"]) == ("../entrants/digits", "ships with the project")


def test_entrants_in_the_zoo_folder_of_before_are_found_and_their_names_are_not_given_twice(
    harness_here, project: Path
) -> None:
    own(Path("zoo"))
    assert harness_here(*RUN, "--entrants", "mine", "--out", "out").returncode == 0
    rows = json.loads(harness_here("list", "entrants", "--suite", "digits", "--json").stdout)
    assert next(row["where"] for row in rows if row["name"] == "mine") == "zoo/digits"
    refused = harness_here(*TRAIN, "--name", "mine")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "got 'mine', which an entrant in zoo/digits has; give another --name, move that one to " in line
    assert "../entrants/digits" in line
    assert not (project / "entrants").exists()


def test_an_entrant_by_its_path_is_named_in_record_and_row_and_is_proved_by_that_name(
    harness_here, project: Path
) -> None:
    torch.save(build("digits-cnn", 10, (1, 8, 8)).state_dict(), "mine.pt")
    spec = "checkpoint:mine.pt@digits-cnn"
    named = ("--name", "Ours-2026", "--title", "Our paper", "--paper", "https://example.org/paper")
    judged = harness_here(*RUN, "--entrants", spec, *named, "--out", "out")
    assert judged.returncode == 0, judged.stderr
    assert "Ours-2026" in judged.stdout
    said = record(Path("out"), "Ours-2026")["entrant"]
    texts = tuple(said[key] for key in ("name", "title", "link", "spec", "source"))
    assert texts == ("Ours-2026", "Our paper", "https://example.org/paper", spec, "checkpoint")
    assert "Our paper" in Path("out/site/digits/first-10/Ours-2026.html").read_text()
    proved = harness_here("verify", "out", "--no-mark")
    assert (proved.returncode, "Ours-2026 on digits (first 10): proved" in proved.stdout) == (0, True), proved.stdout
    for entrants in ((), ("--entrants", "sat"), ("--entrants", f"{spec},sat")):
        refused = harness_here(*RUN, *entrants, "--name", "x", "--out", "out")
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
        assert "with --name, --title, --paper or --card, got " in refused.stderr


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harness_here) -> Path:
    """A checkout of the project that publishes nothing yet, as the working directory."""
    root = tmp_path / "checkout"
    (root / "leaderboards" / "results").mkdir(parents=True)
    (root / "zoo").mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "robust-energy-harness"\n')
    monkeypatch.chdir(root)
    return root


@pytest.mark.slow
def test_a_submission_is_a_card_and_a_record_with_its_weights_and_is_proved_by_others(
    harness_here, checkout: Path, tmp_path: Path
) -> None:
    own(Path("entrants"))
    assert harness_here(*RUN, "--entrants", "mine").returncode == 0
    published = harness_here("publish", "--limit", "10")
    assert (published.returncode, published.stderr) == (0, "")
    assert (
        published.stdout.splitlines()[-1] == "commit it: git add leaderboards zoo/digits/mine.json zoo/digits/mine.pt"
    )
    assert harness_here(*RUN, "--entrants", "mine").returncode == 0, "one entrant, in two folders"
    again = harness_here("publish", "--limit", "10")
    assert "left alone" in again.stdout
    assert "commit it: git add leaderboards zoo/digits/mine.json zoo/digits/mine.pt" in again.stdout
    others = tmp_path / "others"
    for folder in ("zoo", "leaderboards"):
        shutil.copytree(checkout / folder, others / folder)
    proved = harness_here("verify", "leaderboards", cwd=others)
    assert (proved.returncode, "mine on digits (first 10): proved" in proved.stdout) == (0, True), proved.stdout


def test_what_a_submission_lacks_is_told_before_a_pull_request(
    harness_here, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own(Path("entrants"))
    spec = f"checkpoint:{file}@digits-cnn"
    assert harness_here(*RUN, "--entrants", spec).returncode == 0
    by_path = harness_here("publish", "--limit", "10")
    assert "before a pull request: mine was judged by its path (checkpoint:entrants/digits/mine.pt@" in by_path.stderr
    assert list((checkout / "zoo").rglob("*.json")) == []
    judged = harness_here(*RUN, "--entrants", "mine")
    assert "0 of 1 shards to measure" in judged.stderr, "nothing is measured twice"
    monkeypatch.setattr("harness.run.submission.MOST_WEIGHTS", 1000)
    large = harness_here("publish", "--limit", "10")
    assert large.returncode == 0
    (line,) = large.stderr.splitlines()
    assert (
        'upload it, and add its address to entrants/digits/mine.json: "weights": {"url": "https://...", "sha256": "'
        in line
    )
    sha256 = line.partition('"sha256": "')[2][:64]
    card = {**json.loads(file.with_suffix(".json").read_text()), "weights": {"url": "https://example.org/mine.pt"}}
    file.with_suffix(".json").write_text(json.dumps({**card, "weights": {**card["weights"], "sha256": sha256}}))
    told = harness_here("publish", "--limit", "10")
    assert (told.stderr, told.stdout.splitlines()[-1]) == ("", "commit it: git add leaderboards zoo/digits/mine.json")


def test_a_shipped_name_is_refused_in_a_users_folder_with_both_places(harness_here, project: Path) -> None:
    own(project / "entrants", "sat")
    refused = harness_here(*RUN, "--entrants", "sat", "--out", "out")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert f"{SHIPPED / 'digits' / 'sat.json'}, which ships with the project, and " in line
