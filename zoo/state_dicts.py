"""The tensors by name that a loaded file holds, wherever in its containers they lie.

Training code puts a state dict under a key of its own, beside an optimiser, averaged weights and metrics. Nothing here knows
those keys: every mapping of names to tensors is given with its place, and zoo/matching.py finds the one that fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

MAIN = ("state_dict", "model_state_dict", "model", "net")
"""Where the trained network lies by custom, first one first: taken where several networks fit and none is an average."""

DEPTH = 8
"""Containers within containers that are looked into."""

COMPILED = "_orig_mod."
"""What torch.compile puts before the names of what it has compiled, at any depth."""

_NO_NETWORKS = re.compile(r"optim|sched|scaler|grad|momentum|rng|loops", re.IGNORECASE)
_WORDS = re.compile(r"[A-Za-z]+")
_AVERAGES = frozenset({"ema", "emas", "swa", "wa", "averaged", "average", "avg", "polyak", "shadow"})
_NEGATIONS = frozenset({"no", "non", "un", "raw", "not", "without", "online", "pre"})


@dataclass(frozen=True)
class Mapped:
    """One mapping of a file: its place (keys from the outermost), and the tensors in it by name."""

    place: tuple[str, ...]
    tensors: Mapping[str, Tensor]

    @property
    def compiled(self) -> bool:
        return any(COMPILED in name for name in self.tensors)


def mappings(held: Any, place: tuple[str, ...] = ()) -> Iterator[Mapped]:
    """Every mapping that has tensors, outermost first; of a whole module its state dict."""
    if isinstance(held, nn.Module):
        held = held.state_dict()
    if isinstance(held, list | tuple):  # (state dict, epoch)
        held = {str(index): value for index, value in enumerate(held[:8])}
    if not isinstance(held, Mapping) or len(place) > DEPTH:
        return
    tensors = {key: value for key, value in held.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield Mapped(place, tensors)
    for key, value in held.items():
        if (
            isinstance(key, str)
            and isinstance(value, Mapping | nn.Module | list | tuple)
            and not _NO_NETWORKS.search(key)
        ):
            yield from mappings(value, (*place, key))


def is_averaged(place: str) -> bool:
    """Whether a place says that its weights are an average over training: ema_state_dict, model_ema, swa."""
    words = [word.lower() for word in _WORDS.findall(place)]
    joined = {word for word in words if word.startswith(("unaverag", "nonema", "noema"))}
    return bool(_AVERAGES & set(words)) and not (_NEGATIONS & set(words)) and not joined


def main_place(held: Any) -> tuple[str, ...]:
    """Where the trained network lies by custom: the first of MAIN at each level that holds more."""
    place: tuple[str, ...] = ()
    while isinstance(held, Mapping) and not all(isinstance(value, Tensor) for value in held.values()):
        key = next((key for key in MAIN if isinstance(held.get(key), Mapping | nn.Module)), None)
        if key is None:
            break
        place, held = (*place, key), held[key]
    return place


def keys_of(held: Any) -> str:
    """What a file holds that has no tensors by name, as the end of "expected a state dict, got ..."."""
    if not isinstance(held, Mapping):
        return f"a {type(held).__name__}"
    while len(held) == 1 and isinstance(inner := next(iter(held.values())), Mapping):
        held = inner
    return f"the keys {', '.join(map(_key, list(held)[:5])) or '(none)'}"


def _key(key: object) -> str:
    """A key for a message; of what is no text its type, for it may be as large as it likes."""
    return key[:80] if isinstance(key, str) else f"({type(key).__name__})"
