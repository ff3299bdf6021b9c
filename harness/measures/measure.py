"""What every measure offers: it takes a shard's examples to per-sample arrays, and arrays of all shards to values.

The split keeps results independent of how the work was cut, interrupted or spread: values are a pure function of the
arrays, and the arrays of a shard depend on nothing but its examples and the measure's settings.

Most measures work on the suite's test examples. One that makes its own examples says how many units of work it has
(`units`) and gives those of a shard (`examples`); one that needs more than the entrant and the test examples is `bound` to
it before the plan is made, and names it, by its fingerprint, in its settings, which are part of every key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from torch import nn

from harness.classifier.memory import Fitted
from harness.classifier.meter import BOTH, FORWARD
from harness.data.images import Examples, ImageSet
from harness.measures.sources import Sources
from harness.threat import ThreatModel
from leaderboards.records.schema import Distribution, Flag, Quantity, Value


@dataclass(frozen=True)
class Note:
    """Something that happened on a shard and that a reader may need to know; flags are made of notes."""

    code: str
    message: str
    count: int = 1


@dataclass(frozen=True)
class ShardResult:
    """Per-sample arrays of one shard (first axis: its examples), and notes."""

    arrays: Mapping[str, np.ndarray]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Witnesses:
    """Images that prove m examples of a shard broken. `rows` (m,): which of its examples, rising; `x_adv` (m, C, H, W)
    float32; `bits` and `step` (m,): how each is packed (leaderboards.records.witnesses), None where that is not known."""

    rows: np.ndarray
    x_adv: np.ndarray
    bits: np.ndarray | None = None
    step: np.ndarray | None = None


@dataclass(frozen=True)
class Summary:
    """What goes into the record."""

    values: Mapping[str, Value]
    flags: tuple[Flag, ...] = ()
    distributions: Mapping[str, Distribution] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """Passes through the network for one example, at most: forward ones, and backward ones (to the image).

    `until_broken`: an example that breaks takes few of them.
    """

    forward: int
    backward: int = 0
    until_broken: bool = False

    @property
    def work(self) -> float:
        """As a meter counts it: in passes forward."""
        return max(self.forward - self.backward, 0) * FORWARD + self.backward * BOTH


Kept = Callable[[ShardResult], None]
"""Takes what is found so far of the examples that are being measured."""


class Measure(Protocol):
    """A frozen dataclass whose fields are its settings. `version` changes whenever its code would give other numbers."""

    name: ClassVar[str]
    version: ClassVar[int]
    heavy_arrays: ClassVar[frozenset[str]] = frozenset()
    """Arrays that stay in the shards: neither the summary nor the record needs them."""
    working_arrays: ClassVar[frozenset[str]] = frozenset()
    """Arrays that the summary is made from and that are too large to be kept beside the record."""
    exhibits: ClassVar[bool] = False
    """Whether there is something to look at: `exhibit` is then called with all arrays."""

    @property
    def seed(self) -> int: ...

    def settings(self) -> dict[str, Any]:
        """All that decides its numbers besides the seed, as JSON values."""
        ...

    def quantities(self) -> Mapping[str, Quantity]:
        """How to read each of its values: title, unit, which way is better. Terminal, pages, downloads and gates ask this."""
        return {}

    def bound(self, sources: Sources) -> Self:
        """The measure with what it needs beside the entrant and the test examples. Raises BadInput where that is not here."""
        return self

    def on(self, device: torch.device) -> Self:
        """The measure with what its settings leave to the device that it is taken on. Raises BadInput for what it has not."""
        return self

    @property
    def any_range(self) -> bool:
        """Whether an example's numbers depend on nothing but the example.

        Its shards may then be measured together, and `go_on` from a part of themselves.
        """
        return False

    def kin(self) -> tuple[Measure, ...]:
        """Measures whose shards `go_on` can begin with, where `any_range` says that it can go on at all."""
        return ()

    def progress(self, arrays: Mapping[str, np.ndarray]) -> float:
        """How far the examples have got, for a measure that can go on: of two parts of a shard, the one with more counts."""
        return 1.0

    def units(self, examples: int) -> int:
        """How many units of work there are on a suite of so many examples; shards are ranges of units."""
        return examples

    def examples(self, images: ImageSet, start: int, stop: int) -> Examples:
        """The examples of the units start to stop (exclusive); `images` are the suite's."""
        return images.examples(start, stop)

    def correct(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """(n,) bool: which examples it leaves right, from its per-sample arrays; None where it tells no such thing."""
        return None

    def whole(self) -> Measure | None:
        """The complete measure that this one answers a part of; None: it is complete itself."""
        return None

    def stands(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether its answer, from the arrays of all examples, is one; where it is not, `whole` is measured."""
        return True

    def content(self, images: ImageSet, start: int, stop: int) -> str:
        """What the units start to stop are made of beside the settings, as a hash; part of the key of their shard."""
        return images.content(start, stop)

    def witnesses(self, arrays: Mapping[str, np.ndarray]) -> Witnesses | None:
        """The images that prove examples broken, from all arrays of a shard; None for a measure that looks for none.

        A record names a bundle of them.
        """
        return None

    def exhibit(self, arrays: Mapping[str, np.ndarray], folder: Path, mark: str) -> None:
        """Write what people look at into a folder of its own; `mark` says of which measurement it is."""
        return  # a body that is empty would make this abstract

    def cost(self, classes: int) -> Cost:
        """What one unit costs at most."""
        ...

    def costs(self, classes: int, shape: Sequence[int]) -> Mapping[str, Cost]:
        """What its stages cost an example of a shape (C, H, W), in their order, for who estimates its time.

        The names are those by which it tells how far it is (harness.classifier.meter); a measure that says nothing of itself
        has one stage.
        """
        return {"": self.cost(classes)}

    def __call__(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
        """Measure one shard. The model gives float32 logits."""
        ...

    def go_on(
        self,
        model: nn.Module,
        examples: Examples,
        threat: ThreatModel,
        before: ShardResult | None,
        *,
        kept: Kept | None = None,
        through: int | None = None,
    ) -> ShardResult:
        """Measure examples of which something is known `before`; `kept` is called now and then with what is found so far.

        `through` says after how many stages to stop, where a measure has stages.
        """
        return self(model, examples, threat)

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        """Arrays of all shards, joined in order, to values with intervals, and flags."""
        ...


def joined_notes(before: Iterable[Note], fresh: Iterable[Note]) -> tuple[Note, ...]:
    """Notes of one piece of work and of its continuation: counts add up, what has no count is said once."""
    counts: dict[tuple[str, str], int] = {}
    for note in (*before, *fresh):
        counts[note.code, note.message] = counts.get((note.code, note.message), 0) + note.count
    return tuple(Note(code, message, count) for (code, message), count in counts.items())


def flags_of(notes: Sequence[Note]) -> tuple[Flag, ...]:
    """Notes of all shards as flags: one a code and message, with how often it was seen where that is more than once."""
    counts: dict[tuple[str, str], int] = {}
    for note in notes:
        counts[note.code, note.message] = counts.get((note.code, note.message), 0) + note.count
    return tuple(
        Flag(code=code, message=message.replace("{n}", str(count))) for (code, message), count in sorted(counts.items())
    )


def generator_of(seed: int, start: int, name: str) -> torch.Generator:
    """The randomness of one part of a measure on one shard: what is added beside it changes nothing for it.

    On the CPU: its numbers are then the same on every device.
    """
    content = hashlib.sha256(f"{seed} {start} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(content[:7], "big"))


def batch_notes(model: Fitted) -> tuple[Note, ...]:
    """That memory ran out and the batches were made smaller, where that happened."""
    if model.lowered_from is None:
        return ()
    message = f"memory ran out with batches of {model.lowered_from} images: measured in batches of {model.size}"
    return (Note("batch-lowered", message),)
