"""Entries of RobustBench: their files, their loading, and what is said when either goes wrong.

The entries are the package's own, with random weights in the files' right form; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from zoo import EntrantError
from zoo.downloads import Downloads
from zoo.robustbench import RobustBenchEntrant, import_robustbench
from zoo.unpickling import FORCE_SAFE, FORCE_UNSAFE

# WRN-40-2, 9 MB: the lightest entry there is
LIGHT = ("Hendrycks2020AugMix_WRN", "cifar10", "corruptions")


@pytest.fixture(autouse=True)
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def light(tmp_path: Path) -> RobustBenchEntrant:
    return RobustBenchEntrant(*LIGHT, model_dir=tmp_path / "models")


def constructed(name: str, dataset: str, threat: str) -> nn.Module:
    """The package's network for an entry, with random weights and random normalisation statistics."""
    model = import_robustbench()[dataset, threat][name]["model"]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def save(content: Any, entrant: RobustBenchEntrant, number: int = 0) -> Path:
    path = entrant.files()[number].path
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))


def message(error: pytest.ExceptionInfo[EntrantError]) -> str:
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
    return str(error.value)


# loading


@pytest.mark.parametrize(
    ("name", "dataset", "threat", "wrap"),
    [
        (*LIGHT, lambda state: state),
        (*LIGHT, lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}}),
        ("Sehwag2021Proxy_R18", "cifar10", "L2", lambda state: {"state_dict": state}),
        ("Rade2021Helper_R18_ddpm", "cifar100", "Linf", lambda state: state),
        ("Rice2020Overfitting", "cifar100", "Linf", lambda state: state),
    ],
)
def test_an_entry_gives_the_logits_of_its_network_bit_for_bit(
    name: str, dataset: str, threat: str, wrap: Any, tmp_path: Path
) -> None:
    entrant = RobustBenchEntrant(name, dataset, threat, tmp_path)
    network = constructed(name, dataset, threat)
    path = save(wrap(network.state_dict()), entrant)
    assert path == tmp_path / dataset / threat / f"{name}.pt"
    torch.manual_seed(3)
    before = torch.get_rng_state()
    model = entrant.load()
    assert torch.equal(logits(model), logits(network))
    assert torch.equal(torch.get_rng_state(), before), "loading drew from the caller's random state"
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {tensor.dtype for tensor in model.state_dict().values()} <= {torch.float32, torch.int64}


def test_an_ensemble_is_loaded_from_its_numbered_files(tmp_path: Path) -> None:
    entrant = RobustBenchEntrant("Chen2020Adversarial", "cifar10", "Linf", tmp_path)
    folder = tmp_path / "cifar10" / "Linf"
    assert entrant.missing() == tuple(folder / f"Chen2020Adversarial.pt_m{i}.pt" for i in range(3))
    network = constructed("Chen2020Adversarial", "cifar10", "Linf")
    for number, part in enumerate(network.models):
        save({"state_dict": part.state_dict()}, entrant, number)
    assert len(entrant.weights().files) == 3
    assert torch.equal(logits(entrant.load()), logits(network))


def test_an_entry_of_timm_is_loaded_from_the_folder_of_torch_hub(tmp_path: Path, torch_home: Path) -> None:
    import timm

    entrant = RobustBenchEntrant("Debenedetti2022Light_XCiT-S12", "cifar10", "Linf", tmp_path)
    assert entrant.missing() == (torch_home / "debenedetti2022light-xcit-s-cifar10-linf.pth.tar",)
    network = timm.create_model("debenedetti2022light_xcit_s12_cifar10_linf", num_classes=10, pretrained=False).eval()
    save({"model": network.model.state_dict(), "args": argparse.Namespace(epochs=20)}, entrant)
    assert torch.equal(logits(entrant.load()), logits(network))


def test_the_standard_network_of_imagenet_is_torchvisions_and_its_file_may_hold_no_code(
    tmp_path: Path, torch_home: Path, hostile: object, marker: Path
) -> None:
    entrant = RobustBenchEntrant("Standard_R50", "imagenet", "Linf", tmp_path)
    assert entrant.missing() == (torch_home / "resnet50-0676ba61.pth",)
    save({"conv1.weight": hostile}, entrant)
    with pytest.raises(EntrantError, match="its loader reads nothing else, do not use this file") as error:
        entrant.load()
    assert message(error)
    assert not marker.exists()


