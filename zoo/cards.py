"""The card beside an own entrant's weights: <name>.json next to <name>.safetensors or <name>.pt.

A JSON object; `name`, `suite`, `architecture`, `classes` and `shape` are needed, the texts are held as they are, never
as markup. It says what the weights are for, so that a checkpoint cannot be judged as something that it is not. `published`
names the row of others' numbers (zoo/published.py) that was measured on these very weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from zoo.architectures import require_architecture
from zoo.bounds import MOST_CARD, size_flaw
from zoo.checkpoint_spec import PLAIN, Reading
from zoo.entrant import Card, Domain, EntrantError, did_you_mean
from zoo.faults import first_fault, one_line
from zoo.published import published

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
"""An entrant's name names files too, so it holds nothing that a path would take apart."""

TEXTS = ("title", "authors", "venue", "link", "licence")


class _Fields(BaseModel):
    """A card's keys and their types: true is no number and 3 no text; keys that are not known are left alone."""

    model_config = ConfigDict(strict=True, extra="ignore")

    name: str
    suite: str
    architecture: str
    classes: int
    shape: Annotated[list[PositiveInt], Field(min_length=3, max_length=3, description="[channels, height, width]")]
    title: str = ""
    authors: str = ""
    venue: str = ""
    link: str = ""
    licence: str = ""
    additional_data: bool | None = None
    training: dict[str, Any] = {}
    published: str = ""
    mean: list[float] | None = Field(default=None, description="numbers, one a channel, of images in [0,1]")
    std: list[float] | None = Field(default=None, description="numbers, one a channel, of images in [0,1]")
    take: str = ""


@dataclass(frozen=True)
class CardFile:
    """What a card file says: who the entrant is, and the suite, classes and image shape it was made for."""

    card: Card
    suite: str
    classes: int
    shape: tuple[int, int, int]
    reading: Reading = PLAIN

    def to_json(self) -> str:
        """The file, byte for byte. Raises EntrantError for a training mapping that JSON cannot hold."""
        content = {
            "name": self.card.name,
            "suite": self.suite,
            "architecture": self.card.architecture,
            "classes": self.classes,
            "shape": list(self.shape),
            **{text: getattr(self.card, text) for text in TEXTS},
            "additional_data": self.card.additional_data,
            "training": dict(self.card.training),
            **({"published": self.card.published} if self.card.published else {}),
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
        if (self.classes, self.shape) != (domain.classes, domain.shape):
            raise EntrantError(
                f"expected an entrant for {domain.suite} ({_form(domain.classes, domain.shape)}), got {path.name} for"
                f" {self.suite} ({_form(self.classes, self.shape)}); choose an entrant made for {domain.suite}"
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


def read_card(path: Path, source: str) -> CardFile:
    """Read a card file. Raises EntrantError for one that is not JSON, lacks a key, or holds another type."""
    try:
        if large := size_flaw(path, MOST_CARD):
            raise EntrantError(f"expected a card in {path}, got {large}; write it again")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EntrantError(f"expected a card in {path}, got no file; check the path") from error
    except EntrantError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise EntrantError(f"expected a card in JSON in {path}, got {one_line(error)}; write it again") from error
    if not isinstance(content, Mapping):
        raise _wrong(path, f"a JSON object, got a {type(content).__name__}")
    try:
        fields = _Fields.model_validate(content)
    except ValidationError as error:
        fault = first_fault(error, _Fields, content)
        if fault.kind == "missing":
            told = f"the key {fault.key!r}, got {', '.join(map(repr, content)) or 'no keys'}"
        else:
            told = f"{fault.key!r} to be {fault.wanted}, got {fault.got!r}"
        raise _wrong(path, told) from error
    if require_name(fields.name) != path.stem:
        raise _wrong(path, f"the name {path.stem!r}, which its files have, got {fields.name!r}")
    channels, height, width = fields.shape
    return CardFile(
        card=Card(
            name=fields.name,
            source=source,
            architecture=require_architecture(fields.architecture, f"of the card {path} a known architecture"),
            **{text: getattr(fields, text) for text in TEXTS},
            additional_data=fields.additional_data,
            training=fields.training,
            dynamics=path.with_suffix(".dynamics.jsonl"),
            published=fields.published,
        ),
        suite=fields.suite,
        classes=fields.classes,
        shape=(channels, height, width),
        reading=Reading(
            tuple(fields.mean) if fields.mean else None, tuple(fields.std) if fields.std else None, fields.take
        ),
    )


def require_name(name: str) -> str:
    """Raise EntrantError for a name that cannot be a file's."""
    if not NAME.fullmatch(name):
        raise EntrantError(f"expected a name of letters, digits and . _ + -, got {name!r}; choose another name")
    return name


def _form(classes: int, shape: tuple[int, int, int]) -> str:
    return f"{classes} classes, images {'x'.join(map(str, shape))}"


def _wrong(path: Path, what: str) -> EntrantError:
    return EntrantError(f"expected of the card {path} {what[:300]}; write it again")
