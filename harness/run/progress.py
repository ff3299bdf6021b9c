"""What a run tells of itself while it goes on: small plain records, whoever does the work and wherever it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.classifier.meter import Reading, Spent


@dataclass(frozen=True)
class Queue:
    """The jobs that are to be done, in their order, by so many workers."""

    jobs: tuple[Queued, ...]
    workers: int = 1


@dataclass(frozen=True)
class Queued:
    """A job that waits: shards of one measure of one entrant, `start` the first example, `examples` how many in all."""

    entrant: str
    measure: str
    start: int
    examples: int


@dataclass(frozen=True)
class Pace:
    """What a pass costs: seconds of an image forward, and forward and backward; and how many of a few images `tried` are
    classified correctly, and left so by a short attack (None where nothing was attacked)."""

    entrant: str
    forward: float
    both: float
    tried: int
    correct: int
    robust: int | None


@dataclass(frozen=True)
class Progress:
    """How far a job is. `done` and `total` are passes (one forward and backward is three); the total falls as examples break.

    `start` names the job beside entrant and measure; `robust` of its examples nothing has broken so far.
    """

    entrant: str
    measure: str
    start: int
    examples: int
    stage: str
    done: float
    total: float
    robust: int | None
    seconds: float
    spent: tuple[Spent, ...] = ()
    left: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Queued, reading: Reading) -> Progress:
        """From what a job's meter reads."""
        return cls(
            job.entrant, job.measure, job.start, job.examples, reading.stage, reading.done, reading.total,
            reading.robust, reading.seconds, reading.spent, reading.left,
        )  # fmt: skip

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Seen:
    """What an earlier run took for some examples of a measurement; `robust` of them. None: it does not say, or not of this
    machine."""

    entrant: str
    measure: str
    examples: int
    robust: int | None
    seconds: float | None


@dataclass(frozen=True)
class Earlier:
    """All that earlier runs say."""

    seen: tuple[Seen, ...]


News = Earlier | Queue | Pace | Progress
Heard = Callable[[News], None]
"""Takes what a run tells while it goes on, in the process that started it."""


def unheard(news: News) -> None:
    """Nobody listens."""
