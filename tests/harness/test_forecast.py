"""What a run says of the time that is left, held against runs that a clock of the test's own makes: no work is done here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from harness.classifier.meter import BOTH, Spent
from harness.measures import MEASURES
from harness.run.forecast import BROKEN, Forecast, Left
from harness.run.progress import Earlier, News, Pace, Progress, Queue, Queued, Seen
from harness.run.report import headway, span

SHAPE, SHARD = (1, 28, 28), 100
COSTS = {name: MEASURES[name].costs(10, SHAPE) for name in ("standard", "autoattack", "energies", "smoothness")}
FACTOR = 1.5


@dataclass(frozen=True)
class Network:
    """An entrant as it really is: seconds of a pass, and the share of its examples that is robust."""

    name: str
    seconds: float
    robust: float
    looks: float | None = None
    """The share that a short attack leaves, where that is another one."""


@dataclass
class World:
    """A run on one worker, second by second. `factors`: how much longer a stage's passes take than those that were timed."""

    networks: tuple[Network, ...]
    measures: tuple[str, ...] = ("standard", "autoattack", "energies", "smoothness")
    shards: int = 2
    factors: Mapping[str, float] = field(default_factory=dict)
    probed: bool = True
    now: float = 0.0

    def jobs(self) -> list[tuple[Network, Queued]]:
        return [
            (one, Queued(one.name, measure, SHARD * number, SHARD))
            for one in self.networks
            for measure in self.measures
            for number in range(self.shards)
        ]

    def looks(self) -> Iterator[Pace]:
        for one in self.networks:
            seen = one.robust if one.looks is None else one.looks
            yield Pace(one.name, one.seconds, BOTH * one.seconds, 64, 60, round(64 * seen))

    def stages(self, one: Network, job: Queued) -> Iterator[tuple[str, float, float]]:
        """Passes and seconds of each stage of a job."""
        for stage, cost in COSTS[job.measure].items():
            part = one.robust + BROKEN * (1 - one.robust) if cost.until_broken else 1.0
            passes = SHARD * cost.work * part
            yield stage, passes, passes * one.seconds * self.factors.get(stage, self.factors.get(job.measure, 1.0))

    @property
    def whole(self) -> float:
        """Seconds that all of it takes."""
        return sum(seconds for one, job in self.jobs() for _, _, seconds in self.stages(one, job))

    def run(self, every: float) -> Iterator[News | Queued]:
        """What is told, and each job as it ends, while the clock goes on."""
        yield Queue(tuple(job for _, job in self.jobs()))
        if self.probed:
            yield from self.looks()
        for one, job in self.jobs():
            yield from self._job(one, job, every)
            yield job

    def _job(self, one: Network, job: Queued, every: float) -> Iterator[Progress]:
        spent: list[Spent] = []
        costs, attacked, begun = COSTS[job.measure], job.measure == "autoattack", self.now
        stages = [*self.stages(one, job)]
        left = {stage: SHARD * cost.work for stage, cost in costs.items()}
        robust: int | None = None
        for number, (stage, passes, seconds) in enumerate(stages):
            start = self.now
            steps = int(seconds / every) + 1
            for share in (step / steps for step in range(steps)):
                self.now = start + share * seconds
                if attacked and number == 0:  # what breaks does so in the first fifth
                    alive = one.robust + (1 - one.robust) * max(0.0, 1 - 5 * share)
                    robust = round(alive * SHARD)
                    left[stage] = max(
                        alive * SHARD * costs[stage].work - one.robust * SHARD * costs[stage].work * share, 0
                    )
                else:
                    # of energies nothing is known before a stage is over
                    left[stage] = (passes if attacked else SHARD * costs[stage].work) - passes * share
                now = (*spent, Spent(stage, passes * share, share * seconds))
                done = sum(part.passes for part in now)
                yield Progress(
                    job.entrant, job.measure, job.start, SHARD, stage, done, done + sum(left.values()), robust,
                    self.now - begun, now, dict(left),
                )  # fmt: skip
            self.now = start + seconds
            spent.append(Spent(stage, passes, seconds))
            del left[stage]
            if (attacked and number == 0) or stage == "pgd":
                robust = round(one.robust * SHARD)
            if attacked and number == 0:
                left = {later: one.robust * SHARD * costs[later].work for later in left}


