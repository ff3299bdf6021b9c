"""The trained network inside the package pyautoattack, in this project's architecture."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import torch

from zoo import Domain, find
from zoo.pyautoattack import resnet18


def test_it_gives_the_logits_of_the_packages_own_network() -> None:
    package = importlib.util.find_spec("pyautoattack")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "examples"
    spec = importlib.util.spec_from_file_location("pyautoattack_resnet", folder / "resnet.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    theirs = module.ResNet18()
    theirs.load_state_dict(torch.load(folder / "model_test.pt", map_location="cpu", weights_only=True))
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(resnet18()(images), theirs.eval()(images), rtol=1e-6, atol=1e-5)


def test_it_is_an_entrant_of_cifar10_for_everyone(tmp_path: Path, cifar10: Domain) -> None:
    entrant = find("python:zoo.pyautoattack:resnet18", cifar10, model_dir=tmp_path)
    assert entrant.missing() == ()
    model = entrant.load()
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_173_962
    weights = entrant.weights()
    assert {file.name for file in weights.files} == {"zoo/architectures/resnet.py", "zoo/pyautoattack.py"}
    source = Path(importlib.util.find_spec("zoo.pyautoattack").origin)  # type: ignore[union-attr, arg-type]
    assert hashlib.sha256(source.read_bytes()).hexdigest() in {file.sha256 for file in weights.files}
