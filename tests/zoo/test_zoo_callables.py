"""Models from the user's own code: found in the working directory, hashed, tried, and one line for what goes wrong."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import zoo
from zoo import Domain, EntrantError
from zoo.callables import PythonEntrant

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.register_buffer("mean", torch.tensor(0.5), persistent=False)

    def forward(self, x):
        return self.linear((x - self.mean).flatten(1))

def robust():
    return Net()
"""

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module into the working directory; names are unique, as imported modules and built models are kept."""
    monkeypatch.chdir(tmp_path)
    unique = f"m{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"

    def module(text: str, name: str = "") -> str:
        full = f"{unique}{name}"
        Path(f"{full}.py").write_text(text)
        return full

    return module


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EntrantError) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_callable_of_the_working_directory_is_an_entrant(write: Write, digits: Domain) -> None:
    path = list(sys.path)
    name = write(MODEL)
    entrant = PythonEntrant(name, "robust", digits)
    model = entrant.load()
    assert sys.path == path
    assert (entrant.spec, entrant.card.name, entrant.card.source) == (
        f"python:{name}:robust",
        f"{name}.robust",
        "python",
    )
    assert entrant.missing() == ()
    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_class_of_a_package_is_an_entrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Domain) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "my_robust_package" / "nets"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("from .linear import Net")
    (package / "linear.py").write_text(MODEL)
    entrant = PythonEntrant("my_robust_package.nets", "Net", digits)
    assert entrant.load()(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    assert [file.name for file in entrant.weights().files] == [
        "my_robust_package/nets.py",
        "my_robust_package/nets/linear.py",
    ]


def test_it_is_constructed_once_and_every_load_is_a_copy(write: Write, digits: Domain) -> None:
    name = write(MODEL + "\ncalls = []\ndef counted():\n    calls.append(1)\n    return Net()\n")
    entrant = PythonEntrant(name, "counted", digits)
    before = entrant.weights()
    first, second = entrant.load(), PythonEntrant(name, "counted", digits).load()
    assert len(sys.modules[name].calls) == 1
    first.linear.weight.fill_(0)
    assert second.linear.weight.abs().sum() > 0
    assert entrant.load().linear.weight.abs().sum() > 0
    assert entrant.weights() == before


def test_a_model_of_another_precision_is_loaded_in_float32(write: Write, digits: Domain) -> None:
    name = write(MODEL + "\ndef double():\n    return Net().double()\n")
    model = PythonEntrant(name, "double", digits).load()
    assert model.linear.weight.dtype == torch.float32


def test_random_weights_are_the_same_in_every_process_and_leave_the_random_state_alone(
    write: Write, digits: Domain
) -> None:
    name = write(MODEL)
    before = torch.get_rng_state()
    here = PythonEntrant(name, "robust", digits).weights().sha256
    assert torch.equal(torch.get_rng_state(), before)
    program = (
        "import torch; torch.manual_seed(7); from zoo.callables import PythonEntrant; from zoo import Domain;"
        f"print(PythonEntrant({name!r}, 'robust', Domain('digits', 'digits', 'Linf', 10, (1, 8, 8))).weights().sha256)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(zoo.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here


def test_the_weights_hash_changes_with_tensors_hidden_buffers_and_source(write: Write, digits: Domain) -> None:
    variants = {
        "_a": MODEL,
        "_same": MODEL,
        "_source": MODEL.replace("flatten(1)", "flatten(1) * 1"),
    }
    source = {key: write(text, key) for key, text in variants.items()}
    shas = {key: PythonEntrant(name, "robust", digits).weights() for key, name in source.items()}
    files = {key: weights.files[0].sha256 for key, weights in shas.items()}
    assert files["_a"] == files["_same"] == hashlib.sha256(MODEL.encode()).hexdigest()
    assert files["_source"] != files["_a"]
    three = write(
        MODEL
        + "\ndef other():\n    net = Net()\n    net.linear.weight.data[0, 0] += 1\n    return net\n"
        + "\ndef hidden():\n    net = Net()\n    net.mean += 1\n    return net\n",
        "_three",
    )
    found = {PythonEntrant(three, attribute, digits).weights().sha256 for attribute in ("robust", "other", "hidden")}
    assert len(found) == 3


@pytest.mark.parametrize(
    ("text", "attribute", "expected"),
    [
        ("", "robust", "and there is none;"),
        ("def robust_net(): pass", "robust_nett", "did you mean robust_net?"),
        ("robust = 3", "robust", "to be a callable that returns a model, got a int;"),
        ("from torch import nn\nrobust = nn.ReLU()", "robust", "to be a callable that returns a model, got a ReLU;"),
        ("def robust(): return {'a': 1}", "robust", "to return a torch.nn.Module, got a dict"),
        ("def robust(): raise KeyError('no\\nfile')", "robust", "to return a torch.nn.Module, got KeyError: "),
        ("def robust(path): pass", "robust", "got TypeError: robust() missing 1 required positional argument"),
        ("def robust(): raise SystemExit(3)", "robust", "got SystemExit: 3"),
        ("raise SystemExit(3)", "robust", "to import, got SystemExit: 3"),
        ("1 / 0", "robust", "to import, got ZeroDivisionError: division by zero"),
        ("import no_such_dependency", "robust", "to import, got ModuleNotFoundError: No module named 'no_such_dep"),
        ("def robust(:", "robust", "to import, got SyntaxError: "),
        ("from torch import nn\ndef robust(): return nn.Flatten()", "robust", "got (2, 64); choose a model for digits"),
        (
            "from torch import nn\ndef robust(): return nn.Conv2d(3, 1, 1)",
            "robust",
            "to take images (1, 8, 8), got RuntimeError: ",
        ),
        (
            "from torch import nn\nclass robust(nn.Module):\n    def forward(self, x): return [x]",
            "robust",
            "got a list; choose a model",
        ),
    ],
)
def test_what_goes_wrong_is_one_line(write: Write, digits: Domain, text: str, attribute: str, expected: str) -> None:
    assert expected in refusal(PythonEntrant(write(text), attribute, digits).load)


def test_a_mistyped_module_is_one_line_with_the_nearest(write: Write, digits: Domain) -> None:
    name = write(MODEL)
    said = refusal(PythonEntrant(f"{name}x", "robust", digits).weights)
    assert f"got '{name}x', and there is none; did you mean {name}?" in said
    assert "and there is none;" in refusal(PythonEntrant("no_such_package.nets", "robust", digits).weights)


def test_a_model_that_cannot_be_copied_is_still_an_entrant(write: Write, digits: Domain) -> None:
    name = write(MODEL + "\ndef generator():\n    net = Net()\n    net.state = (i for i in range(3))\n    return net\n")
    assert isinstance(PythonEntrant(name, "generator", digits).load(), nn.Module)


TWO = """
from torch import nn

class Scaled(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x):
        return self.by * x.flatten(1)[:, :10]

def one():
    return Scaled(1.0)

def two():
    return Scaled(2.0)
"""


def test_two_callables_of_one_file_without_tensors_have_different_hashes(write: Write, digits: Domain) -> None:
    module = write(TWO)
    hashes = {PythonEntrant(module, name, digits).weights().sha256 for name in ("one", "two")}
    assert len(hashes) == 2
