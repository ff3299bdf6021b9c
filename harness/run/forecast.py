"""How long a run still takes: from what a pass costs, how many examples break, and what the work done so far has taken.

Work is counted in passes by measure and stage (harness.classifier.meter). Seconds a pass are, at first, those that were timed
of the entrant's network; what a stage really takes is learned from whatever runs (harness.run.learned). So the second entrant
is estimated from the first, scaled by the cost of its passes.

How much work an example is depends on whether it breaks. Until an entrant's own examples say it, a short attack on a few of
them does, or what an earlier run left robust. A forecast is a range, for neither is known exactly.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.run.learned import Costs, Learned, Share
from harness.run.plan import Plan
from harness.run.progress import Earlier, News, Pace, Progress, Queue, Queued

BROKEN = 0.05
"""Of the work of an example that nothing breaks, about what one that breaks takes."""

_LEAN = 1.3
"""Standard errors to either end of a range: about four in five lie within."""

_TRIED = 20
"""A short attack is another one, on a few images: it counts as so many examples at most."""


@dataclass(frozen=True)
class Left:
    """Seconds that are left, most likely, and the range that they are in."""

    low: float
    likely: float
    high: float

    @property
    def vague(self) -> bool:
        """Whether one number may be off by more than a factor of 1.5."""
        return self.high > 2.25 * self.low


@dataclass
class _Job:
    """A job that waits or runs. `heard` is its last word, `at` when that came."""

    what: Queued
    heard: Progress | None = None
    at: float = 0.0


@dataclass
class Forecast:
    """What is left of a run on so many workers. It is told whatever is heard of it, and asked at any time.

    `clock` gives seconds; only tests need another.
    """

    costs: Costs
    clock: Callable[[], float] = time.monotonic
    ended: int = 0
    """Examples that are measured: each counts once for every measure."""

    def __post_init__(self) -> None:
        self.learned = Learned(self.costs)
        self._jobs: dict[tuple[str, str, int], _Job] = {}
        self._shown: dict[str, Share] = {}
        self._before: dict[tuple[str, str], Share] = {}
        self._workers = 1
        self._found: dict[tuple[str, str], dict[int, Share]] = {}

    def __call__(self, news: News) -> None:
        """Take in what is told."""
        match news:
            case Earlier():
                self._look_back(news)
            case Queue():
                self._workers = news.workers
                self._jobs = {(job.entrant, job.measure, job.start): _Job(job) for job in news.jobs}
            case Pace():
                self.learned.pace(news)
                if news.robust is not None:
                    self._shown[news.entrant] = Share(
                        news.robust * min(1, _TRIED / news.tried), min(news.tried, _TRIED)
                    )
            case Progress():
                if (job := self._jobs.get((news.entrant, news.measure, news.start))) is not None:
                    job.heard, job.at = news, self.clock()
                    self.learned.job(news)
                    if news.robust is not None and self._settled(news):
                        found = self._found.setdefault((news.entrant, news.measure), {})
                        found[news.start] = Share(news.robust, news.examples)

    def _look_back(self, news: Earlier) -> None:
        for one in news.seen:
            kind = one.entrant, one.measure
            if one.robust is not None:
                before = self._before.get(kind, Share(0, 0))
                self._before[kind] = Share(before.robust + one.robust, before.n + one.examples)
            if one.seconds:
                robust = 0.5 if one.robust is None else one.robust / one.examples
                self.learned.seen(*kind, self._passes(one.measure, one.examples, robust), one.seconds)

    def _passes(self, measure: str, examples: int, robust: float) -> dict[str, float]:
        """Passes by stage that examples take, of which this share is robust."""
        return {
            stage: examples * cost.work * (_part(robust) if cost.until_broken else 1.0)
            for stage, cost in self.costs.get(measure, {}).items()
        }

    def end(self, entrant: str, measure: str, start: int) -> None:
        """A job has ended."""
        key = entrant, measure, start
        if (job := self._jobs.pop(key, None)) is not None:
            self.ended += job.what.examples
            self.learned.over(key)

    def drop(self, entrant: str) -> None:
        """Nothing more is done for an entrant."""
        self._jobs = {key: job for key, job in self._jobs.items() if key[0] != entrant}

    @property
    def flying(self) -> list[Progress]:
        """The jobs that are being done."""
        return [job.heard for job in self._jobs.values() if job.heard is not None]

    @property
    def examples(self) -> int:
        """Examples in all, each counted once for every measure."""
        return self.ended + sum(job.what.examples for job in self._jobs.values())

    @property
    def done(self) -> float:
        """Examples that are measured; those of jobs in flight by their share of the passes."""
        return self.ended + sum(one.examples * one.done / max(self._whole(one), 1.0) for one in self.flying)

    def robust(self, entrant: str) -> Share:
        """How many examples of an entrant are robust, as far as its attacks say, and as was known before."""
        before = [share for (name, _), share in self._before.items() if name == entrant]
        first = before[0] if before else self._shown.get(entrant, Share(0, 0))
        found = {measure: shares for (name, measure), shares in self._found.items() if name == entrant}
        of = found.get("autoattack") or next(iter(found.values()), {})
        return Share(first.robust + sum(one.robust for one in of.values()), first.n + sum(one.n for one in of.values()))

    def left(self) -> Left | None:
        """Seconds that are left from now on; None where nothing is known yet."""
        if self._jobs and self.learned.blank:
            return None
        return Left(*(self._makespan(lean) for lean in (-_LEAN, 0.0, _LEAN)))

    def _settled(self, news: Progress) -> bool:
        """Whether what is robust now has been attacked through the first stage: little more will break."""
        return news.stage != next(iter(self.costs.get(news.measure, {})), news.stage)

    def _makespan(self, lean: float) -> float:
        """When the last worker is done: jobs in flight first, then those that wait, in their order."""
        now = self.clock()
        flying = [(job.heard, job.at) for job in self._jobs.values() if job.heard is not None]
        free = [max(0.0, self._rest(news, lean) - (now - at)) for news, at in flying]
        free += [0.0] * max(0, self._workers - len(free))
        heapq.heapify(free)
        alike: dict[tuple[str, str], float] = {}
        for job in (job.what for job in self._jobs.values() if job.heard is None):
            kind = job.entrant, job.measure
            if kind not in alike:
                alike[kind] = self._of_one(*kind, lean)
            heapq.heapreplace(free, free[0] + job.examples * alike[kind])
        return max(free, default=0.0)

    def _of_one(self, entrant: str, measure: str, lean: float) -> float:
        """Seconds that an example takes of which nothing is known."""
        robust = self.robust(entrant).leaning(lean)
        return sum(
            passes * self.learned.seconds(entrant, measure, stage, lean)
            for stage, passes in self._passes(measure, 1, robust).items()
        )

    def _rest(self, news: Progress, lean: float) -> float:
        """Seconds that a job in flight still takes."""
        return sum(
            passes * self.learned.seconds(news.entrant, news.measure, stage, lean)
            for stage, passes in self._passes_left(news, lean).items()
        )

    def _whole(self, news: Progress) -> float:
        """Passes that a job takes in all, most likely."""
        return news.done + sum(self._passes_left(news, 0.0).values())

    def _passes_left(self, news: Progress, lean: float) -> dict[str, float]:
        """What is left of each stage: its bound, less what examples save that will probably break."""
        alive = 1.0 if news.robust is None else news.robust / news.examples
        settled = news.robust is not None and self._settled(news)
        robust = alive if settled else min(alive, self.robust(news.entrant).leaning(lean))
        done = {one.stage: one.passes for one in news.spent}
        found = {}
        for stage, most in news.left.items():
            cost = self.costs.get(news.measure, {}).get(stage)
            if cost is None or not cost.until_broken:
                found[stage] = most
                continue
            so_far = done.get(stage, 0.0)
            likely = min(most, max(news.examples * cost.work * _part(robust) - so_far, 0.0))
            if stage == news.stage and not settled:
                # the further it is, the more the bound itself says: examples that break do so early
                share = so_far / max(so_far + most, 1.0)
                likely = share * most + (1 - share) * likely
            found[stage] = likely
        return found


def forecast(plan: Plan) -> Forecast:
    """Of a plan's work."""
    suite = plan.suite
    return Forecast({measure.name: measure.costs(suite.classes, suite.shape) for measure in plan.measures})


def _part(robust: float) -> float:
    """Of the work of robust examples, what examples take on average, of which this share is robust."""
    return robust + BROKEN * (1 - robust)
