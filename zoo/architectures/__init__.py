"""Architectures by name: one family a file, a library's as `timm:<name>`, or the user's own code as `module:callable`.

Each builder takes the number of classes and the image shape (C, H, W). A name stands for one function of the weights
for ever: code that computes something else needs a new name, because results are kept by the name and the sha256 of the
weights. Importing this package does not import torch: command lines show the names.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.entrant import EntrantError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    Builder = Callable[[int, tuple[int, int, int]], nn.Module]


@dataclass(frozen=True)
class Family:
    """A function of a file of this package, which is imported when a network is built."""

    file: str
    function: str

    def __call__(self, classes: int, shape: tuple[int, int, int]) -> nn.Module:
        return getattr(importlib.import_module(f"zoo.architectures.{self.file}"), self.function)(classes, shape)


ARCHITECTURES: dict[str, Builder] = {
    "digits-cnn": Family("cnn", "digits_cnn"),
    "half-resnet-14": Family("half_resnet", "half_resnet_14"),
    "mnist-cnn": Family("cnn", "mnist_cnn"),
    "preact-resnet-18": Family("preactresnet", "preact_resnet_18"),
    "resnet-8": Family("thin_resnet", "resnet_8"),
    "resnet-18": Family("resnet", "resnet_18"),
    "resnet-20": Family("thin_resnet", "resnet_20"),
    "resnet-34": Family("resnet", "resnet_34"),
    "small-cnn": Family("cnn", "small_cnn"),
    "wrn-16-4": Family("wideresnet", "wrn_16_4"),
    "wrn-28-10": Family("wideresnet", "wrn_28_10"),
    "wrn-34-10": Family("wideresnet", "wrn_34_10"),
}

LIBRARIES = ("robustbench", "timm", "torchvision", "transformers")
"""Packages whose networks are named as `<library>:<name>`; modules of the user's cannot have these names."""

FORMS = f"one of {', '.join(sorted(ARCHITECTURES))}, robustbench:<entry>, timm:<name>, torchvision:<name>, or module:callable"
"""What an architecture may be written as, for messages and help."""


def is_own(architecture: str) -> bool:
    """Whether this is written as the user's own code, module:callable; nothing is imported."""
    return ":" in architecture and not is_of_library(architecture)


def is_of_library(architecture: str) -> bool:
    """Whether this is written as a library's network, such as timm:resnet18; nothing is imported."""
    library, colon, _ = architecture.partition(":")
    return bool(colon) and library in LIBRARIES


def told(architecture: str) -> str:
    """What a known architecture is, in a line: the first of its file. Imports torch."""
    family = ARCHITECTURES[architecture]
    assert isinstance(family, Family)
    return (importlib.import_module(f"{__name__}.{family.file}").__doc__ or "").split("\n")[0]


def require_architecture(architecture: str, expected: str = "an architecture") -> str:
    """Give the name back. Raises EntrantError, with the nearest ones, for one that is neither known nor module:callable.

    Neither the user's module nor a library is imported: whether it has the network shows when one is built.
    """
    if is_of_library(architecture):
        if not architecture.partition(":")[2]:
            raise EntrantError(f"expected {expected}, got {architecture!r}; write {architecture}<name>")
        return architecture
    if is_own(architecture):
        from zoo.own_code import OwnCode

        return str(OwnCode.parse(architecture, "a network"))
    if architecture not in ARCHITECTURES:
        hint = did_you_mean(architecture, ARCHITECTURES)
        raise EntrantError(f"expected {expected}, got {architecture!r};{hint} choose {FORMS}")
    return architecture


def builder(architecture: str) -> Builder:
    """What builds an architecture. Raises EntrantError for an unknown name, and for code that does not import."""
    require_architecture(architecture)
    if is_of_library(architecture):
        from zoo.architectures.libraries import LibraryArchitecture

        return LibraryArchitecture.parse(architecture)
    if not is_own(architecture):
        return ARCHITECTURES[architecture]
    from zoo.architectures.own import OwnArchitecture

    return OwnArchitecture.find(architecture)


def build(architecture: str, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """A network with random weights. Raises EntrantError for an unknown name, with the nearest known ones."""
    return builder(architecture)(classes, shape)