def told(world: World, before: Earlier | None = None) -> Iterator[tuple[float, float, Left]]:
    """What a forecast says each time that it is told something: seconds gone, seconds that are left in truth, and its word."""
    forecast, whole = Forecast(COSTS, clock=lambda: world.now), world.whole
    if before is not None:
        forecast(before)
    for news in world.run(whole / 100):
        if isinstance(news, Queued):
            forecast.end(news.entrant, news.measure, news.start)
        else:
            forecast(news)
        if (left := forecast.left()) is not None:
            yield world.now, whole - world.now, left


def worst(world: World, since: float = 60.0, before: Earlier | None = None) -> float:
    """The largest factor between what is said and what is true, from the first minute to the last ten seconds."""
    ratios = [left.likely / true for now, true, left in told(world, before) if now >= since and true > 10]
    assert len(ratios) > 50, "a run of minutes"
    return max(max(ratio, 1 / ratio) for ratio in ratios)


FAST, ROBUST = Network("breaks", 2e-4, 0.02), Network("robust", 2e-4, 0.8)
SCHEDULES = {
    "as it was timed": World((ROBUST,)),
    "everything takes three times as long as it was timed": World(
        (ROBUST, FAST), factors={name: 3.0 for costs in COSTS.values() for name in costs}
    ),
    "the first breaks fast, the second is robust": World((FAST, ROBUST)),
    "the first is robust, the second breaks fast": World((ROBUST, FAST)),
    "the second's passes are twenty times as dear": World((FAST, Network("large", 4e-3, 0.5))),
    "the first's passes are twenty times as dear": World((Network("large", 4e-3, 0.5), ROBUST)),
    "the last stage takes twice as long as its passes": World(
        (ROBUST, Network("second", 2e-4, 0.8)), factors={"square": 2.0}
    ),
    "Square hardly needs a pass": World((ROBUST, Network("second", 3e-4, 0.7)), factors={"square": 0.4}),
    "a short attack breaks too few": World((Network("hides", 3e-4, 0.4, looks=0.55), ROBUST)),
    "five entrants": World(
        tuple(Network(f"n{n}", 2e-4 * (n + 1), 0.2 * n) for n in range(5)), ("autoattack", "energies"), 1
    ),
    "many shards of one": World((ROBUST,), shards=20, measures=("autoattack",)),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_after_the_first_minute_the_time_left_is_right_within_a_factor_of_one_and_a_half(schedule: str) -> None:
    assert worst(SCHEDULES[schedule]) <= FACTOR


def test_where_nobody_looked_at_the_second_entrant_the_range_holds_what_it_takes() -> None:
    world = World((FAST, Network("unseen", 2e-4, 0.8)), measures=("autoattack",), probed=False)
    second = world.whole - sum(s for one, job in world.jobs() if one is FAST for _, _, s in world.stages(one, job))
    early = [(left, true) for now, true, left in told(world) if true > second and now > 0.01 * world.whole]
    assert early
    assert all(left.low <= true <= left.high for left, true in early)
    assert all(left.vague for left, _ in early), "nobody can know it"


def test_the_second_entrant_is_estimated_from_the_first_by_the_cost_of_its_passes() -> None:
    """Square takes three times what was timed, and nothing of the second has run: the estimate knows it from the first."""
    world = World((ROBUST, Network("second", 1e-3, 0.8)), factors={"square": 3.0, "fab-t": 0.5})
    first = world.whole - sum(s for one, job in world.jobs() if one is not ROBUST for _, _, s in world.stages(one, job))
    before, *_ = [left.likely for _, _, left in told(world)]
    world.now = 0.0
    at_half = next(left.likely / true for now, true, left in told(world) if now >= first)
    assert at_half == pytest.approx(1, abs=0.2)
    assert before / world.whole != pytest.approx(1, abs=0.2), "it was not known before"


def test_what_an_earlier_run_found_robust_narrows_the_range_before_anything_runs() -> None:
    world = World((ROBUST,), measures=("autoattack",))
    queue, looks = Queue(tuple(job for _, job in world.jobs())), [*world.looks()]

    def said(*news: News) -> Left:
        forecast = Forecast(COSTS)
        for one in (*news, queue):
            forecast(one)
        left = forecast.left()
        assert left is not None
        return left

    timed = [Pace(one.entrant, one.forward, one.both, 0, 0, None) for one in looks]
    bare, looked = said(*timed), said(*looks)
    known = said(Earlier((Seen("robust", "autoattack", 1000, 800, None),)), *timed)
    timed_too = said(Earlier((Seen("robust", "autoattack", 1000, 800, world.whole / 200 * 1000),)), *timed)
    widths = [one.high / one.low for one in (bare, looked, known, timed_too)]
    assert widths == sorted(widths, reverse=True)
    assert all(one.low <= world.whole <= one.high for one in (bare, looked, known, timed_too))


def test_several_workers_take_jobs_as_they_become_free() -> None:
    """Three jobs of one length on two workers take as long as two of them, one after another."""
    jobs = tuple(Queued("robust", "standard", SHARD * number, SHARD) for number in range(3))
    forecast = Forecast(COSTS)
    forecast(Pace("robust", 0.1, 0.3, 8, 8, None))
    lefts = []
    for workers in (1, 2, 3, 8):
        forecast(Queue(jobs, workers))
        lefts.append(forecast.left())
    assert [left.likely for left in lefts if left] == pytest.approx([30, 20, 10, 10], rel=1e-6)


def test_an_entrant_that_is_given_up_is_no_longer_waited_for() -> None:
    forecast = Forecast(COSTS)
    forecast(Pace("a", 0.1, 0.3, 8, 8, None))
    forecast(Queue((Queued("a", "standard", 0, 100), Queued("b", "standard", 0, 100))))
    assert (forecast.examples, forecast.done) == (200, 0)
    forecast.drop("b")
    forecast.end("a", "standard", 0)
    assert (forecast.examples, forecast.done, forecast.left()) == (100, 100, Left(0.0, 0.0, 0.0))


def test_nothing_is_said_of_time_before_anything_is_known() -> None:
    forecast = Forecast(COSTS)
    forecast(Queue((Queued("a", "standard", 0, 100),)))
    assert forecast.left() is None
    assert headway(forecast, 3.0) == "0/100 samples (0 %), 3 s gone, time left not known yet"


def test_a_line_says_what_is_done_what_runs_what_is_left_and_what_is_robust_so_far() -> None:
    forecast = Forecast(COSTS, clock=lambda: 0.0)
    forecast(Queue(tuple(Queued("trades", "autoattack", first, 100) for first in (0, 100))))
    forecast(Pace("trades", 1e-3, 3e-3, 64, 64, 57))
    forecast(
        Progress(
            "trades", "autoattack", 100, 100, "square", 1e5, 2e5, 80, 600.0, (Spent("square", 1e5, 600.0),), {"square": 1e5}
        )
    )  # fmt: skip
    line = headway(forecast, 61.0)
    assert line.startswith("50/200 samples (25 %), 61 s gone, ")
    assert line.endswith(" left, now trades autoattack square 100-200, 50 %, 80 % robust so far")


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (Left(50, 60, 70), "about 60 s"),
        (Left(120, 300, 540), "between 2 and 9 min"),
        (Left(40, 90, 300), "between 40 s and 5 min"),
        (Left(0, 0, 0), "about 0 s"),
    ],
)
def test_a_range_is_one_number_where_its_ends_are_near(left: Left, words: str) -> None:
    assert span(left) == words
