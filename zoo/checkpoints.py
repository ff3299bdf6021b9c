"""Own entrants: an architecture of this project and a file of tensors, with or without a card.

With a card (see zoo/cards.py) a checkpoint is an entrant by its name; by its path any state dict is one whose
architecture is named. Tensors are loaded strictly: a checkpoint of another network is refused, never half loaded.
"""

from __future__ import annotations

import functools
import hashlib
import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from zoo.architectures import FORMS, build, is_own
from zoo.architectures.own import OwnArchitecture
from zoo.bounds import MOST_BYTES, ROOM
from zoo.cards import SUFFIXES, Address, CardFile, is_card, read_card, require_name
from zoo.described import NOTHING, Said
from zoo.downloads import Downloads
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

    `source` is "zoo" for one that is found by its name and "checkpoint" for one that is given by its path. `card_at` is its
    card where that does not lie beside the file; `said` is what a user says of one without a card.
    """

    path: Path
    domain: Domain
    architecture: str | None = None
    allow_pickle: bool = False
    source: str = "checkpoint"
    card_at: Path | None = None
    said: Said = NOTHING
    downloads: Downloads = field(default_factory=Downloads, compare=False)

    @property
    def card_path(self) -> Path:
        if self.card_at is not None:
            return self.card_at
        return self.path.with_name(f"{self.path.name}.json") if self.path.is_dir() else self.path.with_suffix(".json")

    @property
    def has_card(self) -> bool:
        """Whether a file says who it is. A .json beside a file that is given by its path may be anything, too."""
        if self.card_at is not None or self.source == "zoo" or self.path.suffix == ".safetensors":
            return self.card_path.is_file() or self.card_at is not None
        return self.card_path.is_file() and is_card(self.card_path)

    @property
    def card(self) -> Card:
        """As its file says where there is one; else the file's stem and the architecture. Raises EntrantError."""
        if self.has_card:
            return self.said.beside(self._card_file().card, self.card_path)
        return self.said.of(Card(name=self.path.stem, source=self.source, architecture=self.architecture or ""))

    @property
    def address(self) -> Address | None:
        """Where its weights can be fetched; None where no card says so."""
        return self._card_file().weights if self.has_card else None

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
        """Fetch the file from where its card says. Raises EntrantError when it is not here and no card says where it is."""
        if not self.missing():
            return
        if self.address is None:
            raise EntrantError(f"expected a checkpoint in {self.path}, got no file; check the path, it has no download")
        self.downloads.from_hub(self.address.url, self.path, self.address.sha256)

    def weights(self) -> Weights:
        """The sha256 covers the file's bytes, the architecture's name, the classes and the image shape.

        Of an architecture that is the user's own code it covers the code's source files too, and what else of the
        network no state dict holds.
        """
        architecture = self._architecture()
        self._require_file(architecture)
        file = WeightsFile(self.path.name, sha256_of_file(self.path))
        if self.address is not None and file.sha256 != self.address.sha256:
            raise EntrantError(
                f"expected the weights that {self.card_path.name} names (sha256 {self.address.sha256[:16]}), got others in"
                f" {self.path} ({file.sha256[:16]}); remove that file and fetch it with --download, or correct the card"
            )
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

    def _card_file(self) -> CardFile:
        beside = self.source == "zoo" or self.card_at is None
        return read_card(self.card_path, self.source, named_by_file=beside)

    def _architecture(self) -> str:
        if self.has_card:
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
            raise EntrantError(f"expected a checkpoint in {self.path}, got no file; {self._remedy}")
        problem = flaw(self.path, most_bytes(architecture, self.domain.classes, self.domain.shape))
        if problem:
            raise EntrantError(f"expected a checkpoint in {self.path}, got {problem}; put the right file there")

    @property
    def _remedy(self) -> str:
        if self.address is None:
            return "check the path"
        return f"download with harness run ... --entrants {self.spec} --download"

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


def own_entrants(
    domain: Domain,
    folders: Sequence[Path] = (),
    model_dir: Path = Path("models"),
    names: Collection[str] | None = None,
) -> tuple[CheckpointEntrant, ...]:
    """Every own entrant of a suite, by name: the shipped ones, then those in <folder>/<suite>/ of each folder. Where `names`
    are given, of these alone: what is wrong with another's card is no matter then.

    Its weights lie beside its card, in a file (SUFFIXES) or a folder; or, where the card has their address, in
    <model_dir>/<suite>/. Raises EntrantError for a card that cannot be used, for one with two files, and
    for one name in two folders, unless the card is the same.
    """
    found: dict[str, CheckpointEntrant] = {}
    for folder in dict.fromkeys(folder.resolve() for folder in (SHIPPED, *folders)):
        for path in sorted((folder / domain.suite).glob("*.json")):
            if names is not None and path.stem not in names:
                continue
            card = read_card(path, "zoo")
            if card.suite != domain.suite:
                continue
            card.require(domain, path)
            name = card.card.name
            entrant = _beside(path, card, domain, model_dir)
            if name in found and not _same(found[name], entrant):
                ships = found[name].card_path.is_relative_to(SHIPPED.resolve())
                raise EntrantError(
                    f"expected one entrant named {name!r}, got {found[name].card_path}"
                    f"{', which ships with the project,' if ships else ''} and {path}; rename one, or make them the same"
                )
            if name not in found or found[name].missing():
                found[name] = entrant
    return tuple(found.values())


def own_names(domain: Domain, folders: Sequence[Path] = ()) -> list[str]:
    """The names of the cards in the folders of a suite, for hints: none is read."""
    return [path.stem for folder in (SHIPPED, *folders) for path in sorted((folder / domain.suite).glob("*.json"))]


def require_no_pickle(stem: Path) -> None:
    """Raise EntrantError where <stem>.pt is there: written beside it, <stem>.safetensors would be a second file of one name."""
    if (pickle := stem.with_name(f"{stem.name}.pt")).exists():
        raise EntrantError(f"expected no other weights of {stem.name!r}, got {pickle}; rename or remove that file")


def _beside(path: Path, card: CardFile, domain: Domain, model_dir: Path) -> CheckpointEntrant:
    """The entrant of a card: its weights beside it, or where they are fetched to."""
    here = [file for ending in (*SUFFIXES, "") if (file := path.with_name(f"{path.stem}{ending}")).exists()]
    if len(here) > 1:
        raise EntrantError(
            f"expected one file of weights beside {path}, got {' and '.join(file.name for file in here)}; remove one"
        )
    if not here and card.weights is not None:
        fetched = model_dir.absolute() / domain.suite / f"{path.stem}{card.weights.suffix}"
        return CheckpointEntrant(fetched, domain, source="zoo", card_at=path)
    return CheckpointEntrant(here[0] if here else path.with_suffix(SUFFIXES[0]), domain, source="zoo", card_at=path)


def _same(one: CheckpointEntrant, other: CheckpointEntrant) -> bool:
    """Whether two entrants of one name are one: their cards are, and their weights where both are here."""
    if one.card_path.read_bytes() != other.card_path.read_bytes():
        return False
    return bool(one.missing() or other.missing()) or sha256_of_file(one.path) == sha256_of_file(other.path)


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
