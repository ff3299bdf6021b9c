"""The plan of a run whose images or weights are not here: shards and passes are known from the suite and the measures alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.measures import Measure
from harness.measures.measure import Cost
from harness.run.plan import shards
from harness.suites.suite import Suite


@dataclass(frozen=True)
class Outline:
    """What is to be measured of each of these entrants, by name. `limit` and `shard_size` are the run's."""

    suite: Suite
    measures: tuple[Measure, ...]
    entrants: tuple[str, ...]
    limit: int | None = None
    shard_size: int | None = None

    def shards(self, measure: Measure) -> int | None:
        """How many a measurement has; None where the suite does not say how many examples there are."""
        units = self._units(measure)
        return None if units is None else len(shards(units, self.shard_size or self.suite.shard_size))

    def cost(self, measure: Measure) -> Cost | None:
        """Passes of a measurement, at most."""
        units, one = self._units(measure), measure.cost(self.suite.classes)
        return None if units is None else Cost(units * one.forward, units * one.backward)

    def rows(self) -> list[tuple[str, ...]]:
        """A row an entrant and measure, under harness.run.report.PLAN_HEADINGS: all shards are to do, as far as is known."""
        rows: list[tuple[str, ...]] = []
        for name in self.entrants:
            for measure in self.measures:
                count, cost = self.shards(measure), self.cost(measure)
                told: Sequence[int | None] = (count, count, *((cost.forward, cost.backward) if cost else (None, None)))
                rows.append((name, measure.name, *("?" if number is None else f"{number:,}" for number in told)))
        return rows

    def _units(self, measure: Measure) -> int | None:
        whole = self.suite.examples or self.limit
        units = measure.units(whole) if whole is not None else None
        return None if units is None else min(self.limit or units, units)
