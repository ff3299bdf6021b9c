"""Entrants from the user's own code: `python:<module>:<callable>`, a callable without arguments that gives a model.

A network that is built with random weights is built from the same seed of PyTorch's in every process, so that workers
judge the same one; one that is built differently all the same is refused by whoever compares hashes. What identifies
it, and which way that errs, is told in zoo/own_code.py.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from zoo.cards import read_card
from zoo.described import NOTHING, Said
from zoo.entrant import Card, Domain, EntrantError, Weights, freeze
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
from zoo.project import project_root


@dataclass(frozen=True)
class PythonEntrant:
    """What a callable returns, as a classifier of `domain`.

    Its card is <module>.<callable>.json beside the module in the working directory or the root of its project, or the file
    `card_at`; `said` is what a user says of one without a card.
    """

    module: str
    attribute: str
    domain: Domain
    card_at: Path | None = None
    said: Said = NOTHING

    @property
    def card_path(self) -> Path | None:
        """Of its card, where there is one; nothing is imported to find it."""
        if self.card_at is not None:
            return self.card_at
        beside = f"{self.module.replace('.', '/')}.{self.attribute}.json"
        places = (root / beside for root in (Path.cwd(), project_root()))
        return next((path for path in places if path.is_file()), None)

    @property
    def has_card(self) -> bool:
        """Whether a file says who it is."""
        return self.card_path is not None

    @property
    def card(self) -> Card:
        """As its file says where there is one; else the names of module and callable. Raises EntrantError."""
        path = self.card_path
        if path is None:
            return self.said.of(Card(name=f"{self.module}.{self.attribute}", source="python"))
        found = read_card(path, "python", named_by_file=False, of_code=True)
        found.require(self.domain, path)
        if found.weights is not None:
            raise EntrantError(f"expected no 'weights' in the card of code, got them in {path}; leave them out")
        return self.said.beside(found.card, path)

    @property
    def spec(self) -> str:
        return f"python:{self.module}:{self.attribute}"

    def transform(self) -> None:
        """The suite's images as they are."""
        return

    def missing(self) -> tuple[Path, ...]:
        """Nothing that is known of: what the callable reads is its own affair."""
        return ()

    def fetch(self) -> None:
        """Nothing to do."""

    def weights(self) -> Weights:
        """The sha256 covers the model's tensors and the source files of the callable and of the model's classes."""
        return _construct(self.module, self.attribute)[1]

    def load(self) -> nn.Module:
        """A copy of the model, which is constructed once a process. Raises EntrantError where it does not fit."""
        model = _construct(self.module, self.attribute)[0]
        # some modules hold what cannot be copied; those are handed out themselves
        with contextlib.suppress(Exception):
            model = copy.deepcopy(model)
        model = freeze(model.cpu().float())
        remedy = f"choose a model for {self.domain.suite}"
        require_logits(model, self.spec, self.domain.classes, self.domain.shape, remedy)
        return model


@functools.cache
def _construct(module: str, attribute: str) -> tuple[nn.Module, Weights]:
    """The model and its weights' hash; once a process, because building twice may give two different models."""
    code = OwnCode(module, attribute, prefix="python:")
    found = code.find()
    try:
        with working_directory_importable(), seeded():
            model = found()
    except (Exception, SystemExit) as error:
        raise EntrantError(f"expected {code} to return a torch.nn.Module, got {raised(error)}") from error
    if not isinstance(model, nn.Module):
        raise EntrantError(f"expected {code} to return a torch.nn.Module, got a {type(model).__name__}")
    try:
        files = sources(module, found, model)
        tensors = sha256_of_tensors([*model.state_dict().items(), *hidden_buffers(model)])
        attributes = sha256_of_attributes(model)
    except (RuntimeError, ValueError, TypeError, OSError) as error:  # lazy or sparse tensors, a source that is gone
        raise EntrantError(f"expected {code} to have plain tensors, got {raised(error)}") from error
    # the name too: two callables of one file may differ in nothing that is hashed here but what they do
    text = "\n".join([f"{module}:{attribute}", tensors, attributes, *(f"{file.name} {file.sha256}" for file in files)])
    return model, Weights(hashlib.sha256(text.encode()).hexdigest(), files)
