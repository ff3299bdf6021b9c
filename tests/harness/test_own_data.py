"""Data sets of the user's own, as `module:callable`: read, named, and one line for whatever else they return."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data import datasets
from harness.data.images import ImageSet
from harness.data.own_data import OwnData
from harness.errors import BadInput
from harness.suites.files import find_suite
from harness.suites.suite import SUITES
from leaderboards.records.files import read_record

DATA = """
import numpy as np
import torch

def load(split):
    n = {"train": 40, "test": 20}[split]
    images = np.random.default_rng(n).integers(0, 256, (n, 1, 8, 8), dtype=np.uint8)
    return images, np.arange(n) % 10, [str(k) for k in range(10)]

def tensors(split):
    images, labels, classes = load(split)
    return torch.from_numpy(images) / 255, labels.tolist(), tuple(classes)

def image_set(split):
    from harness.data.images import ImageSet

    images, labels, classes = load(split)
    return ImageSet("cifar10", "test", torch.from_numpy(images), torch.from_numpy(labels), tuple(classes), "", "f" * 64)

def named(split):
    return load(split)

named.name = "my-digits"
"""

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module into the working directory; its name is this test's own, as imported modules are kept."""
    place = tmp_path / "cwd"
    place.mkdir()
    monkeypatch.chdir(place)
    name = f"data{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"

    def module(text: str) -> str:
        Path(f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
        return name

    return module


def loaded(dataset: str, tmp_path: Path, split: str = "test") -> ImageSet:
    return datasets.load(dataset, split, data_dir=tmp_path, shape=(1, 8, 8), classes=10)


def test_arrays_tensors_and_image_sets_are_the_same_data(write: Write, tmp_path: Path) -> None:
    module = write(DATA)
    sets = [loaded(f"{module}:{name}", tmp_path) for name in ("load", "tensors", "image_set")]
    assert [found.name for found in sets] == [f"{module}-load", f"{module}-tensors", f"{module}-image_set"]
    expected = sys.modules[module].load("test")
    for found in sets:
        one = found.examples(0, 20)
        assert torch.equal(one.x, torch.from_numpy(expected[0]).float() / 255)
        assert one.y.tolist() == expected[1].tolist()
        assert found.classes == tuple(map(str, range(10)))
    # the fingerprint is of the content, also where the user's set brings one of its own
    assert sets[0].fingerprint == sets[2].fingerprint != "f" * 64
    assert loaded(f"{module}:load", tmp_path, "train").images.shape == (40, 1, 8, 8)


def test_an_array_that_is_mapped_from_a_file_is_read(write: Write, tmp_path: Path) -> None:
    np.save("images.npy", np.full((3, 1, 8, 8), 7, dtype=np.uint8))
    module = write("import numpy as np\ndef load(split): return np.load('images.npy', 'r'), [0, 1, 2], ['a', 'b', 'c']")
    assert loaded(f"{module}:load", tmp_path).images.unique().tolist() == [7]


def test_a_suite_on_ones_own_data_has_a_name_of_its_own_and_finds_the_data_again(write: Write) -> None:
    module = write(DATA)
    suite = SUITES["digits"].on(f"{module}:named")
    assert (suite.name, suite.dataset, suite.loaded_from) == ("my-digits", "my-digits", f"{module}:named")
    assert suite.on("my-digits") == suite, "the name of the images that were loaded"
    assert SUITES["digits"].on(f"{module}:load").name == f"{module}-load"
    assert suite.on("elsewhere").loaded_from == "elsewhere"
    assert SUITES["digits"].loaded_from == "digits"


def test_a_suite_file_may_name_ones_own_data(write: Write, tmp_path: Path) -> None:
    module = write(DATA)
    path = tmp_path / "mine.toml"
    path.write_text(f'base = "digits"\nname = "mine"\ndataset = "{module}:named"\nexamples = 20\n')
    suite = find_suite(str(path))
    assert (suite.name, suite.dataset, suite.loaded_from) == ("mine", "my-digits", f"{module}:named")
    assert suite.domain.dataset == "digits"


THREE = "import numpy as np\ndef load(split): return np.zeros((4, 1, 8, 8), 'uint8'), [0, 1, 2, 3], list('0123456789')"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a callable of the module "),
        ("load = 3", "to be a callable that returns images, labels and class names, got a int;"),
        ("1 / 0", "to import, got ZeroDivisionError"),
        ("def load(): pass", "got TypeError: load() takes 0 positional arguments but 1 was given"),
        ("def load(split): raise KeyError(split)", "('test') to return images, labels and class names, got KeyError:"),
        ("def load(split): raise SystemExit(3)", "got SystemExit: 3"),
        ("def load(split): return None", "to return images, labels and class names, got a NoneType;"),
        ("def load(split): return 1, 2", "to return images, labels and class names, got 2 things;"),
        ("def load(split): return {}, [0], ['a']", "expected images (N, C, H, W) of uint8 or floats"),
        (THREE.replace("(4, 1, 8, 8)", "(4, 8, 8)"), "got uint8 (4, 8, 8); convert them"),
        (THREE.replace("'uint8'", "'int64'"), "got int64 (4, 1, 8, 8); convert them"),
        (THREE.replace("'uint8'", "'>f4'"), "got >f4 (4, 1, 8, 8); convert them"),
        (THREE.replace("np.zeros((4, 1, 8, 8), 'uint8')", "[['a']]"), "uint8 or floats in [0,1] from "),
        (THREE.replace("np.zeros((4, 1, 8, 8), 'uint8')", "np.full((4, 1, 8, 8), 255.0)"), "expected images in [0,1], got"),
        (THREE.replace("np.zeros((4, 1, 8, 8), 'uint8')", "np.full((4, 1, 8, 8), np.nan)"), "expected images in [0,1]"),
        (THREE.replace("[0, 1, 2, 3]", "[0, 1, 2]"), "expected as many labels as images and at least one, got 4 images"),
        (THREE.replace("4, 1", "0, 1").replace("[0, 1, 2, 3]", "np.zeros(0, int)"), "at least one, got 0 images"),
        (THREE.replace("[0, 1, 2, 3]", "[0, 1, 2, 10]"), "expected labels from 0 to 9, got 0 to 10 in "),
        (THREE.replace("[0, 1, 2, 3]", "[0, 1, 2, -1]"), "expected labels from 0 to 9, got -1 to 2 in "),
        (THREE.replace("[0, 1, 2, 3]", "np.eye(4)"), "expected whole numbers (N,) as labels from "),
        (THREE.replace("[0, 1, 2, 3]", "[0.0, 1.0, 2.0, 3.0]"), "expected whole numbers (N,) as labels from "),
        (THREE.replace("[0, 1, 2, 3]", "[True, False, True, True]"), "expected whole numbers (N,) as labels from "),
        (THREE.replace("[0, 1, 2, 3]", "'0123'"), "expected whole numbers (N,) as labels from "),
        (THREE.replace("list('0123456789')", "'0123456789'"), "expected a list of texts as class names from "),
        (THREE.replace("list('0123456789')", "range(10)"), "expected a list of texts as class names from "),
        (THREE.replace("list('0123456789')", "10"), "got 10; name each class"),
        (THREE + "\nload.name = '../up'", "expected a name of letters, digits and . _ + -"),
        (THREE + "\nload.name = 3", "got 3; give the callable an attribute `name` with another"),
        (THREE + "\nload.name = 'cifar10'", "expected a name of their own"),
        (THREE + "\nload.name = 'cifar10-jpeg'", "expected a name of their own"),
    ],
)  # fmt: skip
def test_what_else_is_returned_is_one_clear_line(write: Write, tmp_path: Path, text: str, expected: str) -> None:
    module = write(text)
    with pytest.raises(BadInput) as caught:
        loaded(f"{module}:load", tmp_path)
    assert expected in str(caught.value)
    assert module in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a:", ":load", "a/b.py:load", "a:load:x"])
