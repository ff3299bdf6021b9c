"""The first page: every suite with its boards, the results measured last, and what could not be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from leaderboards.board.entry import Entry
from leaderboards.charts.scripts import Script
from leaderboards.pages.suite import Boards, SuiteView
from leaderboards.records.collection import Problem

NEWEST = 8
"""Results that the index names."""


@dataclass(frozen=True)
class Result:
    """One measured entry, and the board that it stands on."""

    view: SuiteView
    entry: Entry


@dataclass(frozen=True)
class IndexView:
    """All that the first page shows."""

    boards: tuple[Boards, ...]
    problems: tuple[Problem, ...]

    @property
    def root(self) -> str:
        return ""

    @property
    def scripts(self) -> tuple[Script, ...]:
        return ()

    @property
    def suites(self) -> tuple[Boards, ...]:
        """Those of which something was measured first, demonstrations last."""
        return tuple(sorted(self.boards, key=lambda one: (one.suite.demonstration, not one.measured)))

    @property
    def newest(self) -> tuple[Result, ...]:
        return newest([view for one in self.boards for view in one.views])


def newest(suites: Sequence[SuiteView]) -> tuple[Result, ...]:
    """The results measured last, of all boards."""
    found = [Result(view, entry) for view in suites for entry in view.board.measured if entry.measured_at is not None]
    found.sort(key=lambda one: (one.view.folder, one.entry.rank or len(found), one.entry.name))
    found.sort(key=lambda one: one.entry.measured_at or datetime.min, reverse=True)
    return tuple(found[:NEWEST])
