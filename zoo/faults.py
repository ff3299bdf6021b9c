"""What libraries say when a checkpoint cannot be loaded or a file's fields are wrong, shortened to one line.

PyTorch lists every key of a state dict that does not fit, and gives advice of its own on pickles, over many lines, as
pydantic does for every field; the whole text stays on the exception that the EntrantError was raised from.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a terminal's cursor, colours it, or turns the order of a text; and halves of characters, which none can show."""


def is_refused_pickle(error: BaseException) -> bool:
    """Whether this is torch.load with weights_only refusing to read on."""
    return isinstance(error, pickle.UnpicklingError) or "TorchScript archive" in str(error)


def refused_pickle(error: BaseException) -> str:
    """What torch.load with weights_only met, as the end of "expected plain tensors, got ..."; names the global."""
    message = _ANSI.sub("", str(error))
    named = re.search(r"GLOBAL (\S+)", message)
    if named:
        return f"a pickle that holds code ({named[1]})"
    if "TorchScript" in message:
        return "a TorchScript archive, which is a program"
    detail = re.search(r"(Unsupported operand \d+|Trying to call reduce for .*|Can only .*)", message)
    return f"a pickle that weights_only cannot read ({detail[1][:100] if detail else one_line(error, 100)})"


def escaped(text: str) -> str:
    """A text without control characters: they stand in it as they are written in Python."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(error: BaseException, width: int = 200) -> str:
    """An exception's message on one line, without terminal codes, cut at `width` characters."""
    text = escaped(" ".join(_ANSI.sub("", str(error)).split())) or type(error).__name__
    return text if len(text) <= width else text[: width - 3] + "..."


def is_mismatch(error: BaseException) -> bool:
    """Whether this is load_state_dict saying that the tensors are not those of the network."""
    return isinstance(error, RuntimeError) and str(error).startswith("Error(s) in loading state_dict")


def mismatch(error: BaseException) -> str:
    """The first key and the number of keys of each kind in load_state_dict's error, which lists them all."""
    message = str(error)
    parts = []
    for kind in ("Missing", "Unexpected"):
        found = re.search(rf'{kind} key\(s\) in state_dict: (".*?")\. *$', message, re.MULTILINE)
        if found:
            keys = found[1].split(", ")
            parts.append(f"{kind.lower()} {keys[0]} ({_keys(len(keys))})")
    shapes = re.findall(
        r"size mismatch for (\S+): copying a param with shape (?:torch\.Size\()?(\S.*?)\)? from checkpoint,"
        r" the shape in current model is (?:torch\.Size\()?(\[.*?\])",
        message,
    )
    if shapes:
        key, got, expected = shapes[0]
        parts.append(f"shape {got} where {expected} is needed of {key!r} ({_keys(len(shapes))})")
    return ", ".join(parts) or one_line(error)


def _keys(count: int) -> str:
    return "1 key" if count == 1 else f"{count} keys"


@dataclass(frozen=True)
class Fault:
    """The first field of a file that is wrong: its key, what it must be ("a valid integer"), and what it is."""

    key: str
    kind: Literal["unknown", "missing", "wrong"]
    wanted: str = ""
    got: Any = None


def first_fault(error: ValidationError, model: type[BaseModel], content: Mapping[str, Any]) -> Fault:
    """The fault to tell: an unknown key first, for a mistyped one is why another is missing.

    A field says what it must be by its description, else in pydantic's words.
    """
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    faults.sort(key=lambda one: one["type"] != "extra_forbidden")
    first = faults[0]
    key = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return Fault(key, "unknown", got=content[key])
    if key not in content:
        return Fault(key, "missing")
    wanted = model.model_fields[key].description or first["msg"].removeprefix("Input should be ")
    return Fault(key, "wrong", wanted, content[key])
