"""Which network turns images into features, and where it is: torch-fidelity's Inception for colour images, the project's own
for digits.

A score means something beside scores of the same extractor alone: `Extractor.label` names it with its sha256.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import BadInput, one_line
from harness.features.digits import DIGITS_WEIGHTS
from zoo.entrant import sha256_of_file

INCEPTION = "inception-v3-compat"
"""torch-fidelity's name of the Inception of the TensorFlow code, by which published IS, FID and KID are made."""
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
DIGITS = "digits-features"
BATCH = 64


@dataclass(frozen=True)
class Extractor:
    """A network of torch-fidelity's registry, its weights, and the layers that scores are made from."""

    name: str
    weights: Path
    sha256: str
    features: str
    logits: str

    @property
    def label(self) -> str:
        return f"{self.name} {self.sha256[:8]}"

    def settings(self) -> dict[str, str]:
        """What a record says of it."""
        return {"name": self.name, "sha256": self.sha256, "features": self.features, "logits": self.logits}

    def __call__(self, images: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 to features (N, F) and logits (N, L), float32 on the CPU."""
        network = _network(self, device)
        found = []
        with torch.no_grad():
            for batch in images.split(BATCH):
                found.append([part.cpu() for part in network(batch.to(device))])
        features, logits = (torch.cat(parts) for parts in zip(*found, strict=True))
        return features, logits


@cache
def _network(extractor: Extractor, device: torch.device) -> nn.Module:
    register()
    from torch_fidelity.utils import create_feature_extractor

    layers = [extractor.features, extractor.logits]
    path = str(extractor.weights)
    return create_feature_extractor(
        extractor.name, layers, cuda=False, feature_extractor_weights_path=path, verbose=False
    ).to(device)


def register() -> None:
    """Make the project's own extractor known to torch-fidelity, once a process."""
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

    from harness.features.digits_extractor import DigitsExtractor

    if DIGITS not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(DIGITS, DigitsExtractor)


def digits_extractor() -> Extractor:
    """The shipped one. See its card, digits.json, for recipe and accuracy."""
    return Extractor(DIGITS, DIGITS_WEIGHTS, sha256_of_file(DIGITS_WEIGHTS), "64", "logits")


def inception(weights: Path | None) -> Extractor | None:
    """Inception with the weights given, else those in torch's hub cache; None where there are none.

    Raises BadInput for a file that was asked for and is not there or does not hold plain tensors: torch-fidelity would
    unpickle whatever it finds.
    """
    path = weights or Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    if not path.is_file():
        if weights is None:
            return None
        raise BadInput(f"expected Inception's weights in {path}, got no file; fetch {INCEPTION_FILE} of torch-fidelity")
    try:
        held: Any = torch.load(path, weights_only=True, mmap=True)
        known = isinstance(held, dict) and "Conv2d_1a_3x3.conv.weight" in held
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise BadInput(
            f"expected Inception's weights in {path}, got {one_line(error)[:120]}; fetch {INCEPTION_FILE} again"
        ) from error
    if not known:
        raise BadInput(
            f"expected Inception's weights in {path}, got another checkpoint; fetch {INCEPTION_FILE} of torch-fidelity"
        )
    return Extractor(INCEPTION, path, sha256_of_file(path), "2048", "logits_unbiased")


def extractor_for(dataset: str, shape: tuple[int, int, int], weights: Path | None) -> tuple[Extractor | None, str]:
    """The extractor of a data set's images, or None with the reason that stands where scores would."""
    if dataset == "digits":
        return digits_extractor(), ""
    if shape[0] != 3:
        return None, f"no feature extractor for images of {'x'.join(map(str, shape))}"
    found = inception(weights)
    return found, "" if found else "no feature extractor: Inception's weights are not here (--inception-weights)"
