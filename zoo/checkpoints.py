"""Own entrants: an architecture of this project and a file of tensors, with or without a card.

With a card (see zoo/cards.py) a checkpoint is an entrant by its name; by its path any state dict is one whose
architecture is named. Tensors are loaded strictly: a checkpoint of another network is refused, never half loaded.
"""

from __future__ import annotations

import functools
import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from zoo.architectures import FORMS, build, is_own
from zoo.architectures.own import OwnArchitecture
from zoo.bounds import MOST_BYTES, ROOM
from zoo.cards import CardFile, read_card, require_name
from zoo.entrant import Card, Domain, EntrantError, Weights, WeightsFile, freeze, sha256_of_file
from zoo.faults import is_mismatch, is_refused_pickle, mismatch, one_line, refused_pickle
from zoo.formats import Content, content, flaw
from zoo.own_code import seeded
from zoo.unpickling import unpickling

SHIPPED = Path(__file__).parent
"""The folder of the entrants that come with this project: <suite>/<name>.safetensors (or .pt) and .json."""

CONTAINERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training code puts the state dict beside the optimiser and the epoch."""

PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers put before every key: data parallelism, a wrapping module, torch.compile."""

BESIDE = 16
"""How many times the network's tensors a checkpoint may be: an optimiser's state, averaged weights, double precision."""


@dataclass(frozen=True)
class CheckpointEntrant:
    """A file of tensors for a network of `domain`. `architecture` None: as its card says.

    `source` is "zoo" for one that is found by its name and "checkpoint" for one that is given by its path.
    """

    path: Path
    domain: Domain
    architecture: str | None = None
    allow_pickle: bool = False
    source: str = "checkpoint"

    @property
    def card_path(self) -> Path:
        return self.path.with_suffix(".json")

    @property
    def card(self) -> Card:
        """As its file says where there is one; else the file's stem and the architecture. Raises EntrantError."""
        if self._has_card:
            return self._card_file().card
        return Card(name=self.path.stem, source=self.source, architecture=self.architecture or "")

    @property
    def spec(self) -> str:
        if self.source == "zoo":
            return self.path.stem
        return f"checkpoint:{self.path}" + (f"@{self.architecture}" if self.architecture else "")

    def transform(self) -> None:
        """The suite's images as they are."""
        return

    def missing(self) -> tuple[Path, ...]:
        return () if self.path.is_file() else (self.path,)

    def fetch(self) -> None:
        """Own files come from nowhere. Raises EntrantError when the file is not here."""
        if self.missing():
            raise EntrantError(f"expected a checkpoint in {self.path}, got no file; check the path, it has no download")

    def weights(self) -> Weights:
        """The sha256 covers the file's bytes, the architecture's name, the classes and the image shape.

        Of an architecture that is the user's own code it covers the code's source files too, and what else of the
        network no state dict holds.
        """
        architecture = self._architecture()
        self._require_file(architecture)
        file = WeightsFile(self.path.name, sha256_of_file(self.path))
        text = f"{architecture}\n{self.domain.classes}\n{self.domain.shape}\n{file.sha256}"
        files: tuple[WeightsFile, ...] = (file,)
        if is_own(architecture):
            code, more = OwnArchitecture.find(architecture).identity(self.domain.classes, self.domain.shape)
            text, files = f"{text}\n{code}", (file, *more)
        return Weights(hashlib.sha256(text.encode()).hexdigest(), files)

    def load(self) -> nn.Module:
        """Build the network and load the tensors strictly; leaves torch's random state alone."""
        architecture = self._architecture()
        self._require_file(architecture)
        tensors = state_dict(self._read(), self.path)
        with seeded():
            model = build(architecture, self.domain.classes, self.domain.shape)
        try:
            model.load_state_dict(tensors, strict=True)
        except RuntimeError as error:
            got = f"a checkpoint with {mismatch(error)}" if is_mismatch(error) else one_line(error)
            raise EntrantError(
                f"expected the tensors of {architecture} for {self.domain.classes} classes in {self.path}, got {got};"
                f" name its architecture: {FORMS}"
            ) from error
        return freeze(model)

    @property
    def _has_card(self) -> bool:
        # a .json beside any other file that is given by its path may be anything
        return self.card_path.is_file() and (self.source == "zoo" or self.path.suffix == ".safetensors")

    def _card_file(self) -> CardFile:
        return read_card(self.card_path, self.source)

    def _architecture(self) -> str:
        if self._has_card:
            card = self._card_file()
            card.require(self.domain, self.card_path)
            return self.architecture or card.card.architecture
        if self.architecture is None:
            raise EntrantError(
                f"expected an architecture for {self.path}, got none; add @ and {FORMS}, or put a card beside it"
            )
        return self.architecture

    def _require_file(self, architecture: str) -> None:
        if self.missing():
            raise EntrantError(f"expected a checkpoint in {self.path}, got no file; check the path")
        problem = flaw(self.path, most_bytes(architecture, self.domain.classes, self.domain.shape))
        if problem:
            raise EntrantError(f"expected a checkpoint in {self.path}, got {problem}; put the right file there")

    def _read(self) -> Any:
        """What the file holds. Raises EntrantError for a damaged file and for a pickle that holds code."""
        try:
            if content(self.path) is Content.SAFETENSORS:
                return safetensors.torch.load_file(self.path)
            with unpickling(self.allow_pickle):
                return torch.load(self.path, map_location="cpu", weights_only=not self.allow_pickle)
        except Exception as error:  # a damaged file, and an allowed pickle's code, raise what they like
            if is_refused_pickle(error) and not self.allow_pickle:
                raise EntrantError(
                    f"expected plain tensors in {self.path}, got {refused_pickle(error)};"
                    f" pass --allow-pickle {self.card.name} only if you trust its author"
                ) from error
            raise EntrantError(
                f"expected a checkpoint in {self.path}, got {type(error).__name__}: {one_line(error)};"
                " the file is damaged or of another kind, copy it again"
            ) from error


