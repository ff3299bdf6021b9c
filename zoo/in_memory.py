"""Entrants that live in this process: a torch.nn.Module, or a function from images to logits.

A module is keyed by its tensors, its plain attributes and the source of its classes, as callables are; what has no source
that can be read (a function, a class typed at a prompt) is keyed by the object itself, and so by nothing that a later process
has: its shards are never taken for another's. Errs in one way: of code that the model calls but that defines none of its
classes, a change does not change the key.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.entrant import Card, EntrantError, Weights, freeze
from zoo.faults import one_line
from zoo.own_code import hidden_buffers, sha256_of_attributes, sha256_of_tensors


class Function(nn.Module):
    """A function from images (N, C, H, W) to logits (N, K), as a module without parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@dataclass(frozen=True, eq=False)
class ModelEntrant:
    """A classifier in memory. It is judged as it is when `load` is called; `name` is what its record calls it."""

    model: nn.Module
    name: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def card(self) -> Card:
        return Card(name=self.name, source="memory", architecture=type(self.model).__name__)

    @property
    def spec(self) -> str:
        return f"memory:{self.name}"

    def transform(self) -> None:
        """The suite's images as they are."""
        return

    def missing(self) -> tuple[Path, ...]:
        """Nothing: it is here."""
        return ()

    def fetch(self) -> None:
        """Nothing to do."""

    def weights(self) -> Weights:
        """The sha256 covers tensors, plain attributes and the source of every class but PyTorch's own."""
        try:
            held = [*self.model.state_dict().items(), *hidden_buffers(self.model)]
            tensors, attributes = sha256_of_tensors(held), sha256_of_attributes(self.model)
        except (RuntimeError, ValueError, TypeError) as error:
            raise EntrantError(
                f"expected {self.name} to have plain tensors, got {one_line(error)}; mend the model"
            ) from error
        text = "\n".join(["memory", tensors, attributes, self._code])
        return Weights(hashlib.sha256(text.encode()).hexdigest())

    @cached_property
    def _code(self) -> str:
        parts = [part for module in self.model.modules() for part in type(module).__mro__]
        own = sorted(
            {part for part in parts if part.__module__.partition(".")[0] not in ("torch", "builtins")}, key=repr
        )
        if any(issubclass(part, Function) for part in own):
            return self.token
        try:
            return "\n".join(inspect.getsource(part) for part in own)
        except (OSError, TypeError):
            return self.token

    def built(self) -> nn.Module:
        """The model itself; to be looked at, not changed."""
        return self.model

    def load(self) -> nn.Module:
        """A copy of the model on the CPU, in eval mode, float32, frozen; the model itself where it cannot be copied."""
        model = self.model
        with contextlib.suppress(Exception):  # some modules hold what cannot be copied
            model = copy.deepcopy(model)
        return freeze(model.cpu().float())


def in_memory(model: nn.Module | Callable[[Tensor], Tensor], name: str | None = None) -> ModelEntrant:
    """A classifier in memory as an entrant; its name is its class's or function's unless one is given."""
    if isinstance(model, torch.nn.Module):
        return ModelEntrant(model, name or type(model).__name__)
    if not callable(model):
        raise EntrantError(
            f"expected a torch.nn.Module or a function from images to logits, got a {type(model).__name__}; give one"
        )
    return ModelEntrant(Function(model), name or str(getattr(model, "__name__", type(model).__name__)))
