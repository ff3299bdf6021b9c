"""Which architecture a file's tensors are of: what to say where they are not those of the one that was named.

Every architecture of this project is tried, then common ones of torchvision, then RobustBench's entries for the data set, one
for each that is published under another architecture. Shapes alone are built. Nothing is chosen for the user: what fits is
named with the words that take it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo.architectures import ARCHITECTURES, FORMS
from zoo.entrant import Domain, EntrantError
from zoo.faults import is_mismatch, mismatch, one_line
from zoo.matching import Wanted, common_prefix, fits, plain_names
from zoo.networks import Network
from zoo.normalisation import is_constant
from zoo.published import published
from zoo.state_dicts import Mapped, mappings

TORCHVISION = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2", "resnext50_32x4d", "densenet121", "vgg11_bn"),
    *("vgg16", "vgg16_bn", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "vit_b_16", "swin_t", "alexnet"),
)

NEAR = 0.8
"""A share of tensors from which on an architecture is worth naming though it does not fit."""


@dataclass(frozen=True)
class Near:
    """An architecture, the share of its tensors that the file has, and the classes of the file's last layer where only they
    differ."""

    architecture: str
    share: float
    classes: int | None = None
    by_name: bool = True


def closest(held_in: Sequence[Mapped], domain: Domain, but: str = "") -> Near | None:
    """The first architecture that fits, by names before by structure; else the nearest one; None where none is near."""
    nearest, by_structure = None, None
    for name, shapes in _tried(domain, but):
        found = [one for one in fits(shapes, held_in) if not one.inside]
        if any(not one.renamed for one in found):
            return Near(name, 1.0)
        if found:
            by_structure = by_structure or Near(name, 1.0, by_name=False)
        else:
            near = max((_nearness(name, shapes, mapped) for mapped in held_in), key=lambda near: near.share)
            nearest = near if nearest is None or near.share > nearest.share else nearest
    return by_structure or (nearest if nearest is not None and nearest.share >= NEAR else None)


def hint(held_in: Sequence[Mapped], domain: Domain, path: str, but: str = "", said: str = "") -> str:
    """The end of a message: the architecture that fits, with what to type; empty where none is near."""
    near = closest(held_in, domain, but)
    if near is None:
        return ""
    spec = f"checkpoint:{path}@{near.architecture}{said}"
    if near.share == 1:
        how = "are those of" if near.by_name else "have the order and shapes of"
        return f"its tensors {how} {near.architecture}: write {spec}"
    if near.classes is not None:
        return (
            f"it is {near.architecture} for {near.classes} classes, and the suite has {domain.classes}: choose a suite of"
            f" {near.classes} classes"
        )
    return f"the closest is {near.architecture}, of whose tensors it has {near.share:.0%}"


def no_fit(held: Any, network: Network, path: Path, file: Path, said: str) -> str:
    """The message of a file in which nothing is the network's: what differs, and what would fit."""
    held_in = list(mappings(held))
    tensors = max(held_in, key=lambda mapped: len(mapped.tensors)).tensors
    prefix = common_prefix(list(tensors))
    try:
        network.build().load_state_dict({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
        got = "them beside others of the same names"
    except RuntimeError as error:
        got = f"a checkpoint with {mismatch(error)}" if is_mismatch(error) else one_line(error)
    fits = hint(held_in, network.domain, str(path), network.architecture, said)
    return (
        f"expected the tensors of {network.architecture} for {network.domain.classes} classes in {file}, got {got};"
        f" {fits or f'name its architecture: {FORMS}'}"
    )


def _tried(domain: Domain, but: str) -> Iterator[tuple[str, Wanted]]:
    """Shapes of one architecture after the other; those that cannot be built are left out."""
    groups: tuple[Callable[[Domain], list[str]], ...] = (_ours, _of_torchvision, _of_robustbench)
    for group in groups:
        for name in group(domain):
            if name != but:
                with contextlib.suppress(EntrantError):
                    yield name, Network(name, domain).wanted


def _ours(domain: Domain) -> list[str]:
    return list(ARCHITECTURES)


def _of_torchvision(domain: Domain) -> list[str]:
    return [f"torchvision:{name}" for name in TORCHVISION] if domain.shape[0] == 3 else []


def _of_robustbench(domain: Domain) -> list[str]:
    rows = {row.architecture: row.name for row in published(domain.dataset, domain.norm)[::-1] if row.in_zoo}
    return [f"robustbench:{name}" for name in rows.values()]


def _nearness(name: str, wanted: Wanted, mapped: Mapped) -> Near:
    names = next(iter(plain_names(mapped)))
    got: dict[str, Tensor] = {told: mapped.tensors[real] for told, real in names.items() if not is_constant(told)}
    prefix = common_prefix(list(got))
    got = {told.removeprefix(prefix): tensor for told, tensor in got.items()}
    required = wanted.required
    same = [own for own in required if own in got and tuple(got[own].shape) == wanted.shapes[own]]
    rest = [own for own in required if own not in same]
    classes = None
    if same and rest and all(_differs_in_rows(got.get(own), wanted.shapes[own]) for own in rest):
        classes = int(got[rest[0]].shape[0])
    more = len(required) + sum(not told.endswith("num_batches_tracked") and told not in wanted.shapes for told in got)
    return Near(name, len(same) / max(more, 1), classes)


def _differs_in_rows(tensor: Tensor | None, shape: tuple[int, ...]) -> bool:
    return tensor is not None and bool(shape) and tuple(tensor.shape)[1:] == shape[1:]
