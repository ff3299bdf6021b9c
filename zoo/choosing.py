"""Which of the networks that lie in a file is taken, and what is told of it in one line.

One that fits is taken. Where several fit, an average over training (EMA, SWA) is, for it is what training code that keeps one
evaluates; else the one under the customary key. Anything less clear is refused with the words that choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zoo.checkpoint_spec import Reading
from zoo.entrant import EntrantError
from zoo.matching import BESIDE, Found, Wanted, fits
from zoo.normalisation import Normalisation, among, is_constant, stated
from zoo.state_dicts import is_averaged, keys_of, main_place, mappings

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
        found, others = self._one(fitting, held)
        self._require_whole(found, fitting)
        normalisation = self._normalisation(found)
        main = [one for one in fitting if one.mapped == main_place(held)]
        unusual = found.place if others and not any(one.same(found) for one in main[:1]) else ""
        return Chosen(found, normalisation, self._note(found, others, normalisation), unusual)

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

    def _normalisation(self, found: Found) -> Normalisation | None:
        said = stated(self.reading.mean, self.reading.std) or self.own
        said = said.require(self.channels, self.file) if said else None
        constants: dict[str, Tensor] = {
            name: tensor
            for name, tensor in found.beside.items()
            if is_constant(name) and tensor.numel() in (1, self.channels) and not BESIDE.search(name.partition(".")[0])
        }
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
        if said and said != inside:
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
            parts.append(f"images normalised by {normalisation}")
        elif self.wanted.constants:
            held = "of the file" if found.constants else "of its code"
            parts.append(f"images normalised by the network's own mean and std ({held})")
        return "; ".join(parts)


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
