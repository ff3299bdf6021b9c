"""An architecture of the user's own: a callable that returns a network, named as `module:callable`.

It is given the number of classes as `classes` or `num_classes` and the image shape (C, H, W) as `shape`, where its
signature has parameters of those names.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from zoo.entrant import EntrantError, WeightsFile
from zoo.own_code import (
    OwnCode,
    hidden_buffers,
    raised,
    require_logits,
    seeded,
    sha256_of_attributes,
    sha256_of_tensors,
    sources,
    working_directory_importable,
)


@dataclass(frozen=True)
class OwnArchitecture:
    """What builds the network; `found` is the callable that `code` names."""

    code: OwnCode
    found: Callable[..., Any]

    @classmethod
    def find(cls, architecture: str) -> OwnArchitecture:
        """Import the callable. Raises EntrantError, one line."""
        code = OwnCode.parse(architecture, "a network")
        return cls(code, code.find())

    def __call__(self, classes: int, shape: tuple[int, int, int]) -> nn.Module:
        """A network in training mode with the weights that the callable gives it.

        Raises EntrantError unless it takes images (N, C, H, W) of the shape and gives logits (N, classes).
        """
        try:
            with working_directory_importable():
                network = self.found(**self._arguments(classes, shape))
        except (Exception, SystemExit) as error:  # it is the user's code
            raise EntrantError(f"expected {self.code} to return a torch.nn.Module, got {raised(error)}") from error
        if not isinstance(network, nn.Module):
            raise EntrantError(f"expected {self.code} to return a torch.nn.Module, got a {type(network).__name__}")
        remedy = "let it take classes (or num_classes) and shape, and build its last layer for them"
        require_logits(
            network.cpu().float().eval(), self.code, classes, shape, remedy
        )  # in eval mode statistics stay as they are
        return network.train()

    def identity(self, classes: int, shape: tuple[int, int, int]) -> tuple[str, tuple[WeightsFile, ...]]:
        """What a network is made of besides the tensors of its state dict: a sha256 (hex), and the source files in it.

        The sha256 covers the files, the plain attributes of the modules and the buffers that the state dict leaves out.
        """
        with seeded():
            network = self(classes, shape)
        try:
            files = sources(self.code.module, self.found, network)
            parts = [sha256_of_tensors(hidden_buffers(network)), sha256_of_attributes(network)]
        except (RuntimeError, ValueError, TypeError, OSError) as error:  # sparse tensors, a source that is gone
            raise EntrantError(f"expected {self.code} to have plain tensors, got {raised(error)}") from error
        text = "\n".join([*parts, *(f"{file.name} {file.sha256}" for file in files)])
        return hashlib.sha256(text.encode()).hexdigest(), files

    def _arguments(self, classes: int, shape: tuple[int, int, int]) -> dict[str, Any]:
        try:
            taken = inspect.signature(self.found).parameters
        except (TypeError, ValueError):  # a callable that is written in C tells nothing
            return {}
        given = {"classes": classes, "num_classes": classes, "shape": shape}
        return {name: value for name, value in given.items() if name in taken}