def test_a_checkpoint_with_its_command_line_and_numpy_scalars_needs_no_decision(light: RobustBenchEntrant) -> None:
    network = constructed(*LIGHT)
    arguments = argparse.Namespace(model="wrn", lr=0.1)
    save({"state_dict": network.state_dict(), "args": arguments, "best": np.float64(0.6)}, light)
    assert torch.equal(logits(light.load()), logits(network))


def test_a_pickle_that_holds_code_is_refused_until_it_is_allowed(
    light: RobustBenchEntrant, hostile: object, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FORCE_SAFE, raising=False)
    monkeypatch.delenv(FORCE_UNSAFE, raising=False)
    network = constructed(*LIGHT)
    save({"state_dict": network.state_dict(), "hook": hostile}, light)
    environment = dict(os.environ)
    with pytest.raises(EntrantError) as error:
        light.load()
    assert message(error) == (
        "expected plain tensors in Hendrycks2020AugMix_WRN.pt, got a pickle that holds code (posix.system);"
        " pass --allow-pickle Hendrycks2020AugMix_WRN only if you trust its author"
    )
    assert not marker.exists()
    assert torch.equal(logits(replace(light, allow_pickle=True).load()), logits(network))
    assert marker.exists()
    assert dict(os.environ) == environment
    marker.unlink()
    with pytest.raises(EntrantError):
        light.load()
    assert not marker.exists(), "the permission outlived its load"


def test_a_checkpoint_of_another_network_is_one_short_line(light: RobustBenchEntrant) -> None:
    state = constructed(*LIGHT).state_dict()
    state["fc.weight"] = torch.ones(100, 128)
    state["head.weight"] = state.pop("conv1.weight")
    save(state, light)
    with pytest.raises(EntrantError) as error:
        light.load()
    assert message(error) == (
        'expected the tensors of Hendrycks2020AugMix_WRN, got a checkpoint with missing "conv1.weight" (1 key),'
        " unexpected \"head.weight\" (1 key), shape [100, 128] where [10, 128] is needed of 'fc.weight' (1 key);"
        " check its file"
    )


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": 3}, torch.ones(2)])
def test_a_file_without_a_state_dict_is_one_line(light: RobustBenchEntrant, content: Any) -> None:
    save(content, light)
    with pytest.raises(EntrantError, match=f"expected .*{light.name}.*, got ") as error:
        light.load()
    assert message(error)


@pytest.mark.skipif(torch.cuda.is_available(), reason="its constructor works where there is a GPU")
@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("Bai2023Improving_edm", "cifar10"),
        ("Bai2023Improving_edm", "cifar100"),
        ("Bai2023Improving_trades", "cifar100"),
    ],
)
def test_an_entry_whose_constructor_needs_a_gpu_is_one_line_without_one(
    name: str, dataset: str, tmp_path: Path
) -> None:
    entrant = RobustBenchEntrant(name, dataset, "Linf", tmp_path)
    for number in range(3):
        save({"weight": torch.ones(1)}, entrant, number)
    with pytest.raises(EntrantError, match=f"expected {name} to load, got ") as error:
        entrant.load()
    assert message(error)


def test_what_the_constructors_print_does_not_reach_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], light: RobustBenchEntrant
) -> None:
    network = constructed(*LIGHT)
    save(network.state_dict(), light)

    def talkative() -> nn.Module:
        print("The STD classifier has 1 parameters.")  # noqa: T201  as the package does
        return network

    monkeypatch.setitem(import_robustbench()["cifar10", "corruptions"][light.name], "model", talkative)
    light.load()
    assert capfd.readouterr().out == ""


# files


