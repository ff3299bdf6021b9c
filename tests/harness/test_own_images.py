"""Images of the user's own, from a folder, from .npz files and from code: every verb takes them, as docs/training.md says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
CLASSES = ("bars", "dots", "plain")

CODE = """
import numpy as np

def load(split):
    rng = np.random.default_rng(0 if split == "train" else 1)
    n = 96 if split == "train" else 24
    y = np.arange(n) % 3
    x = rng.integers(60, 120, (n, 3, 12, 12)).astype(np.uint8)
    x[y == 0, :, :, ::3] += 100
    x[y == 1, :, ::4, ::4] += 130
    return x, y, ["bars", "dots", "plain"]

load.name = "shapes"
"""


def block(title: str, language: str) -> str:
    """The first block of a language in a section of the guide."""
    section = GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    found = re.search(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def commands() -> list[list[str]]:
    return [line.split()[1:] for line in block("Data of your own", "sh").splitlines()]


def written(form: str) -> None:
    """The images, as one of the three forms, in the working directory; what reads them from code is there in any case."""
    place: dict[str, Callable[..., tuple[np.ndarray, np.ndarray, list[str]]]] = {}
    exec(CODE, place)
    Path("my_data.py").write_text(CODE)
    for split in ("train", "test"):
        x, y, _ = place["load"](split)
        folder = Path("data/shapes")
        folder.mkdir(parents=True, exist_ok=True)
        if form == "arrays":
            np.savez(folder / f"{split}.npz", image=np.moveaxis(x, 1, 3), label=y)
        for number, (image, label) in enumerate(zip(x, y, strict=True) if form == "pictures" else ()):
            (folder / split / CLASSES[label]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.moveaxis(image, 0, 2)).save(folder / split / CLASSES[label] / f"{number}.png")
    suite = block("Data of your own", "toml")
    Path("suites").mkdir()
    Path("suites/shapes.toml").write_text(suite.replace('"shapes" ', '"my_data:load" ') if form == "code" else suite)
    Path("recipe.toml").write_text(block("A recipe of your own", "toml"))
    Path("my_module.py").write_text(block("An objective and an architecture of your own", "python"))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pictures", "arrays", "code"])
def test_every_verb_takes_ones_own_images_as_the_guide_to_training_says(harness_here, form: str) -> None:
    written(form)
    verbs = []
    for arguments in commands():
        if arguments[0] in ("run", "experiment", "check"):
            arguments += ["--workers", "0"]
        result = harness_here(*arguments)
        assert result.returncode == 0, result.stderr + result.stdout
        verbs.append(arguments[0])
    assert verbs == ["train", "run", "baseline", "check", "verify", "experiment"]
    split = np.full((24, 12, 12, 3), 0.5, dtype=np.float32)
    np.savez("images.npz", image=split)
    words = re.search(r"`harness (challenge --suite suites/shapes.toml[^`]*)`", GUIDE)
    assert words is not None
    challenged = harness_here(*words[1].split(), "--who", "me", "--how", "grey")
    assert challenged.returncode == 0, challenged.stderr
    assert "24 refused" in challenged.stdout


def test_a_training_on_ones_own_pictures_and_its_judgement_from_a_folder_below(harness_here, tmp_path: Path) -> None:
    Path(".git").mkdir()
    written("pictures")
    below = Path("notes/deep").resolve()
    below.mkdir(parents=True)
    up = "../.."
    suite = ("--suite", f"{up}/suites/shapes.toml")
    trained = harness_here("train", *suite, "--recipe", f"{up}/recipe.toml", "--name", "mine", cwd=below)
    assert trained.returncode == 0, trained.stderr
    assert Path("entrants/shapes/mine.safetensors").exists()
    judged = harness_here(
        "run", *suite, "--entrants", "mine", "--measures", "standard", "--dry-run", "--workers", "0", cwd=below
    )
    assert judged.returncode == 0, judged.stderr
    assert not (below / "data").exists()


@pytest.mark.parametrize("form", ["pictures", "arrays", "code"])
def test_a_suite_without_classes_and_shape_is_told_those_of_its_images(harness_here, form: str) -> None:
    written(form)
    file = Path("suites/shapes.toml")
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith(("classes", "shape"))))
    result = harness_here("train", "--suite", str(file), "--recipe", "sat")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "got no classes, shape" in line
    classes = "" if form == "arrays" else "classes = 3, "
    assert f"shapes has {classes}shape = [3, 12, 12]" in line


def test_images_that_do_not_fit_the_suite_are_told_with_the_suite_that_would_fit(harness_here) -> None:
    written("arrays")
    result = harness_here("train", "--suite", "digits", "--dataset", "shapes", "--recipe", "sat")
    assert result.returncode == 2
    assert 'a .toml file with dataset = "shapes", shape = [3, 12, 12], classes and eps' in result.stderr
