"""The card beside an own entrant's weights: <name>.json next to <name>.safetensors.

A JSON object; `name`, `suite`, `architecture`, `classes` and `shape` are needed, the texts are held as they are, never
as markup. It says what the weights are for, so that a checkpoint cannot be judged as something that it is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.architectures import ARCHITECTURES
from zoo.entrant import Card, Domain, EntrantError, did_you_mean
from zoo.faults import one_line

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
"""An entrant's name names files too, so it holds nothing that a path would take apart."""

TEXTS = ("title", "authors", "venue", "link", "licence")


@dataclass(frozen=True)
class CardFile:
    """What a card file says: who the entrant is, and the suite, classes and image shape it was made for."""

    card: Card
    suite: str
    classes: int
    shape: tuple[int, int, int]

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
        }
        try:
            return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:
            raise EntrantError(
                f"expected a card that JSON can hold, got {one_line(error)}; give training only text, numbers and lists"
            ) from error

    def require(self, domain: Domain, path: Path) -> None:
        """Raise EntrantError unless the entrant takes the images and gives the logits that a suite needs."""
        if (self.classes, self.shape) != (domain.classes, domain.shape):
            raise EntrantError(
                f"expected an entrant for {domain.suite} ({_form(domain.classes, domain.shape)}), got {path.name} for"
                f" {self.suite} ({_form(self.classes, self.shape)}); choose an entrant made for {domain.suite}"
            )


def read_card(path: Path, source: str) -> CardFile:
    """Read a card file. Raises EntrantError for one that is not JSON, lacks a key, or holds another type."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EntrantError(f"expected a card in {path}, got no file; check the path") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise EntrantError(f"expected a card in JSON in {path}, got {one_line(error)}; write it again") from error
    if not isinstance(content, Mapping):
        raise _wrong(path, f"a JSON object, got a {type(content).__name__}")
    return CardFile(
        card=Card(
            name=_name(path, content),
            source=source,
            architecture=_architecture(path, content),
            **{text: _value(path, content, text, str, "") for text in TEXTS},
            additional_data=_value(path, content, "additional_data", bool | None, None),
            training=dict(_value(path, content, "training", dict, {})),
            dynamics=path.with_suffix(".dynamics.jsonl"),
        ),
        suite=_value(path, content, "suite", str),
        classes=_value(path, content, "classes", int),
        shape=_shape(path, content),
    )


def require_name(name: str) -> str:
    """Raise EntrantError for a name that cannot be a file's."""
    if not NAME.fullmatch(name):
        raise EntrantError(f"expected a name of letters, digits and . _ + -, got {name!r}; choose another name")
    return name


_NEEDED = object()


def _value(path: Path, content: Mapping[str, Any], key: str, kind: Any, default: Any = _NEEDED) -> Any:
    value = content.get(key, default)
    if value is _NEEDED:
        raise _wrong(path, f"the key {key!r}, got {', '.join(map(repr, content)) or 'no keys'}")
    # bool is a subclass of int, and true is no number of classes
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(path, f"{key!r} to be {getattr(kind, '__name__', kind)}, got {value!r}")
    return value


def _name(path: Path, content: Mapping[str, Any]) -> str:
    name = require_name(_value(path, content, "name", str))
    if name != path.stem:
        raise _wrong(path, f"the name {path.stem!r}, which its files have, got {name!r}")
    return name


def _architecture(path: Path, content: Mapping[str, Any]) -> str:
    architecture = _value(path, content, "architecture", str)
    if architecture not in ARCHITECTURES:
        hint = did_you_mean(architecture, ARCHITECTURES) or f" choose one of {', '.join(sorted(ARCHITECTURES))}"
        raise _wrong(path, f"a known architecture, got {architecture!r};{hint}", remedy="")
    return architecture


def _shape(path: Path, content: Mapping[str, Any]) -> tuple[int, int, int]:
    shape = _value(path, content, "shape", list)
    if len(shape) != 3 or not all(type(size) is int and size > 0 for size in shape):
        raise _wrong(path, f"'shape' to be [channels, height, width], got {shape!r}")
    channels, height, width = shape
    return channels, height, width


def _form(classes: int, shape: tuple[int, int, int]) -> str:
    return f"{classes} classes, images {'x'.join(map(str, shape))}"


def _wrong(path: Path, what: str, remedy: str = "; write it again") -> EntrantError:
    return EntrantError(f"expected of the card {path} {what[:300]}{remedy}")
