"""The networks and images of benchmarks/autoattack.py."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import zoo
from harness.data import datasets
from harness.suites.suite import SUITES
from harness.threat import Norm
from zoo.architectures import build


@dataclass(frozen=True)
class Case:
    """A network, n test images and the radius. `spec` is an entrant's, or "trades-mnist" for the file `weights`."""

    name: str
    spec: str
    data: str
    n: int
    eps: float
    folder: str = ""
    weights: str = ""
    norm: Norm = "Linf"


def network(case: Case) -> nn.Module:
    """The case's classifier in eval mode, on the CPU."""
    if case.spec == "trades-mnist":
        model = build("small-cnn", 10, (1, 28, 28))
        model.load_state_dict(torch.load(case.weights, map_location="cpu", weights_only=True))
        return model.eval()
    suite = SUITES["digits" if case.data == "digits" else "cifar10"]
    return zoo.find(case.spec, suite.domain, model_dir=Path("models")).load().eval()


def images(case: Case) -> tuple[Tensor, Tensor]:
    """The first n test images (n, C, H, W) in [0, 1] float32, and labels (n,)."""
    folder = Path(case.folder)
    match case.data:
        case "digits":
            batch = datasets.digits("test").examples(0, case.n)
            return batch.x, batch.y
        case "mnist":
            x = _idx(folder / "t10k-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
            y = _idx(folder / "t10k-labels-idx1-ubyte", 8)
        case _:
            with np.load(folder) as file:
                x, y = file["image"].transpose(0, 3, 1, 2), file["label"]
    return torch.from_numpy(x[: case.n] / np.float32(255)).contiguous(), torch.from_numpy(y[: case.n].astype(np.int64))


def _idx(path: Path, header: int) -> np.ndarray:
    """The bytes of an idx file, packed by gzip or not."""
    packed = path.with_name(path.name + ".gz")
    content = path.read_bytes() if path.is_file() else gzip.decompress(packed.read_bytes())
    return np.frombuffer(content, np.uint8, offset=header)
