"""Which of the networks that lie in a file is taken, and what is told of it in one line.

One that fits is taken. Where several fit, an average over training (EMA, SWA) is, for it is what training code that keeps one
evaluates; else the one under the customary key. Anything less clear is refused with the words that choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.checkpoint_spec import Reading
from zoo.entrant import EntrantError
from zoo.matching import BESIDE, Found, Wanted, fits
from zoo.normalisation import Normalisation, among, is_constant, said_outside, stated
from zoo.state_dicts import Mapped, is_averaged, keys_of, main_place, mappings

HERE = "."
"""What `take` calls the file's outermost mapping."""


class NoFit(EntrantError):
    """No mapping of the file has the network's tensors."""


@dataclass(frozen=True)
class Chosen:
    """The tensors that are taken, the normalisation that comes before the network, and what to tell.

    `unusual` is the place where it is not the customary one, so that results are kept apart from that one's.
    """

    found: Found
    normalisation: Normalisation | None
    note: str
    unusual: str = ""


@dataclass(frozen=True)
class Choice:
    """For one network: `spec` is what was typed without what it says of reading, `who` the file and the architecture."""

    wanted: Wanted
    reading: Reading
    channels: int
    spec: str
    file: str
    architecture: str
    own: Normalisation | None = None

    def __call__(self, held: Any) -> Chosen:
        """Raises EntrantError, NoFit where nothing in the file has the network's tensors."""
        held_in = list(mappings(held))
        if not held_in:
            raise EntrantError(
                f"expected a state dict in {self.file}, got {keys_of(held)};"
                " save model.state_dict(), alone or under 'state_dict'"
            )
        fitting = [found for found in fits(self.wanted, held_in) if not found.inside]
        if not fitting:
            raise NoFit(self.architecture)
        for one in fitting:
            self._require_numbers(one)
        found, others = self._one(fitting, held)
        self._require_whole(found, fitting)
        normalisation = self._normalisation(found)
        main = [one for one in fitting if one.mapped == main_place(held)]
        unusual = found.place if others and not any(one.same(found) for one in main[:1]) else ""
        unread = _unread(held, held_in, [*fitting], self.channels, bool(normalisation) or self.wanted.normalises)
        note = "; ".join(filter(None, [self._note(found, others, normalisation), *unread]))
        return Chosen(found, normalisation, note, unusual)

    def _one(self, fitting: Sequence[Found], held: Any) -> tuple[Found, list[Found]]:
        take = self.reading.take
        asked = [found for found in fitting if not take or _lies_in(found, take)]
        if not asked:
            raise EntrantError(
                f"expected tensors of {self.architecture} in {take!r} of {self.file}, got them in"
                f" {' and '.join(_called(one) for one in fitting)}; write {self._taking(fitting[0])}"
            )
        distinct = _distinct(asked)
        others = [one for one in _distinct(fitting) if all(not one.same(found) for found in distinct)]
        if len(distinct) == 1:
            return distinct[0], others
        averaged = [one for one in distinct if is_averaged(one.place)]
        main = [one for one in distinct if one.mapped == main_place(held)]
        for kind in (averaged, main):
            if len(kind) == 1:
                return kind[0], [*others, *(one for one in distinct if one is not kind[0])]
        raise EntrantError(
            f"expected one network of {self.architecture} in {self.file}, got {len(distinct)}:"
            f" {', '.join(_called(one) for one in distinct)}; choose one, such as {self._taking(distinct[0])}"
        )

    def _require_whole(self, found: Found, fitting: Sequence[Found]) -> None:
        copies = {id(tensor) for one in fitting if one.mapped == found.mapped for tensor in one.tensors.values()}
        doubtful = [name for name in found.outside if id(found.beside[name]) not in copies]
        if doubtful and not self.reading.take:
            raise EntrantError(
                f"expected the tensors of {self.architecture} alone in {self.file}, got {_amount(doubtful)} beside them that"
                f" may belong to the network ({doubtful[0]}); where they do not, write {self._taking(found)}"
            )

    def _require_numbers(self, found: Found) -> None:
        for name, tensor in found.tensors.items():
            kind = _kind(tensor)
            if kind == "floating-point" or (name not in self.wanted.floats and kind == "whole"):
                continue
            raise EntrantError(
                f"expected floating-point numbers for {name} of {self.architecture} in {self.file}, got {kind} ones"
                f" ({tensor.dtype}); save the network as it was before it was quantised or converted"
            )

    def _normalisation(self, found: Found) -> Normalisation | None:
        said = stated(self.reading.mean, self.reading.std) or self.own
        said = said.require(self.channels, self.file) if said else None
        constants: dict[str, Tensor] = {
            name: tensor
            for name, tensor in found.beside.items()
            if is_constant(name) and tensor.numel() in (1, self.channels) and not BESIDE.search(name.partition(".")[0])
        }
        larger = [
            name
            for name, tensor in found.beside.items()
            if is_constant(name) and name not in constants and not BESIDE.search(name.partition(".")[0])
        ]
        if larger and not self.reading.take:
            raise EntrantError(
                f"expected a mean and a std of {self.channels} channels at most beside {self.architecture} in {self.file}, got"
                f" {larger[0]} of shape {tuple(found.beside[larger[0]].shape)}, which may belong to the network; where it does"
                f" not, write {self._taking(found)}"
            )
        if not constants:
            return said
        inside = among(constants, self.channels)
        if inside is None:
            if said:
                return said
            raise EntrantError(
                f"expected one mean and one std in {self.file}, got {', '.join(sorted(constants)[:4])};"
                f" say them: {self.spec}@mean=0.5@std=0.5{self._take()}"
            )
        inside = inside.require(self.channels, self.file)
        if said and str(said) != str(inside):  # a file has float32
            raise EntrantError(
                f"expected the mean and std that lie in {self.file} ({inside}), got {said}; leave them out, or correct them"
            )
        return inside

    def _take(self) -> str:
        return f"@take={self.reading.take}" if self.reading.take else ""

    def _taking(self, found: Found) -> str:
        said = Reading(self.reading.mean, self.reading.std, found.place or HERE)
        return f"{self.spec}{said.spec}"

    def _note(self, found: Found, others: Sequence[Found], normalisation: Normalisation | None) -> str:
        """Empty where the file is the network's state dict and nothing else."""
        parts = []
        if found.place or others:
            kind = ", averaged weights" if is_averaged(found.place) else ""
            parts.append(f"tensors of {_called(found)}{kind}")
        if others:
            parts.append(
                f"there is also {', '.join(map(_called, others))} (take it with @take={others[0].place or HERE})"
            )
        if found.renamed:
            parts.append(f"{_renamed(found)}: check that its accuracy is the one you know")
        left = [name for name in found.beside if not is_constant(name)]
        copies = {id(tensor) for one in others for tensor in one.tensors.values()}
        if left := [name for name in left if id(found.beside[name]) not in copies]:
            parts.append(f"left out {_amount(left)} ({_groups(left)})")
        if normalisation:
            own = ", before the network's own mean and std" if self.wanted.normalises else ""
            parts.append(f"images normalised by {normalisation}{own}")
        elif self.wanted.normalises:
            held = "of the file" if found.constants else "of its code"
            parts.append(f"images normalised by the network's own mean and std ({held})")
        return "; ".join(parts)