def test_every_one_of_the_206_entries_knows_its_files_without_being_built(
    tmp_path: Path, torch_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was built")

    boards = import_robustbench()
    monkeypatch.setattr(nn.Module, "__init__", refuse)
    paths = {}
    for (dataset, threat), names in boards.items():
        for name in names:
            paths[dataset, threat, name] = RobustBenchEntrant(name, dataset, threat, tmp_path).missing()
    assert len(paths) == 206
    assert all(paths.values())
    in_hub = {key[2] for key, files in paths.items() if files[0].parent == torch_home}
    assert in_hub == {
        *(f"Debenedetti2022Light_XCiT-{size}12" for size in "SML"),
        "Tian2022Deeper_DeiT-S",
        "Tian2022Deeper_DeiT-B",
        "AlexNet",
        "Standard_R50",
    }
    for (dataset, threat, name), files in paths.items():
        if name not in in_hub:
            assert files[0].parent == tmp_path / dataset / threat
            assert all(file.name.startswith(f"{name}.pt") for file in files)
    assert sum(len(files) > 1 for files in paths.values()) == 11


def test_missing_files_are_named_with_the_command_that_gets_them(light: RobustBenchEntrant) -> None:
    (path,) = light.missing()
    for method in (light.weights, light.load):
        with pytest.raises(EntrantError) as error:
            method()
        assert message(error) == (
            f"expected the files of {light.name}, got no {path};"
            f" download with harness run ... --entrants robustbench:{light.name} --download"
        )
    assert not path.parent.exists(), "asking for a file made its folder"


def test_a_page_in_a_checkpoints_place_is_refused_and_kept_until_it_is_fetched(
    light: RobustBenchEntrant, file_host: Any
) -> None:
    path = save({}, light)
    path.write_bytes(file_host.body)
    assert light.missing() == (path,)
    for method in (light.weights, light.load):
        with pytest.raises(EntrantError, match=f"expected a checkpoint in {path}, got a web page") as error:
            method()
        assert message(error)
        assert path.read_bytes() == file_host.body
    network, stream = constructed(*LIGHT), io.BytesIO()
    torch.save(network.state_dict(), stream)
    file_host.gives(stream.getvalue())
    replace(light, downloads=Downloads(drive=file_host.url + "/uc?id={id}")).fetch()
    assert file_host.asked == ["/uc?id=1wy7gSRsUZzCzj8QhmTbcnwmES_2kkNph"]
    assert light.missing() == ()
    assert torch.equal(logits(light.load()), logits(network))


def test_a_quota_page_is_refused_and_removed(light: RobustBenchEntrant, file_host: Any) -> None:
    entrant = replace(light, downloads=Downloads(drive=file_host.url + "/uc?id={id}"))
    path = save({}, light)
    path.write_bytes(file_host.body)
    with pytest.raises(EntrantError, match=f"expected the checkpoint {path.name} from .*, got a web page") as error:
        entrant.fetch()
    assert message(error)
    assert os.listdir(path.parent) == []


def test_files_that_are_there_are_not_fetched_again(light: RobustBenchEntrant, file_host: Any) -> None:
    save({"weight": torch.ones(1)}, light)
    replace(light, downloads=Downloads(drive=file_host.url + "/uc?id={id}")).fetch()
    assert file_host.asked == []


def test_an_entry_of_timm_is_fetched_from_its_address(tmp_path: Path, torch_home: Path, file_host: Any) -> None:
    stream = io.BytesIO()
    torch.save({"weight": torch.ones(1)}, stream)
    file_host.gives(stream.getvalue())
    downloads = Downloads(hub=file_host.url + "/{file}")
    RobustBenchEntrant("Tian2022Deeper_DeiT-B", "imagenet", "corruptions", tmp_path, downloads=downloads).fetch()
    assert os.listdir(torch_home) == ["tian2022deeper-deit-b.pth"]
    assert file_host.asked == ["/tian2022deeper-deit-b.pth"]


# what it is called, and what it depends on


def test_the_card_is_what_is_published(tmp_path: Path) -> None:
    card = RobustBenchEntrant("Carmon2019Unlabeled", "cifar10", "Linf", tmp_path).card
    assert (card.name, card.source, card.architecture) == ("Carmon2019Unlabeled", "robustbench", "WideResNet-28-10")
    assert card.title == "Unlabeled Data Improves Adversarial Robustness"
    assert card.additional_data is True


def test_the_weights_hash_changes_with_the_bytes_the_entry_and_the_package(
    light: RobustBenchEntrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save({"weight": torch.ones(1)}, light)
    first = light.weights()
    assert [(file.name, file.sha256) for file in first.files] == [
        (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    ]
    assert light.weights() == first
    # the same bytes as another entry's
    other = replace(light, name="Hendrycks2020AugMix_ResNeXt")
    other.files()[0].path.write_bytes(path.read_bytes())
    assert other.weights().files[0].sha256 == first.files[0].sha256
    assert other.weights().sha256 != first.sha256
    monkeypatch.setattr("importlib.metadata.version", lambda package: "1.1.2")
    assert light.weights().sha256 != first.sha256
    monkeypatch.undo()
    save({"weight": torch.zeros(1)}, light)
    assert light.weights().sha256 != first.sha256


def test_an_unknown_entry_is_one_line_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(EntrantError, match="did you mean Rice2020Overfitting") as error:
        RobustBenchEntrant("Rice2020Overfiting", "cifar10", "Linf", tmp_path).missing()
    assert message(error)