@functools.cache
def most_bytes(architecture: str, classes: int, shape: tuple[int, int, int]) -> int:
    """How large a checkpoint of a network can be; of the user's own code, which is not run for this, a stated bound."""
    if is_own(architecture):
        return MOST_BYTES
    with seeded(), torch.device("meta"):  # shapes alone: nothing is allocated
        tensors = build(architecture, classes, shape).state_dict().values()
    return ROOM + BESIDE * sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def state_dict(held: Any, path: Path) -> dict[str, Tensor]:
    """The tensors by name in what a checkpoint file holds, out of its containers and without wrappers' prefixes.

    Raises EntrantError, naming `path`, where there is none.
    """
    if isinstance(held, nn.Module):
        held = held.state_dict()
    while isinstance(held, Mapping) and not _is_state_dict(held):
        inner = next((held[key] for key in CONTAINERS if isinstance(held.get(key), Mapping | nn.Module)), None)
        if inner is None:
            break
        held = inner.state_dict() if isinstance(inner, nn.Module) else inner
    if not isinstance(held, Mapping) or not _is_state_dict(held):
        is_mapping = isinstance(held, Mapping)
        got = (
            f"the keys {', '.join(map(_key, list(held)[:5])) or '(none)'}" if is_mapping else f"a {type(held).__name__}"
        )
        raise EntrantError(
            f"expected a state dict in {path}, got {got}; save model.state_dict(), alone or under 'state_dict'"
        )
    tensors = dict(held)
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in tensors)), None):
        tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


def save_entrant(stem: Path, model: nn.Module, card: Card, domain: Domain) -> CheckpointEntrant:
    """Write <stem>.safetensors and <stem>.json, each whole or not at all; the same model and card, the same bytes.

    `stem` ends in the card's name. Raises EntrantError where the model does not fit the card's architecture, or the
    card cannot be written.
    """
    if require_name(card.name) != stem.name:
        raise EntrantError(f"expected files named {card.name!r} as the card is, got {stem.name!r}; use one name")
    require_no_pickle(stem)
    text = CardFile(card, domain.suite, domain.classes, domain.shape).to_json()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with torch.random.fork_rng(devices=()):
        network = build(card.architecture, domain.classes, domain.shape)
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise EntrantError(
            f"expected a model of {card.architecture} for {domain.classes} classes, got {mismatch(error)};"
            " name the architecture that it is"
        ) from error
    path = stem.with_name(f"{stem.name}.safetensors")
    _write(path, safetensors.torch.save(tensors))
    _write(stem.with_name(f"{stem.name}.json"), text.encode())  # last: with the card, the entrant is there
    return CheckpointEntrant(path, domain, source="zoo")


def own_entrants(domain: Domain, folders: Sequence[Path] = ()) -> tuple[CheckpointEntrant, ...]:
    """Every own entrant of a suite, by name: the shipped ones, then those in <folder>/<suite>/ of each folder.

    Its weights are <name>.safetensors, or a state dict in <name>.pt. Raises EntrantError for a card that cannot be used, for
    one with both files, and for one name in two folders.
    """
    found: dict[str, CheckpointEntrant] = {}
    for folder in dict.fromkeys(folder.resolve() for folder in (SHIPPED, *folders)):
        for path in sorted((folder / domain.suite).glob("*.json")):
            card = read_card(path, "zoo")
            if card.suite != domain.suite:
                continue
            card.require(domain, path)
            name = card.card.name
            if name in found:
                raise EntrantError(
                    f"expected one entrant named {name!r}, got {found[name].card_path} and {path}; rename one"
                )
            found[name] = CheckpointEntrant(_weights_beside(path), domain, source="zoo")
    return tuple(found.values())


def require_no_pickle(stem: Path) -> None:
    """Raise EntrantError where <stem>.pt is there: written beside it, <stem>.safetensors would be a second file of one name."""
    if (pickle := stem.with_name(f"{stem.name}.pt")).exists():
        raise EntrantError(f"expected no other weights of {stem.name!r}, got {pickle}; rename or remove that file")


def _weights_beside(card: Path) -> Path:
    tensors, pickle = card.with_suffix(".safetensors"), card.with_suffix(".pt")
    if tensors.exists() and pickle.exists():
        raise EntrantError(
            f"expected one file of weights beside {card}, got {tensors.name} and {pickle.name}; remove one"
        )
    return pickle if pickle.exists() else tensors


def _key(key: object) -> str:
    """A key for a message; of what is no text its type, for it may be as large as it likes."""
    return key[:80] if isinstance(key, str) else f"({type(key).__name__})"


def _is_state_dict(held: Mapping[Any, Any]) -> bool:
    return bool(held) and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in held.items())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with part.open("xb") as file:
            file.write(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