def _kind(tensor: Tensor) -> str:
    """Of its numbers, where they can be copied into a network as they are: floating-point or whole."""
    if tensor.is_meta or tensor.is_quantized or tensor.layout is not torch.strided:
        return "absent" if tensor.is_meta else "quantised" if tensor.is_quantized else "sparse"
    return "floating-point" if tensor.is_floating_point() else "complex" if tensor.is_complex() else "whole"


def _unread(
    held: Any, held_in: Sequence[Mapped], fitting: Sequence[Found], channels: int, normalises: bool
) -> Iterator[str]:
    """What the file has in other places, which may come before the network: told, for no name of it is the network's."""
    places = {one.mapped for one in fitting}
    if beside := [
        ".".join(mapped.place)
        for mapped in held_in
        if mapped.place and mapped.place not in places and any(_is_matrix(tensor) for tensor in mapped.tensors.values())
    ]:
        yield f"not read: {', '.join(map(repr, beside[:4]))}{', ...' if len(beside) > 4 else ''}"
    if not normalises and (constants := list(said_outside(held, channels, places))):
        yield (
            f"{' and '.join(map(repr, constants[:2]))} of the file not used: write @mean=...@std=... if its images were"
            " normalised by them"
        )


def _is_matrix(tensor: Tensor) -> bool:
    return tensor.ndim >= 2 and tensor.is_floating_point()


def _lies_in(found: Found, take: str) -> bool:
    if take == HERE:
        return not found.place
    return found.place == take or found.place.startswith(f"{take}.")


def _distinct(found: Sequence[Found]) -> list[Found]:
    kept: list[Found] = []
    for one in found:
        if not any(one.same(other) for other in kept):
            kept.append(one)
    return kept


def _called(found: Found) -> str:
    return repr(found.place) if found.place else "the file itself"


def _amount(names: Sequence[str]) -> str:
    return "1 tensor" if len(names) == 1 else f"{len(names)} tensors"


def _groups(names: Sequence[str]) -> str:
    tops = list(dict.fromkeys(name.partition(".")[0] for name in names))
    return ", ".join(tops[:4]) + (", ..." if len(tops) > 4 else "")


def _renamed(found: Found) -> str:
    """The parts of names that differ, where they have as many parts; else how many names do."""
    pairs: dict[str, None] = {}
    for told, name in found.renamed:
        theirs, ours = told.split("."), name.split(".")
        if len(theirs) != len(ours):
            pairs.clear()
            break
        pairs.update({f"{a} -> {b}": None for a, b in zip(theirs, ours, strict=True) if a != b})
    which = f" ({', '.join(list(pairs)[:3])}{', ...' if len(pairs) > 3 else ''})" if pairs else ""
    return f"{len(found.renamed)} names matched by order and shape{which}"
