"""The first page: every suite with its best result, the results measured last, and what could not be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from leaderboards.board.entry import Entry
from leaderboards.charts.scripts import Script
from leaderboards.pages.suite import SuiteView
from leaderboards.records.collection import Problem

NEWEST = 8
"""Results that the index names."""


@dataclass(frozen=True)
class Result:
    """One measured entry, and the suite that it stands in."""

    view: SuiteView
    entry: Entry


@dataclass(frozen=True)
class IndexView:
    """All that the first page shows."""

    suites: tuple[SuiteView, ...]
    problems: tuple[Problem, ...]

    @property
    def root(self) -> str:
        return ""

    @property
    def scripts(self) -> tuple[Script, ...]:
        return ()

    @property
    def newest(self) -> tuple[Result, ...]:
        return newest(self.suites)


def newest(suites: Sequence[SuiteView]) -> tuple[Result, ...]:
    """The results measured last, of all boards."""
    found = [Result(view, entry) for view in suites for entry in view.board.measured if entry.measured_at is not None]
    found.sort(key=lambda one: (one.view.folder, one.entry.rank or len(found), one.entry.name))
    found.sort(key=lambda one: one.entry.measured_at or datetime.min, reverse=True)
    return tuple(found[:NEWEST])
