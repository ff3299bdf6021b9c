"""The page of a suite: its board, its charts, and what lies beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from leaderboards.board import formats
from leaderboards.board.beside import BESIDE, Shown
from leaderboards.board.board import Board, Entry, Published, make_board
from leaderboards.board.cells import Grid, make_grid
from leaderboards.board.columns import COLUMNS, PARTIAL_COLUMNS, STAGE_COLUMNS
from leaderboards.board.correlations import Correlation, correlations
from leaderboards.board.filters import Choice, choices
from leaderboards.board.groups import Group, Line, grouped, groups_among
from leaderboards.board.measures import described
from leaderboards.board.measures import shown as filled
from leaderboards.board.paired import Paired, compared
from leaderboards.board.transfers import Matrix, matrix
from leaderboards.charts.board_charts import board_charts, pictured
from leaderboards.charts.scripts import Script
from leaderboards.charts.vega import Chart
from leaderboards.pages import bundle
from leaderboards.records.collection import Problem
from leaderboards.records.files import file_stem
from leaderboards.records.schema import SuiteInfo


@dataclass(frozen=True)
class SuitePage:
    """What a page says of a suite beside its records. `eps` is text ('8/255'); `norm` as RobustBench names it."""

    name: str
    title: str
    description: str
    dataset: str
    norm: str
    eps: str
    published: tuple[Published, ...] = ()


@dataclass(frozen=True)
class SuiteView:
    """All that the page of one suite shows: its tables as grids, `stages` and `partial` without rows where there are none."""

    suite: SuitePage
    board: Board
    main: Grid
    stages: Grid
    partial: Grid
    choices: tuple[Choice, ...]
    charts: tuple[Chart, ...]
    correlations: tuple[Correlation, ...]
    transfers: Matrix
    pairs: tuple[Paired, ...]
    problems: tuple[Problem, ...]

    @property
    def root(self) -> str:
        return "../"

    @property
    def scripts(self) -> tuple[Script, ...]:
        tables = (bundle.tables(),) if self.board.entries or self.board.partial else ()
        return (*tables, *((bundle.charts(),) if self.charts or self.compared else ()))

    @property
    def folder(self) -> str:
        """Of its pages, inside the site."""
        return file_stem(self.suite.name)

    @property
    def info(self) -> SuiteInfo | None:
        """What the records were measured on; None without records."""
        return self.board.suite

    @property
    def eps(self) -> str:
        return formats.eps(self.info.eps) if self.info else self.suite.eps

    @property
    def norm(self) -> str:
        return self.info.norm if self.info else self.suite.norm

    @property
    def compared(self) -> bool:
        """Whether there is a page that sets its entrants side by side."""
        return len(self.board.entries) > 1

    @property
    def beside(self) -> int:
        """How many entrants of the board stand as they are published: the run has no record of them."""
        return sum(BESIDE in entry.notes for entry in self.board.entries)

    @property
    def downloads(self) -> tuple[tuple[str, str], ...]:
        """Files beside the page that hold the board, each with what the link to it says."""
        return (("board.csv", "CSV"), ("board.json", "JSON"), ("board.bib", "BibTeX"))

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every entry of which the page tells, in its order there."""
        return (*self.board.entries, *self.board.partial, *(other.entry for other in self.board.incomparable))

    @property
    def newest(self) -> datetime | None:
        """When the last measurement was made."""
        return max((entry.measured_at for entry in self.entries if entry.measured_at), default=None)


def suite_view(suite: SuitePage, shown: Sequence[Shown], problems: Sequence[Problem]) -> SuiteView:
    """The view of one suite, from the records and problems of all."""
    items = [item for item in shown if item.record.suite.name == suite.name]
    notes = {
        item.key: [*item.words, *(f"{measure}: its arrays do not verify" for measure in item.unsound)] for item in items
    }
    homes = {item.key: item.home for item in items}
    standings = {item.key: item.standing for item in items}
    board = make_board([item.record for item in items], suite.published, notes, homes, standings)
    lines = grouped(board.entries)
    return SuiteView(
        suite=suite,
        board=board,
        main=make_grid(lines, filled(COLUMNS, board.entries)),
        stages=make_grid([line for line in lines if _has_stages(line)], described(STAGE_COLUMNS, board.measured)),
        partial=make_grid(board.partial, filled(PARTIAL_COLUMNS, board.partial)),
        choices=choices([line.members[0] if isinstance(line, Group) else line for line in lines]),
        charts=tuple(pictured(chart) for chart in board_charts(board.entries)),
        correlations=correlations(board.entries),
        transfers=matrix(board.entries, suite.name),
        pairs=compared(groups_among(lines)),
        problems=tuple(problem for problem in problems if problem.suite == file_stem(suite.name)),
    )


def _has_stages(line: Line) -> bool:
    entries = line.members if isinstance(line, Group) else (line,)
    return any(column.get(entry) is not None for entry in entries for column in STAGE_COLUMNS if column.bar)


def with_unknown(suites: Sequence[SuitePage], shown: Sequence[Shown]) -> list[SuitePage]:
    """The given suites, and after them those that only records know of."""
    known = {suite.name for suite in suites}
    found: dict[str, SuitePage] = {}
    for record in (item.record for item in shown):
        info = record.suite
        if info.name not in known:
            title = record.suite_title or info.name
            page = SuitePage(info.name, title, record.suite_description, info.dataset, info.norm, formats.eps(info.eps))
            found.setdefault(info.name, page)
    return [*suites, *(found[name] for name in sorted(found))]
