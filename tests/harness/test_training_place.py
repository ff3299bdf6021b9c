"""Nothing of a user's is lost by training: what is there by a name is replaced by the same command alone, or with --force."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.data.datasets import digits
from harness.errors import BadInput
from harness.suites.suite import SUITES
from harness.training import place
from harness.training.entrant import train
from harness.training.recipes import Recipe
from zoo.checkpoints import SHIPPED

JOB = ("train", "--suite", "digits", "--recipe", "standard", "--epochs", "1", "--limit", "100")
ENDINGS = ("safetensors", "json", "dynamics.jsonl")
ONE = Recipe(objective="standard", architecture="digits-cnn", epochs=1)
IMAGES = digits("train").first(100)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("changed", [("--seed", "2"), ("--limit", "90"), ("--set", "lr=0.02"), ("--epochs", "2")])
def test_a_name_that_another_command_made_is_refused_and_nothing_of_it_changes(
    harness_here, changed: tuple[str, str]
) -> None:
    assert harness_here(*JOB, "--name", "mine").returncode == 0
    before = contents(Path("entrants/digits"))
    refused = harness_here(*JOB, "--name", "mine", *changed)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "expected a new name, got 'mine', an entrant that another command made (" in line
    assert "give another --name, or --force to replace it" in line
    assert contents(Path("entrants/digits")) == before
    forced = harness_here(*JOB, "--name", "mine", *changed, "--force")
    assert forced.returncode == 0, forced.stderr
    after = contents(Path("entrants/digits"))
    assert all(after[f"mine.{ending}"] != before[f"mine.{ending}"] for ending in ENDINGS)


def test_the_same_command_again_is_not_refused(harness_here) -> None:
    weights = []
    for _ in range(2):
        result = harness_here(*JOB, "--name", "mine")
        assert result.returncode == 0, result.stderr
        weights.append(Path("entrants/digits/mine.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_shipped_entrant_is_written_to_by_no_command_that_does_not_name_its_folder(
    harness_here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "checkout" / "zoo"
    (shipped / "digits").mkdir(parents=True)
    (shipped.parent / "pyproject.toml").write_text('[project]\nname = "robust-energy-harness"\n')
    for ending in ENDINGS:
        path = f"standard.{ending}"
        (shipped / "digits" / path).write_bytes((SHIPPED / "digits" / path).read_bytes())
    before = contents(shipped / "digits")
    monkeypatch.setattr(place, "SHIPPED", shipped)
    monkeypatch.chdir(shipped.parent)
    for more in ((), ("--force",)):
        refused = harness_here(*JOB, *more)
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert "got 'standard', an entrant of digits that ships with the project; give another --name" in line
    refused = harness_here(*JOB, "--out", "zoo")
    assert refused.returncode == 2
    assert "--force to replace it" in refused.stderr
    with pytest.raises(BadInput, match="ships with the project"):
        train("digits", ONE, images=IMAGES, force=True)
    assert contents(shipped / "digits") == before
    assert harness_here(*JOB, "--out", "zoo", "--force").returncode == 0
    assert contents(shipped / "digits") != before


def test_a_shipped_name_is_refused_where_it_would_stand_for_two_entrants_and_free_in_a_folder_of_its_own(
    harness_here,
) -> None:
    for more in ((), ("--out", "zoo"), ("--out", "zoo", "--force")):
        refused = harness_here(*JOB, *more)
        assert refused.returncode == 2
        assert "ships with the project" in refused.stderr
        assert not (Path("zoo").exists() or Path("entrants").exists())
    assert harness_here(*JOB, "--out", "elsewhere").returncode == 0
    assert Path("elsewhere/digits/standard.safetensors").exists()


def test_python_refuses_as_the_command_does_and_replaces_with_force(harness_here) -> None:
    first = train("digits", ONE, images=IMAGES, name="mine")
    before = first.path.read_bytes()
    other = ONE.changed({"seed": 2})
    with pytest.raises(BadInput, match=r"another command made \(seed: 1, now 2\)"):
        train("digits", other, images=IMAGES, name="mine")
    with pytest.raises(BadInput, match=r"\(norm: Linf, now L2\)"):
        train(SUITES["digits"].__class__(**{**vars(SUITES["digits"]), "norm": "L2"}), ONE, images=IMAGES, name="mine")
    with pytest.raises(BadInput, match=r"another command made \(fingerprint: "):
        train("digits", ONE, images=digits("train").first(101), name="mine")
    assert first.path.read_bytes() == before
    train("digits", other, images=IMAGES, name="mine", force=True)
    assert first.path.read_bytes() != before


def test_a_card_from_before_a_field_was_there_is_of_the_same_command(harness_here) -> None:
    path = train("digits", ONE, images=IMAGES, name="mine").path.with_suffix(".json")
    card = json.loads(path.read_text())
    del card["training"]["recipe"]["ema"]
    path.write_text(json.dumps(card))
    train("digits", ONE, images=IMAGES, name="mine")
    assert json.loads(path.read_text())["training"]["recipe"]["ema"] == 0


@pytest.mark.parametrize(
    ("file", "text", "part"),
    [
        ("mine.safetensors", "weights", "whose weights are there without a card"),
        ("mine.last.safetensors", "weights", "whose weights are there without a card"),
        ("mine.json", "{", "whose card is there and cannot be read"),
        ("mine.last.json", "{}", "whose last epoch would be written over the entrant mine.last"),
    ],
)
def test_files_that_no_command_of_ours_made_are_left_alone(harness_here, file: str, text: str, part: str) -> None:
    folder = Path("entrants/digits")
    folder.mkdir(parents=True)
    (folder / file).write_text(text)
    with pytest.raises(BadInput, match=part):
        train("digits", ONE, images=IMAGES, name="mine")
    assert contents(folder) == {file: text.encode()}


def test_a_run_that_was_killed_between_weights_and_card_goes_on(harness_here, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(Exception):
        pass

    def killed(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("harness.training.entrant.save_entrant", killed)
        with pytest.raises(Killed):
            train("digits", ONE, images=IMAGES, name="mine")
    Path("entrants/digits/mine.safetensors").write_bytes(b"half of it")
    made = train("digits", ONE, images=IMAGES, name="mine")
    assert made.path.read_bytes() != b"half of it"


def test_an_entrant_that_was_trained_on_other_images_is_the_suites_and_its_card_names_them(harness_here) -> None:
    images = digits("train").first(150)
    Path("data/copies").mkdir(parents=True)
    pixels = images.images.permute(0, 2, 3, 1).numpy() // 2
    np.savez("data/copies/train.npz", image=pixels, label=images.labels.numpy())
    trained = harness_here(*JOB, "--train-on", "copies", "--name", "mine")
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.splitlines()[-1] == "judge it: harness run --suite digits --entrants mine"
    card = json.loads(Path("entrants/digits/mine.json").read_text())
    assert (card["suite"], card["training"]["dataset"], card["training"]["images"]) == ("digits", "copies", 100)
    judged = harness_here("run", "--suite", "digits", "--entrants", "mine", "--measures", "standard", "--limit", "20")
    assert judged.returncode == 0, judged.stderr
    assert "mine" in judged.stdout
    refused = harness_here(*JOB, "--train-on", "absent", "--name", "other")
    assert refused.returncode == 2
    assert "expected the data set absent under" in refused.stderr
