"""What work costs, as it is learned: seconds a pass by entrant, measure and stage, and how many examples are robust."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.measures.measure import Cost
from harness.run.progress import Pace, Progress

Costs = Mapping[str, Mapping[str, Cost]]
"""What each measure's stages cost an example, by the names of measure and stage."""

BESIDE = {"apgd-t": 5e-6, "fab-t": 5e-6, "square": 2e-5}
"""Seconds a pass that AutoAttack's stages take beside the network's, on a CPU core; much for small ones."""

_TRUST = 3.0
"""Seconds of work after which what was seen counts as much as what was expected."""

_BEFORE = 10.0
"""What an earlier run took counts as so many seconds at most: the machine may be busier now."""

_LEAST = 20.0
"""Passes below which a stage has hardly begun."""

_UNKNOWN = Pace("", 1e-4, 3e-4, 0, 0, None)
"""What a network's passes may take where none was timed; the first work that is seen corrects it."""


@dataclass(frozen=True)
class Share:
    """Of `n` examples `robust` are. It may be a fraction of an example, where two sources are weighed."""

    robust: float
    n: float

    @property
    def likely(self) -> float:
        """The share, with half an example of either kind more than was seen."""
        return (self.robust + 0.5) / (self.n + 1)

    def leaning(self, lean: float) -> float:
        """The share `lean` standard errors up, in [0, 1] (Agresti & Coull 1998)."""
        n = self.n + 4
        middle = (self.robust + 2) / n
        return min(1.0, max(0.0, middle + lean * math.sqrt(middle * (1 - middle) / n))) if lean else self.likely


@dataclass
class _Account:
    """Work of one kind that was seen: passes and seconds."""

    passes: float = 0.0
    seconds: float = 0.0

    def add(self, passes: float, seconds: float) -> None:
        self.passes += passes
        self.seconds += seconds


Kind = tuple[str, str, str]
"""Entrant, measure, stage."""


class Learned:
    """Seconds a pass: as they were timed, times what was learned of work that is alike."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._paces: dict[str, Pace] = {}
        self._over: dict[Kind, _Account] = defaultdict(_Account)
        self._flying: dict[tuple[str, str, int], Progress] = {}
        self._factors: _Factors | None = None

    @property
    def blank(self) -> bool:
        """Whether nothing is known: no pass was timed, and no work was seen."""
        return not self._paces and not any(self._accounts())

    def pace(self, pace: Pace) -> None:
        """An entrant's passes were timed."""
        self._paces[pace.entrant] = pace
        self._factors = None

    def job(self, news: Progress) -> None:
        """A job has come so far."""
        key = news.entrant, news.measure, news.start
        before = self._flying.get(key)
        if before is not None and news.seconds < before.seconds:  # another part of the group: it counts from zero
            self.over(key)
        self._flying[key] = news
        self._factors = None

    def over(self, key: tuple[str, str, int]) -> None:
        """A job has ended: what it took stays known."""
        if (news := self._flying.pop(key, None)) is not None:
            for one in news.spent:
                self._over[news.entrant, news.measure, one.stage].add(one.passes, one.seconds)
            self._factors = None

    def seen(self, entrant: str, measure: str, passes: Mapping[str, float], seconds: float) -> None:
        """What an earlier run took of an entrant: passes by stage, and seconds of all together."""
        seconds, passes = min(seconds, _BEFORE), {stage: n * min(1.0, _BEFORE / seconds) for stage, n in passes.items()}
        expected = {stage: n * self.timed(entrant, measure, stage) for stage, n in passes.items() if n > 0}
        for stage, part in expected.items():
            self._over[entrant, measure, stage].add(passes[stage], seconds * part / sum(expected.values()))
        self._factors = None

    def timed(self, entrant: str, measure: str, stage: str) -> float:
        """Seconds a pass as the entrant's network was timed; where it was not, as the others' were."""
        pace = self._paces.get(entrant)
        forward, both = (pace.forward, pace.both) if pace else self._usual()
        cost = self._costs.get(measure, {}).get(stage) or Cost(1, 1)
        one = max(cost.forward - cost.backward, 0) * forward + cost.backward * both
        return one / max(cost.work, 1e-9) + BESIDE.get(stage, 0.0)

    def _usual(self) -> tuple[float, float]:
        known = [*self._paces.values()] or [_UNKNOWN]
        return tuple(  # type: ignore[return-value]
            math.exp(sum(math.log(max(value, 1e-9)) for value in values) / len(known))
            for values in zip(*((one.forward, one.both) for one in known), strict=True)
        )

    def _accounts(self) -> Iterator[tuple[Kind, float, float]]:
        """Passes and seconds by kind, of jobs that are over and of those in flight."""
        found = {kind: _Account(one.passes, one.seconds) for kind, one in self._over.items()}
        for news in self._flying.values():
            for one in news.spent:
                found.setdefault((news.entrant, news.measure, one.stage), _Account()).add(one.passes, one.seconds)
        for kind, account in found.items():
            if account.passes > _LEAST and account.seconds > 0:
                yield kind, account.passes, account.seconds

    def seconds(self, entrant: str, measure: str, stage: str, lean: float = 0.0) -> float:
        """Seconds a pass takes; `lean` standard errors up."""
        if self._factors is None:
            self._factors = _Factors([
                (kind, seconds, math.log(seconds / passes / self.timed(*kind)))
                for kind, passes, seconds in self._accounts()
            ], frozenset(self._paces))  # fmt: skip
        factor, doubt = self._factors((entrant, measure, stage))
        return self.timed(entrant, measure, stage) * math.exp(factor + lean * doubt)


