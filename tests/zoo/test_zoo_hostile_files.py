"""Files whose tensors fit a network by name and are another function: refused, or told. And folders that would run code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from zoo import Domain, EntrantError, find
from zoo.architectures import build

DOMAIN = Domain("cifar10", "cifar10", "Linf", 10, (3, 32, 32))


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(build("resnet-8", 10, (3, 32, 32)).state_dict())


def entrant(folder: Path, held: object, rest: str = "@resnet-8"):
    path = folder / "mine.pt"
    torch.save(held, path)
    return find(f"checkpoint:{path}{rest}", DOMAIN, model_dir=Path("models"))


@pytest.mark.parametrize(
    ("name", "shape"), [("mean", (3, 32, 32)), ("features.mean", (64,)), ("bottleneck.mu", (64, 64))]
)
def test_a_mean_that_is_none_of_channels_is_refused_unless_the_place_is_named(tensors, tmp_path, name, shape):
    held = {**tensors, name: torch.rand(shape)}
    with pytest.raises(EntrantError, match=r"which may belong to the network; .*@take=\."):
        entrant(tmp_path, held).load()
    assert entrant(tmp_path, held, "@resnet-8@take=.").load() is not None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda tensor: (tensor * 50).to(torch.int8), "whole"),
        (lambda tensor: tensor > 0, "whole"),
        (lambda tensor: tensor + 1j * tensor, "complex"),
        (lambda tensor: tensor.to("meta"), "absent"),
    ],
)
def test_numbers_that_a_network_cannot_have_as_they_are_are_refused(tensors, tmp_path, changed, said):
    held = {name: changed(tensor) if name == "conv1.weight" else tensor for name, tensor in tensors.items()}
    with pytest.raises(EntrantError, match=rf"expected floating-point numbers for conv1.weight .* got {said} ones"):
        entrant(tmp_path, held).load()


@pytest.mark.parametrize("first", [True, False])
def test_a_compiled_network_beside_another_of_the_same_names_is_never_taken_for_it(tensors, tmp_path, first):
    other = {f"_orig_mod.{name}": tensor + 1 for name, tensor in tensors.items()}
    with pytest.raises(EntrantError, match=r"expected one network of resnet-8 in .*, got 2"):
        entrant(tmp_path, {**tensors, **other} if first else {**other, **tensors}).load()


@pytest.mark.parametrize("values", [[0.5, 0.4, 0.3], torch.tensor([0.5, 0.4, 0.3])])
def test_a_mean_and_a_std_elsewhere_in_a_file_are_told(tensors, tmp_path, values):
    held = {"state_dict": tensors, "hparams": {"mean": values, "std": values}}
    note = entrant(tmp_path, held).weights().note
    assert "'hparams.mean' and 'hparams.std' of the file not used: write @mean=...@std=..." in note
    assert "not used" not in entrant(tmp_path, held, "@resnet-8@mean=0.5@std=0.5").weights().note


def test_other_networks_of_a_file_are_told(tensors, tmp_path):
    held = {"classifier": tensors, "purifier": {"conv.weight": torch.rand(3, 3, 3, 3)}, "scores": {"a": torch.rand(3)}}
    assert entrant(tmp_path, held).weights().note == "tensors of 'classifier'; not read: 'purifier'"


class Normalising(nn.Module):
    """Has a mean and a std of the usual shape of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.register_buffer("std", torch.ones(1, 3, 1, 1))
        self.last = nn.Linear(3 * 32 * 32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(((x - self.mean) / self.std).flatten(1))


def normalising(classes: int, shape: tuple[int, int, int]) -> nn.Module:
    return Normalising()


def test_a_mean_of_another_form_is_loaded_and_one_of_other_numbers_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    network = Normalising()
    held, rest = network.state_dict(), f"@{Path(__file__).stem}:normalising"
    flat = {**held, "mean": torch.tensor([0.1, 0.2, 0.3])}
    network.mean.copy_(flat["mean"].view(1, 3, 1, 1))
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(entrant(tmp_path, flat, rest).load()(x), network(x))
    with pytest.raises(EntrantError, match=r"expected 3 numbers for mean of .*, got 1 in"):
        entrant(tmp_path, {**held, "mean": torch.zeros(1)}, rest).load()


class Code:
    """A pickle of it makes the file `made`."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self):
        return os.mkdir, (str(self.made),)


def test_a_folder_of_hugging_face_unpickles_no_other_file_and_names_no_other_place(tmp_path):
    timm = pytest.importorskip("timm")
    folder, made = tmp_path / "net", tmp_path / "made"
    folder.mkdir()
    safetensors.torch.save_file(
        timm.create_model("resnet10t", num_classes=10).state_dict(), folder / "model.safetensors"
    )
    torch.save({"state_dict": Code(made)}, folder / "other.pth")

    def load(architecture: str, **arguments: object) -> None:
        config = {"architecture": architecture, "num_classes": 10, "model_args": arguments}
        (folder / "config.json").write_text(json.dumps(config))
        find(f"checkpoint:{folder}", DOMAIN, model_dir=Path("models")).load()

    for key, value in {"checkpoint_path": str(folder / "other.pth"), "pretrained": True}.items():
        with pytest.raises(EntrantError, match=f"'{key}' in model_args, which loads other weights"):
            load("resnet10t", **{key: value})
    with pytest.raises(EntrantError, match="no network of timm's own"):
        load("hf_hub:someone/something")
    assert not made.exists()
    load("resnet10t")
