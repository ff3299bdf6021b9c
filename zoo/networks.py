"""The network that a checkpoint's tensors are for: by an architecture's name, or as a Hugging Face folder says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from zoo.architectures import ARCHITECTURES, build, is_of_library, is_own
from zoo.architectures.libraries import LibraryArchitecture
from zoo.architectures.own import OwnArchitecture
from zoo.bounds import MOST_BYTES, ROOM
from zoo.entrant import Domain, WeightsFile, sha256_of_file
from zoo.hugging_face import HuggingFaceFolder
from zoo.matching import Wanted
from zoo.normalisation import Normalisation
from zoo.own_code import require_logits, seeded

BESIDE = 16
"""How many times the network's tensors a checkpoint may be: an optimiser's state, averaged weights, double precision."""


@dataclass(frozen=True)
class Network:
    """`architecture` for the classes and images of `domain`; `folder` says more where there is one."""

    architecture: str
    domain: Domain
    folder: HuggingFaceFolder | None = None

    def build(self) -> nn.Module:
        """With random weights, from the same seed each time. Raises EntrantError where it cannot be built."""
        with seeded():
            return self._builder(self.domain.classes, self.domain.shape)

    def require_logits(self, network: nn.Module, who: object) -> None:
        """Raise EntrantError unless a library's network takes the suite's images and gives its classes."""
        if self.folder or is_of_library(self.architecture):
            remedy = f"choose a network for {self.domain.classes} classes"
            require_logits(network, who, self.domain.classes, self.domain.shape, remedy)

    @property
    def normalisation(self) -> Normalisation | None:
        """What the folder, or the name of a published configuration of timm, says of its images."""
        if self.folder:
            return self.folder.normalisation
        return LibraryArchitecture.parse(self.architecture).normalisation if self._library else None

    @property
    def wanted(self) -> Wanted:
        """Its tensors' names and shapes. An own architecture is built for it, of others the shapes alone."""
        if self.folder or is_own(self.architecture):
            return Wanted.of(self.build())
        return _wanted(self.architecture, self.domain.classes, self.domain.shape)

    def identity(self) -> tuple[str, tuple[WeightsFile, ...]]:
        """What decides its function beside tensors and name: a line for the hash, and files to list with the weights."""
        if self.folder:
            files = tuple(WeightsFile(path.name, sha256_of_file(path)) for path in self.folder.files)
            return "\n".join([self.folder.version, *(f"{file.name} {file.sha256}" for file in files)]), files
        if self._library:
            return LibraryArchitecture.parse(self.architecture).version, ()
        if is_own(self.architecture):
            return OwnArchitecture.find(self.architecture).identity(self.domain.classes, self.domain.shape)
        return "", ()

    @property
    def most_bytes(self) -> int:
        """How large a checkpoint can be; of code that is not run for this (the user's, a library's) a stated bound."""
        if self.folder or self.architecture not in ARCHITECTURES:
            return MOST_BYTES
        shapes = self.wanted.shapes.values()
        return ROOM + BESIDE * 4 * sum(functools.reduce(int.__mul__, shape, 1) for shape in shapes)

    @property
    def _library(self) -> bool:
        return is_of_library(self.architecture)

    @property
    def _builder(self) -> Callable[[int, tuple[int, int, int]], nn.Module]:
        return self.folder or functools.partial(build, self.architecture)


@functools.cache
def _wanted(architecture: str, classes: int, shape: tuple[int, int, int]) -> Wanted:
    with seeded():
        try:
            with torch.device("meta"):  # shapes alone: nothing is allocated
                return Wanted.of(build(architecture, classes, shape))
        except Exception:  # noqa: BLE001  constructors of libraries that compute with their tensors
            return Wanted.of(build(architecture, classes, shape))