def test_another_form_is_one_clear_line(text: str) -> None:
    with pytest.raises(BadInput, match="expected module:callable that returns images, labels and class names"):
        OwnData.find(text)


def test_harness_run_judges_on_ones_own_data(harness, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "my_module.py").write_text(DATA)  # where the command is run
    job = ("run", "--suite", "digits", "--entrants", "standard", "--measures", "standard")
    result = harness(*job, "--dataset", "my_module:named", "--workers", "1", "--out", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    assert "JPEG" not in result.stderr
    record = read_record(tmp_path / "out" / "results" / "my-digits" / "standard.json")
    assert (record.suite.dataset, record.suite.examples) == ("my-digits", 20)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (DATA.replace("(n, 1, 8, 8)", "(n, 8, 8, 1)"), ["images of (1, 8, 8)", "(8, 8, 1)", ":load('test')"]),
        (DATA.replace("range(10)", "range(12)"), ["10 classes", "got 12"]),
        ("def load(split): return 3", ["images, labels and class names", "got a int"]),
    ],
)
def test_what_does_not_fit_the_suite_is_one_line_of_the_command(
    harness_here, write: Write, text: str, parts: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path / "cwd")
    module = write(text)
    job = ("run", "--suite", "digits", "--entrants", "standard", "--measures", "standard")
    result = harness_here(*job, "--dataset", f"{module}:load", "--out", str(tmp_path / "out"))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert all(part in line for part in ("expected", module, *parts)), line
