"""How far a piece of work is: passes through the network, counted where they are made, and told now and then.

Work is counted in forward passes of one image; a pass forward and backward counts as three. Whoever works says which stages
there are, and what is left of each at most; what breaks, and needs no more, lowers that bound. Nothing here decides a number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

FORWARD, BOTH = 1.0, 3.0
"""Work of a pass forward, and of one forward and backward."""

EVERY = 0.5
"""Seconds between two readings at least."""


@dataclass(frozen=True)
class Spent:
    """What a stage has taken so far: passes, and seconds."""

    stage: str
    passes: float
    seconds: float


@dataclass(frozen=True)
class Reading:
    """How far a piece of work is. `left` are the passes of each stage that are still to be made, at most; `robust` is how many
    examples nothing has broken so far, None where the work says no such thing."""

    stage: str
    spent: tuple[Spent, ...]
    left: Mapping[str, float]
    robust: int | None
    seconds: float

    @property
    def done(self) -> float:
        """Passes so far."""
        return sum(one.passes for one in self.spent)

    @property
    def total(self) -> float:
        """Passes at most: those so far, and the bound of what is left."""
        return self.done + sum(self.left.values())


class Meter:
    """Counts the work of one job. `plan`: passes of each stage for all examples together, at most, in their order."""

    def __init__(
        self,
        plan: Mapping[str, float],
        tell: Callable[[Reading], None],
        *,
        every: float = EVERY,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._left = dict(plan)
        self._tell, self._every, self._clock = tell, every, clock
        self._spent: dict[str, list[float]] = {}
        self._stage = next(iter(plan), "")
        self._by_stages = self._by_itself = False
        self.robust: int | None = None
        self._begun = self._since = self._told = clock()

    @property
    def due(self) -> bool:
        """Whether it is time for a reading; asked before numbers are gathered that cost something."""
        return self._clock() - self._told >= self._every

    def enter(
        self,
        stage: str,
        left: float | None = None,
        later: Mapping[str, float] | None = None,
        *,
        by_itself: bool = False,
    ) -> None:
        """A stage begins, the one before is over. `left` and `later` are new bounds of its passes and of later stages'.

        One that counts `by_itself` says what it has done (`worked`): passes that are seen elsewhere are part of that.
        """
        self._close()
        if self._by_stages and stage != self._stage:
            self._left.pop(self._stage, None)
        self._by_stages, self._stage, self._by_itself = True, stage, by_itself
        # what stands before it in the plan was left out
        for other in [*self._left]:
            if other == stage or stage not in self._left:
                break
            del self._left[other]
        if left is not None:
            self._left[stage] = left
        self._left.update(later or {})
        self._look()

    def passed(self, images: int, *, backward: bool = False) -> None:
        """So many images went through the network."""
        if not self._by_itself:
            self.worked(images * (BOTH if backward else FORWARD))

    def worked(self, passes: float, left: float | None = None) -> None:
        """So much was done in this stage, and so much is left of it at most: by default what there was, less this."""
        account = self._spent.setdefault(self._stage, [0.0, 0.0])
        account[0] += passes
        rest = self._left.get(self._stage, 0.0) - passes if left is None else left
        self._left[self._stage] = max(rest, 0.0)
        self._look()

    def _close(self) -> None:
        now = self._clock()
        account = self._spent.setdefault(self._stage, [0.0, 0.0])
        account[1] += now - self._since
        self._since = now

    def _look(self) -> None:
        if self.due:
            self.read()

    def read(self) -> None:
        """Tell how far the work is, now."""
        self._close()
        self._told = self._clock()
        spent = tuple(Spent(stage, *account) for stage, account in self._spent.items() if any(account))
        self._tell(Reading(self._stage, spent, dict(self._left), self.robust, self._told - self._begun))

    def end(self) -> None:
        """The work is over: nothing is left."""
        self._left.clear()
        self.read()


_SILENT = Meter({}, lambda reading: None, every=float("inf"))
_here: ContextVar[Meter | None] = ContextVar("meter", default=None)


def meter() -> Meter:
    """The meter of the work that goes on here; one that nobody reads where nobody asked."""
    return _here.get() or _SILENT


@contextmanager
def metered(made: Meter) -> Iterator[Meter]:
    """Within the block, work is counted by this meter; at its end all is told to be done, unless an exception leaves it."""
    token = _here.set(made)
    try:
        yield made
        made.end()
    finally:
        _here.reset(token)
