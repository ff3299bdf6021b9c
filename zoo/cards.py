"""The card of an entrant: <name>.json beside <name>.safetensors, .pt, .pth, .ckpt or a folder <name>, or beside a module.

A JSON object; `name`, `suite` and `architecture` are needed, of code (python:module:callable) the name alone. The texts are
held as they are, never as markup; a key that is not known is refused. It says what the weights are for, so that a checkpoint
cannot be judged as something that it is not. `published` names the row of others' numbers (zoo/published.py) that was
measured on these very weights. `weights` says where they can be fetched, and the sha256 that they have, where they do not lie
beside the card.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlparse

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from zoo.architectures import require_architecture
from zoo.bounds import MOST_CARD, size_flaw
from zoo.checkpoint_spec import PLAIN, Reading
from zoo.entrant import Card, Domain, EntrantError, did_you_mean
from zoo.faults import Fault, first_fault, one_line
from zoo.published import published

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
"""An entrant's name names files too, so it holds nothing that a path would take apart."""

TEXTS = ("title", "authors", "venue", "link", "licence")


NEEDED = ("name", "suite", "architecture")
"""What a card of weights cannot do without."""

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")
"""Of files of weights that a card lies beside."""

MEANT = {
    "arch": "architecture", "author": "authors", "doi": "link", "extra_data": "additional_data", "license": "licence",
    "model": "architecture", "num_classes": "classes", "paper": "link", "url": "link", "year": "venue",
}  # fmt: skip
"""Keys that people write, and what a card calls it."""


class _Address(BaseModel):
    """Where weights can be fetched, and what they are."""

    model_config = ConfigDict(strict=True, extra="forbid")

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Fields(BaseModel):
    """A card's keys and their types: true is no number and 3 no text."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    suite: str = ""
    architecture: str = ""
    classes: int | None = None
    shape: Annotated[
        list[PositiveInt] | None, Field(min_length=3, max_length=3, description="[channels, height, width]")
    ] = None
    title: str = ""
    authors: str = ""
    venue: str = ""
    link: str = ""
    licence: str = ""
    additional_data: bool | None = None
    training: dict[str, Any] = {}
    published: str = ""
    weights: Annotated[
        _Address | None, Field(description='{"url": "https://...", "sha256": "<64 hex digits of the file>"}')
    ] = None
    mean: list[float] | None = Field(default=None, description="numbers, one a channel, of images in [0,1]")
    std: list[float] | None = Field(default=None, description="numbers, one a channel, of images in [0,1]")
    take: str = ""


@dataclass(frozen=True)
class Address:
    """Where a file of weights can be fetched (http or https), and the sha256 (hex) of its bytes."""

    url: str
    sha256: str

    @property
    def suffix(self) -> str:
        """Of the file: that of the address, else a safetensors file's."""
        ending = Path(urlparse(self.url).path).suffix
        return ending if ending in SUFFIXES else SUFFIXES[0]


@dataclass(frozen=True)
class CardFile:
    """What a card file says: who the entrant is, and the suite, classes and image shape it was made for (None: the suite's).

    `weights` is where its weights can be fetched, where the card says so.
    """

    card: Card
    suite: str
    classes: int | None
    shape: tuple[int, int, int] | None
    weights: Address | None = None
    reading: Reading = PLAIN

    def to_json(self) -> str:
        """The file, byte for byte. Raises EntrantError for a training mapping that JSON cannot hold."""
        content = {
            "name": self.card.name,
            "suite": self.suite,
            "architecture": self.card.architecture,
            **({"classes": self.classes} if self.classes is not None else {}),
            **({"shape": list(self.shape)} if self.shape is not None else {}),
            **{text: getattr(self.card, text) for text in TEXTS},
            "additional_data": self.card.additional_data,
            "training": dict(self.card.training),
            **({"published": self.card.published} if self.card.published else {}),
            **({"weights": asdict(self.weights)} if self.weights else {}),
            **{key: list(said) for key, said in (("mean", self.reading.mean), ("std", self.reading.std)) if said},
            **({"take": self.reading.take} if self.reading.take else {}),
        }
        try:
            return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:
            raise EntrantError(
                f"expected a card that JSON can hold, got {one_line(error)}; give training only text, numbers and lists"
            ) from error

    def require(self, domain: Domain, path: Path) -> None:
        """Raise EntrantError unless the entrant takes the images and gives the logits that a suite needs, and the published
        row that the card names, if any, is one of the suite's."""
        classes, shape = self.classes or domain.classes, self.shape or domain.shape
        if (classes, shape) != (domain.classes, domain.shape):
            raise EntrantError(
                f"expected an entrant for {domain.suite} ({_form(domain.classes, domain.shape)}), got {path.name} for"
                f" {self.suite or 'another'} ({_form(classes, shape)}); choose an entrant made for {domain.suite}"
            )
        if domain.varied:  # no row is of its images and threat model: its boards show none
            return
        known = [row.name for row in published(domain.dataset, domain.norm)]
        if self.card.published and self.card.published not in known:
            hint = did_you_mean(self.card.published, known)
            raise EntrantError(
                f"expected 'published' to name a published row of {domain.suite}, got {self.card.published!r} in the card"
                f" {path};{hint} correct it, or leave it out"
            )


