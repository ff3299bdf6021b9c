"""Architectures of the user's own, as `module:callable`: built, loaded strictly, identified by their code."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import nn

from zoo import Card, Domain, EntrantError, find
from zoo.architectures import build, builder, require_architecture
from zoo.own_entrants import own_entrants, save_entrant

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, classes, scale=1.0):
        super().__init__()
        self.linear = nn.Linear(inputs, classes)
        self.norm = nn.BatchNorm1d(inputs)
        self.scale = scale
        self.register_buffer("noise", torch.randn(inputs), persistent=False)

    def forward(self, x):
        return self.linear(self.norm(self.scale * x.flatten(1) + 0.01 * self.noise))

def net(classes, shape):
    channels, height, width = shape
    return Net(channels * height * width, classes)

def other(classes, shape):
    return net(classes, shape)

def as_timm(num_classes=1000, pretrained=False):
    assert not pretrained
    return Net(64, num_classes)

def plain():
    return Net(64, 10)

def double():
    return Net(64, 10).double()

class Lazy(nn.Sequential):
    def __init__(self, *, classes):
        super().__init__(nn.Flatten(), nn.LazyLinear(classes))
"""

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the module into the working directory, in place of what it was; its name is this test's own."""
    monkeypatch.chdir(tmp_path)
    name = f"nets{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"

    times = count(1_700_000_000)

    def module(text: str) -> str:
        file = Path(f"{name}.py")
        file.write_text(text)
        # Python takes compiled code by the second of the file and its size: two of one size within a second are one to it
        seconds = next(times)
        os.utime(file, (seconds, seconds))
        sys.modules.pop(name, None)  # as a new process would find it
        return name

    return module


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(EntrantError) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["net", "as_timm", "plain", "Lazy", "double"])
def test_a_callable_is_given_the_classes_and_the_shape_that_it_asks_for(write: Write, name: str) -> None:
    network = build(f"{write(NETS)}:{name}", 10, (1, 8, 8))
    assert network(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    assert network.training
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_trying_a_network_out_leaves_its_statistics_and_the_random_state_alone(write: Write) -> None:
    module = write(NETS)
    torch.manual_seed(3)
    network = build(f"{module}:net", 10, (1, 8, 8))
    after = torch.rand(1)
    torch.manual_seed(3)
    found = sys.modules[module].net(10, (1, 8, 8))
    assert torch.equal(torch.rand(1), after)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), found.state_dict().values(), strict=True)
    )
    assert int(network.norm.num_batches_tracked) == 0


def test_a_state_dict_of_ones_own_network_is_an_entrant_by_its_path(
    write: Write, tmp_path: Path, digits: Domain
) -> None:
    module = write(NETS)
    network = build(f"{module}:net", 10, (1, 8, 8)).eval()
    torch.save(network.state_dict(), "mine.pt")
    entrant = find(f"checkpoint:mine.pt@{module}:net", digits, model_dir=tmp_path)
    assert entrant.spec == f"checkpoint:mine.pt@{module}:net"
    assert entrant.card.architecture == f"{module}:net"
    loaded = entrant.load()
    assert torch.equal(loaded.linear.weight, network.linear.weight)
    assert not loaded.training
    # random numbers that no file holds are the same in every process
    assert torch.equal(loaded.noise, entrant.load().noise)
    assert [file.name for file in entrant.weights().files] == ["mine.pt", f"{module}.py"]
    assert entrant.weights() == entrant.weights()


