"""Which tensors of a file are those of a network: found by their names after a prefix, else by their order and shapes.

By names: a prefix fits where every tensor of the network follows it, with its shape. By structure: the layers come in the same
order with the same shapes, in the same blocks, and no name says otherwise; or no two layers are shaped alike. Either way every
tensor of the network is filled, and one that is left over is told, or refused where it may belong to the function. Errs on the
strict side but in one thing: two networks whose layers are alike in names or structure may differ in what has no tensors
(pooling, activations), and no file of tensors can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from zoo.normalisation import is_constant
from zoo.state_dicts import COMPILED, Mapped
from zoo.structure import aligned

COUNTED = "num_batches_tracked"
"""Of a batch norm; decides nothing in eval mode, and old files lack it."""

CHANNELS = 16
"""More numbers than this are no mean or std of an image's channels."""

_COUNTERS = ("n_averaged", COUNTED)
BESIDE = re.compile(r"loss|criterion|metric|(^|_)acc(uracy)?($|_)|auroc|confmat|(^|_)f1", re.IGNORECASE)
"""Modules of training code that keep tensors beside the network."""


@dataclass(frozen=True)
class Wanted:
    """The tensors of a network: the shape of each by name, without the network's own prefix and its constants.

    `constants` are means and stds of the input that it holds itself and files may hold; `unused` prefixes of what its loading
    drops. `normalises`: it has a mean and a std of its own, of which a file may say nothing. `floats`: those of `shapes`
    that are floating-point numbers.
    """

    prefix: str
    shapes: Mapping[str, tuple[int, ...]]
    constants: frozenset[str]
    unused: tuple[str, ...] = ()
    normalises: bool = False
    floats: frozenset[str] = frozenset()

    @classmethod
    def of(cls, network: nn.Module) -> Wanted:
        state = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
        own = {name for name, buffer in network.named_buffers() if is_constant(name) and buffer.numel() <= CHANNELS}
        constants = frozenset(own & state.keys())
        rest = [name for name in state if name not in constants]
        prefix = common_prefix(rest)  # of Sequential(normalise, network) files hold one part
        shapes = {name.removeprefix(prefix): tuple(state[name].shape) for name in rest}
        floats = frozenset(name.removeprefix(prefix) for name in rest if state[name].is_floating_point())
        return cls(prefix, shapes, constants, tuple(getattr(network, "unused", ())), bool(own), floats)

    @property
    def required(self) -> list[str]:
        return [name for name in self.shapes if not name.endswith(COUNTED)]

    def state(self, found: Found) -> dict[str, Tensor]:
        """What load_state_dict takes, constants of the network but for those that the file has."""
        return {**{self.prefix + name: tensor for name, tensor in found.tensors.items()}, **found.constants}


@dataclass(frozen=True)
class Found:
    """Tensors that fit: `place` is where ("ema_state_dict.module"), `renamed` pairs of names that differ.

    `beside` are tensors of the same mapping that the network does not take: those `inside` have its prefix, and so the network
    is another; those `outside` are of layers that may come before or after it.
    """

    mapped: tuple[str, ...]
    prefix: str
    tensors: dict[str, Tensor]
    constants: dict[str, Tensor] = field(default_factory=dict)
    renamed: tuple[tuple[str, str], ...] = ()
    beside: dict[str, Tensor] = field(default_factory=dict)
    inside: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return ".".join([*self.mapped, *([self.prefix.rstrip(".")] if self.prefix else [])])

    def same(self, other: Found) -> bool:
        """Whether two places hold one network: a tied copy, or a file's two names for it."""
        return self.tensors.keys() == other.tensors.keys() and all(
            tensor is other.tensors[name]  # where it holds NaN, too
            or (tensor.dtype == other.tensors[name].dtype and torch.equal(tensor, other.tensors[name]))
            for name, tensor in self.tensors.items()
        )


def fits(wanted: Wanted, found_in: Sequence[Mapped]) -> list[Found]:
    """Every place whose tensors are the network's by name; where there is none, every place whose structure is."""
    by_name = [found for mapped in found_in for found in _by_name(wanted, mapped)]
    return by_name or [found for mapped in found_in for found in _by_structure(wanted, mapped)]


def common_prefix(names: Sequence[str]) -> str:
    """The dotted prefix that all names have, with its last dot; empty where they have none."""
    prefix = ""
    while names and all("." in name for name in names):
        heads = {name.partition(".")[0] for name in names}
        if len(heads) != 1:
            break
        prefix += f"{heads.pop()}."
        names = [name.partition(".")[2] for name in names]
    return prefix