def read_card(path: Path, source: str, *, named_by_file: bool = True, of_code: bool = False) -> CardFile:
    """Read a card file. Raises EntrantError for one that is not JSON, lacks a key, has an unknown one, or holds another type.

    `named_by_file`: the file's name must be the entrant's. `of_code`: the entrant is code, which needs no architecture; what
    the card calls it is a text for people.
    """
    content = _content(path)
    if not isinstance(content, Mapping):
        raise _wrong(path, f"a JSON object, got a {type(content).__name__}")
    try:
        fields = _Fields.model_validate(content)
    except ValidationError as error:
        raise _wrong(path, _told(first_fault(error, _Fields, content), content)) from error
    for key in () if of_code else NEEDED:
        if key not in content:
            raise _wrong(path, _told(Fault(key, "missing"), content))
    if require_name(fields.name) != path.stem and named_by_file:
        raise _wrong(path, f"the name {path.stem!r}, which its files have, got {fields.name!r}")
    architecture = fields.architecture
    if not of_code:
        architecture = require_architecture(architecture, f"of the card {path} a known architecture")
    shape = fields.shape
    return CardFile(
        card=Card(
            name=fields.name,
            source=source,
            architecture=architecture,
            **{text: getattr(fields, text) for text in TEXTS},
            additional_data=fields.additional_data,
            training=fields.training,
            dynamics=path.with_suffix(".dynamics.jsonl"),
            published=fields.published,
        ),
        suite=fields.suite,
        classes=fields.classes,
        shape=(shape[0], shape[1], shape[2]) if shape else None,
        weights=Address(fields.weights.url, fields.weights.sha256) if fields.weights else None,
        reading=Reading(
            tuple(fields.mean) if fields.mean else None, tuple(fields.std) if fields.std else None, fields.take
        ),
    )


def is_card(path: Path) -> bool:
    """Whether a .json beside a file is meant as its card: an object with a name and a suite. Other programs write .json too."""
    try:
        content = _content(path)
    except EntrantError:
        return False
    return isinstance(content, Mapping) and {"name", "suite"} <= content.keys()


def _content(path: Path) -> Any:
    try:
        if large := size_flaw(path, MOST_CARD):
            raise EntrantError(f"expected a card in {path}, got {large}; write it again")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EntrantError(f"expected a card in {path}, got no file; check the path") from error
    except EntrantError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise EntrantError(f"expected a card in JSON in {path}, got {one_line(error)}; write it again") from error


def _told(fault: Fault, content: Mapping[str, Any]) -> str:
    """What is wrong with a card's keys, as the middle of "expected of the card ..."."""
    known = list(_Fields.model_fields)
    if fault.kind == "unknown" and fault.key in known:  # a key inside it
        return f"{fault.key!r} to be {_Fields.model_fields[fault.key].description}, got {fault.got!r}"
    if fault.kind == "unknown":
        meant = MEANT.get(fault.key.lower())
        hint = f" did you mean {meant}?" if meant else did_you_mean(fault.key, known)
        return f"known keys, got {fault.key[:80]!r};{hint} choose among {', '.join(known)}"
    if fault.kind == "missing":
        return f"the key {fault.key!r}, got {', '.join(map(repr, content)) or 'no keys'}"
    return f"{fault.key!r} to be {fault.wanted}, got {fault.got!r}"


def require_name(name: str) -> str:
    """Raise EntrantError for a name that cannot be a file's."""
    if not NAME.fullmatch(name):
        raise EntrantError(f"expected a name of letters, digits and . _ + -, got {name!r}; choose another name")
    return name


def _form(classes: int, shape: tuple[int, int, int]) -> str:
    return f"{classes} classes, images {'x'.join(map(str, shape))}"


def _wrong(path: Path, what: str) -> EntrantError:
    return EntrantError(f"expected of the card {path} {what[:300]}; write it again")