def test_a_saved_network_of_ones_own_is_found_by_its_card(write: Write, tmp_path: Path, digits: Domain) -> None:
    module = write(NETS)
    card = Card(name="mine", source="zoo", architecture=f"{module}:net")
    network = build(card.architecture, 10, (1, 8, 8))
    save_entrant(tmp_path / "digits" / "mine", network, card, digits)
    (entrant,) = (found for found in own_entrants(digits, [tmp_path]) if found.card.name == "mine")
    assert torch.equal(entrant.load().linear.weight, network.linear.weight)
    (tmp_path / f"{module}.py").unlink()
    sys.modules.pop(module)
    assert own_entrants(digits, [tmp_path]), "a list of entrants imports no module"
    assert f"expected a module, got {module!r}, and there is none" in refusal(entrant.load)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x.flatten(1)", "x.flatten(1) * 1"),
        ("return Net(channels * height * width, classes)", "return Net(channels * height * width, classes, 2.0)"),
        ("scale=1.0", "scale=3.0"),
    ],
)
def test_changed_code_is_another_entrant(write: Write, tmp_path: Path, digits: Domain, before: str, after: str) -> None:
    module = write(NETS)
    torch.save(build(f"{module}:net", 10, (1, 8, 8)).state_dict(), "mine.pt")

    def sha256(name: str = "net") -> str:
        return find(f"checkpoint:mine.pt@{module}:{name}", digits, model_dir=tmp_path).weights().sha256

    first = sha256()
    assert sha256("other") != first
    assert NETS.count(before) >= 1
    write(NETS.replace(before, after))
    assert sha256() != first
    write(NETS)
    assert sha256() == first


def test_what_a_helper_module_decides_is_seen_where_the_network_holds_it(
    write: Write, tmp_path: Path, digits: Domain
) -> None:
    helper = Path("helper_of_the_nets.py")
    torch.save(build(f"{write(NETS)}:net", 10, (1, 8, 8)).state_dict(), "mine.pt")
    scaled = "Net(channels * height * width, classes, __import__('helper_of_the_nets').SCALE)"
    module = write(NETS.replace("Net(channels * height * width, classes)", scaled))
    found = set()
    for scale in ("1.0", "20.0"):
        helper.write_text(f"SCALE = {scale}\n")
        sys.modules.pop("helper_of_the_nets", None)
        found.add(find(f"checkpoint:mine.pt@{module}:net", digits, model_dir=tmp_path).weights().sha256)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("", "net", "expected a callable of the module "),
        ("def netz(): pass", "net", "did you mean netz?"),
        ("net = 3", "net", "to be a callable that returns a network, got a int;"),
        ("1 / 0", "net", "to import, got ZeroDivisionError: division by zero;"),
        ("def net(): return 3", "net", ":net to return a torch.nn.Module, got a int"),
        ("def net(width): pass", "net", "got TypeError: net() missing 1 required positional argument: 'width'"),
        ("def net(): raise SystemExit(3)", "net", "got SystemExit: 3"),
        ("from torch import nn\ndef net(): return nn.Flatten()", "net", "of shape (2, 10) for 2 images from "),
        (
            "from torch import nn\ndef net(): return nn.Conv2d(3, 1, 1)",
            "net",
            "to take images (1, 8, 8), got RuntimeError: ",
        ),
    ],
)
def test_what_goes_wrong_is_one_line(write: Write, text: str, name: str, expected: str) -> None:
    module = write(text)
    assert expected in refusal(lambda: build(f"{module}:{name}", 10, (1, 8, 8)))


def test_a_mistyped_module_is_one_line_with_the_nearest(write: Write) -> None:
    module = write(NETS)
    assert f"did you mean {module}?" in refusal(lambda: builder(f"{module}x:net"))


@pytest.mark.parametrize("text", ["a:", ":net", "a b:net", "a:net:x", "a/b.py:net"])
def test_another_form_is_refused_before_anything_is_imported(text: str, digits: Domain, tmp_path: Path) -> None:
    assert "expected module:callable that returns a network" in refusal(lambda: require_architecture(text))
    if "/" not in text:
        refusal(lambda: find(f"checkpoint:a.pt@{text}", digits, model_dir=tmp_path))


def test_a_checkpoint_of_another_network_is_refused_whole(write: Write, tmp_path: Path, digits: Domain) -> None:
    module = write(NETS)
    torch.save(nn.Linear(64, 10).state_dict(), "mine.pt")
    said = refusal(find(f"checkpoint:mine.pt@{module}:net", digits, model_dir=tmp_path).load)
    assert f"expected the tensors of {module}:net for 10 classes in mine.pt, got a checkpoint with missing" in said