class _Factors:
    """The logarithm of what work takes beside what was timed: from all that was seen, the nearer to it the more."""

    def __init__(self, seen: list[tuple[Kind, float, float]], timed: frozenset[str]) -> None:
        self._weights: dict[tuple[str, ...], float] = defaultdict(float)
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for kind, seconds, ratio in seen:
            # an hour of one stage must not outvote all others
            weight = min(seconds, 60.0)
            for level in _levels(kind):
                self._weights[level] += weight
                sums[level] += weight * ratio
        self._sums, self._timed = sums, timed
        # what is an entrant's own, beside what is the stage's: of one that was not timed, all of it
        own: dict[str, tuple[float, float]] = {}
        for kind, seconds, ratio in seen:
            weight, total = own.get(kind[0], (0.0, 0.0))
            mine = min(seconds, 60.0)
            own[kind[0]] = weight + mine, total + mine * (ratio - self._alike(kind))
        self._own = {
            entrant: total / (weight + (_TRUST if entrant in timed else 0.1 * _TRUST))
            for entrant, (weight, total) in own.items()
        }

    def _alike(self, kind: Kind) -> float:
        """Of work of the same stage, of the same measure, of any."""
        found = 0.0
        for level in _levels(kind)[:3]:
            weight = self._weights.get(level, 0.0)
            found = (self._sums.get(level, 0.0) + _TRUST * found) / (weight + _TRUST) if weight else found
        return found

    def __call__(self, kind: Kind) -> tuple[float, float]:
        """The factor's logarithm, and how far it may be off."""
        everything, measure, stage, own = (self._weights.get(level, 0.0) for level in _levels(kind))
        known = self._alike(kind) + self._own.get(kind[0], 0.0)
        if own:
            known = (self._sums[_levels(kind)[3]] + _TRUST * known) / (own + _TRUST)
        evidence = own + 0.3 * stage + 0.1 * measure + 0.03 * everything
        start = 0.35 if kind[0] in self._timed or not self._timed else 0.7
        return known, 0.08 + start * _TRUST / (_TRUST + evidence)


def _levels(kind: Kind) -> tuple[tuple[str, ...], ...]:
    entrant, measure, stage = kind
    return (), (measure,), (measure, stage), (entrant, measure, stage)
