"""The layers of one network set against those of another that has other names: same order, same shapes, same blocks.

A layer is what shares a name up to its last dot (a convolution's weight, a batch norm's four tensors). Where no two are shaped
alike there is one way only to pair them. Else they are paired in order, and refused where order may mislead: where blocks
of layers begin and end at other places, or where a name that both networks have would be given to another layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]

BLOCK = 3
"""Layers that make a block: a convolution with its batch norm alone is no block, for some code gives it no name."""


@dataclass(frozen=True)
class Layer:
    """Its name, and the shape of each of its tensors."""

    name: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]


def layers(tensors: Shapes) -> list[Layer]:
    """In the order of their first tensors."""
    by_layer: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for name, shape in tensors.items():
        layer, _, leaf = name.rpartition(".")
        by_layer.setdefault(layer, []).append((leaf, shape))
    return [Layer(name, tuple(sorted(held))) for name, held in by_layer.items()]


def aligned(wanted: Shapes, got: Shapes) -> dict[str, str] | None:
    """From each name that is wanted to the name that has its tensor; None where there is no pairing, or more than one."""
    ours, theirs = layers(wanted), layers(got)
    mine, other = [layer.shapes for layer in ours], [layer.shapes for layer in theirs]
    if len(set(mine)) == len(mine) and len(set(other)) == len(other):
        if set(mine) != set(other):
            return None
        by_shape = {layer.shapes: layer for layer in theirs}
        pairs = [(layer, by_shape[layer.shapes]) for layer in ours]
    elif mine == other and _same_blocks(ours, theirs) and not _contradicted(ours, theirs):
        pairs = list(zip(ours, theirs, strict=True))
    else:
        return None
    return {_joined(own.name, leaf): _joined(told.name, leaf) for own, told in pairs for leaf, _ in own.shapes}


def _joined(layer: str, leaf: str) -> str:
    return f"{layer}.{leaf}" if layer else leaf


def _families(found: list[Layer]) -> set[frozenset[int]]:
    """The sets of layers that stand under one name, of two layers and more; all of them together are left out."""
    nodes: dict[str, set[int]] = {}
    for index, layer in enumerate(found):
        parts = layer.name.split(".")
        for depth in range(1, len(parts)):
            nodes.setdefault(".".join(parts[:depth]), set()).add(index)
    return {frozenset(node) for node in nodes.values() if 1 < len(node) < len(found)}


def _same_blocks(ours: list[Layer], theirs: list[Layer]) -> bool:
    """Whether blocks begin and end at the same layers, and no larger group of one crosses one of the other."""
    mine, other = _families(ours), _families(theirs)
    if any(a & b and not a <= b and not b <= a for a in mine for b in other):
        return False
    blocks = _smallest(mine)
    return not blocks or (blocks <= other and _smallest(other) <= mine)


def _smallest(families: set[frozenset[int]]) -> set[frozenset[int]]:
    large = {family for family in families if len(family) >= BLOCK}
    return {family for family in large if not any(other < family for other in large)}


def _contradicted(ours: list[Layer], theirs: list[Layer]) -> bool:
    """Whether a name that both have, whole or within its block, stands for another layer."""
    names = {layer.name for layer in ours}
    siblings: dict[str, set[str]] = {}
    for layer in ours:
        parent, _, last = layer.name.rpartition(".")
        siblings.setdefault(parent, set()).add(last)
    for own, told in zip(ours, theirs, strict=True):
        parent, _, last = own.name.rpartition(".")
        called = told.name.rpartition(".")[2]
        if told.name != own.name and told.name in names:
            return True
        if called != last and not called.isdigit() and called in siblings[parent]:
            return True
    return False