def plain_names(mapped: Mapped) -> Iterator[dict[str, str]]:
    """From the name looked for to the name in the file: as it is, and without the wrappers that stand within names."""
    first = {name.replace(COMPILED, ""): name for name in mapped.tensors}
    if len(first) < len(mapped.tensors):  # a compiled network beside one that is not: two networks
        first = {name: name for name in mapped.tensors}
    yield first
    second = {re.sub(r"(?<=\.)module\.", "", name): real for name, real in first.items()}
    if second.keys() != first.keys() and len(second) == len(first):
        yield second


def _by_name(wanted: Wanted, mapped: Mapped) -> Iterator[Found]:
    required = wanted.required
    if not required:
        return
    anchor = max(required, key=lambda name: (name.count("."), len(name)))
    for names in plain_names(mapped):
        prefixes = [name.removesuffix(anchor) for name in names if name == anchor or name.endswith(f".{anchor}")]
        found = [
            _found(wanted, mapped, names, prefix, {name: prefix + name for name in required})
            for prefix in prefixes
            if all(_fits(mapped, names, prefix + name, wanted.shapes[name]) for name in required)
        ]
        yield from found
        if found:
            return


def _fits(mapped: Mapped, names: Mapping[str, str], name: str, shape: tuple[int, ...]) -> bool:
    return name in names and tuple(mapped.tensors[names[name]].shape) == shape


def _by_structure(wanted: Wanted, mapped: Mapped) -> Iterator[Found]:
    required = wanted.required
    names = next(iter(plain_names(mapped)))
    nodes = dict.fromkeys(
        "".join(f"{part}." for part in name.split(".")[:depth])
        for name in names
        for depth in range(name.count(".") + 1)
    )
    for prefix in nodes:
        own = {
            name.removeprefix(prefix): tuple(mapped.tensors[names[name]].shape)
            for name in names
            if name.startswith(prefix)
        }
        own = {
            name: shape
            for name, shape in own.items()
            if not name.endswith(_COUNTERS) and not is_constant(name) and not name.startswith(wanted.unused or ("\0",))
        }
        if len(own) != len(required) or common_prefix(list(own)):  # its common prefix is a place of its own
            continue
        pairs = aligned({name: wanted.shapes[name] for name in required}, own)
        if pairs is not None:
            taken = {name: prefix + own_name for name, own_name in pairs.items()}
            yield _found(wanted, mapped, names, prefix, taken)
            return


def _found(wanted: Wanted, mapped: Mapped, names: Mapping[str, str], prefix: str, taken: Mapping[str, str]) -> Found:
    tensors = {name: mapped.tensors[names[told]] for name, told in taken.items()}
    for name in wanted.shapes.keys() - tensors.keys():  # counters of batches, where the file has them
        module = {own.rpartition(".")[0]: told.rpartition(".")[0] for own, told in taken.items()}
        told = f"{module.get(name.rpartition('.')[0], '')}.{COUNTED}".lstrip(".")
        if told in names:
            tensors[name] = mapped.tensors[names[told]]
    used = {id(tensor) for tensor in tensors.values()}
    constants = {
        name: mapped.tensors[names[told]]
        for name in wanted.constants
        for told in (prefix + name, prefix.removesuffix(wanted.prefix) + name)
        if told in names
    }
    used |= {id(tensor) for tensor in constants.values()}
    beside = {
        told: mapped.tensors[real]
        for told, real in names.items()
        if id(mapped.tensors[real]) not in used and not told.endswith(_COUNTERS)
    }
    tops = {name.partition(".")[0] for name in wanted.shapes}
    inside, outside = [], []
    for told in beside:
        rest = told.removeprefix(prefix)
        if is_constant(told) or (told.startswith(prefix) and rest.startswith(wanted.unused or ("\0",))):
            continue
        if told.startswith(prefix) and (prefix or rest.partition(".")[0] in tops):
            inside.append(told)
        elif _is_weight(told, beside):
            outside.append(told)
    renamed = tuple(
        (told.removeprefix(prefix), name) for name, told in taken.items() if told.removeprefix(prefix) != name
    )
    told = prefix.removesuffix(wanted.prefix)
    return Found(mapped.place, told, tensors, constants, renamed, beside, tuple(inside), tuple(outside))


def _is_weight(name: str, beside: Mapping[str, Tensor]) -> bool:
    """Whether a tensor outside the network may belong to a layer before or after it: no counter, and no metric."""
    top = name.partition(".")[0]
    if BESIDE.search(top):
        return False
    group = {other: tensor for other, tensor in beside.items() if other.partition(".")[0] == top}
    layered = any(tensor.ndim >= 2 and tensor.is_floating_point() for tensor in group.values())
    return layered or any(other.endswith("running_mean") for other in group)
