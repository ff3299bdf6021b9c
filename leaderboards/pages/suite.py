"""The pages of a suite: a board with its charts and what lies beside them, of all examples, and one for each number of first
examples that records are of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from leaderboards.board import formats
from leaderboards.board.beside import BESIDE, Shown
from leaderboards.board.board import Basis, Board, Entry, Published, apart, limits, make_board
from leaderboards.board.cells import Cell, Grid, Row, make_grid
from leaderboards.board.columns import AUTOATTACK, STAGE_COLUMNS
from leaderboards.board.correlations import Correlation, correlations
from leaderboards.board.filters import Choice, choices
from leaderboards.board.groups import Line, grouped, groups_among, members_of
from leaderboards.board.measures import described
from leaderboards.board.measures import shown as filled
from leaderboards.board.paired import Paired, compared
from leaderboards.board.transfers import Matrix, matrix
from leaderboards.charts.board_charts import board_charts, pictured
from leaderboards.charts.scripts import Script
from leaderboards.charts.vega import Chart
from leaderboards.findings.findings import Findings, find
from leaderboards.pages import bundle
from leaderboards.pages.commands import Command, of_board
from leaderboards.pages.site import board_folder
from leaderboards.records.collection import Problem
from leaderboards.records.files import file_stem
from leaderboards.records.schema import SuiteInfo


@dataclass(frozen=True)
class SuitePage:
    """What a page says of a suite beside its records. `eps` is text ('8/255'); `norm` as RobustBench names it.

    `demonstration`: its numbers show how the measures behave, and no more.
    """

    name: str
    title: str
    description: str
    dataset: str
    norm: str
    eps: str
    published: tuple[Published, ...] = ()
    demonstration: bool = False


@dataclass(frozen=True)
class Sibling:
    """Another board of the same suite: its folder inside the site, of which images it is, how many entrants were measured on
    them, and why the two do not compare where it is not for the images alone."""

    folder: str
    scope: str
    measured: int
    reason: str


@dataclass(frozen=True)
class SuiteView:
    """All that the page of one board shows: its tables as grids, `stages` without rows where there are none.

    `info` is what the records were measured on: those of this board, else of another one of the suite; None without records.
    `lines` are what has a row of its own there: seeds of one recipe share one.
    """

    suite: SuitePage
    board: Board
    info: SuiteInfo | None
    siblings: tuple[Sibling, ...]
    lines: tuple[Line, ...]
    main: Grid
    stages: Grid
    choices: tuple[Choice, ...]
    charts: tuple[Chart, ...]
    correlations: tuple[Correlation, ...]
    transfers: Matrix
    findings: Findings | None
    pairs: tuple[Paired, ...]
    problems: tuple[Problem, ...]
    commands: tuple[Command, ...]

    @property
    def root(self) -> str:
        return "../" * (self.folder.count("/") + 1)

    @property
    def scripts(self) -> tuple[Script, ...]:
        tables = (bundle.tables(),) if self.board.entries else ()
        copying = (bundle.copying(),) if self.commands else ()
        return (*tables, *((bundle.charts(),) if self.charts or self.compared else ()), *copying)

    @property
    def folder(self) -> str:
        """Of its pages, inside the site."""
        return board_folder(self.suite.name, self.board.limit)

    @property
    def title(self) -> str:
        """Of the page: that of the first examples says so."""
        return f"{self.suite.title}: {self.images}" if self.board.limit is not None else self.suite.title

    @property
    def images(self) -> str:
        """The images that its records are of: 'first 1,000 test images', 'all 10,000 test images'."""
        return images(self.board.limit, self.info)

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
    def best(self) -> tuple[Row, Cell] | None:
        """The measured row that stands first, and its cell of AutoAttack accuracy; None where that is not what it is ranked
        by."""
        place = next((at for at, column in enumerate(self.main.columns) if column.key == AUTOATTACK.key), None)
        row = next((row for row in self.main.rows if row.entry.record and row.line.rank), None)
        if place is None or row is None or row.line.ranking is None:
            return None
        return (row, row.cells[place]) if row.line.ranking[1] in (Basis.MEASURED, Basis.BOUNDED) else None

    @property
    def beside(self) -> int:
        """How many entrants of the board stand as they are published: the run has no record of them."""
        return sum(BESIDE in entry.notes for entry in self.board.entries)

    @property
    def downloads(self) -> tuple[tuple[str, str], ...]:
        """Files beside the page that hold the board, each with what the link to it says."""
        groups = (("board-groups.csv", "CSV of the means"),) if self.main.groups else ()
        return (("board.csv", "CSV"), *groups, ("board.json", "JSON"), ("board.bib", "BibTeX"))

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every entry of which the page tells, in its order there."""
        return (*self.board.entries, *(other.entry for other in self.board.incomparable))

    @property
    def newest(self) -> datetime | None:
        """When the last measurement was made."""
        return max((entry.measured_at for entry in self.entries if entry.measured_at), default=None)


@dataclass(frozen=True)
class Boards:
    """The boards of one suite: that of all its examples, and those of the first ones, the most first."""

    whole: SuiteView
    partial: tuple[SuiteView, ...]

    @property
    def suite(self) -> SuitePage:
        return self.whole.suite

    @property
    def views(self) -> tuple[SuiteView, ...]:
        return (self.whole, *self.partial)

    @property
    def measured(self) -> tuple[SuiteView, ...]:
        """Those on which an entrant was measured."""
        return tuple(view for view in self.views if view.board.measured)

    @property
    def published_only(self) -> tuple[Entry, ...]:
        """Entrants that others publish numbers of, and that stand measured on no board."""
        rows = [{e.published.name for e in v.board.entries if e.published and not e.record} for v in self.views]
        return tuple(e for e in self.whole.board.entries if not e.record and all(e.name in names for names in rows))

    @property
    def newest(self) -> datetime | None:
        """When the last measurement was made."""
        return max((view.newest for view in self.views if view.newest), default=None)


def images(limit: int | None, info: SuiteInfo | None) -> str:
    """Of which images a board is: 'first 1,000 test images', 'all 10,000 test images'."""
    split = info.split if info else "test"
    if limit is not None:
        return f"first {formats.count(limit)} {split} images"
    return f"all {formats.count(info.examples) if info else ''} {split} images".replace("  ", " ")


def suite_boards(suite: SuitePage, shown: Sequence[Shown], problems: Sequence[Problem]) -> Boards:
    """The boards of one suite, from the records and problems of all."""
    items = [item for item in shown if item.record.suite.name == suite.name]
    of_it = [problem for problem in problems if problem.suite == file_stem(suite.name)]
    boards = [_board(suite, items, limit) for limit in (None, *limits(item.record for item in items))]
    homes = {id(item.record): item.home for item in items}
    commands = (
        of_board([(entry.record, homes[id(entry.record)]) for entry in board.measured if entry.record])
        for board in boards
    )
    whole, *partial = (_view(suite, board, boards, of_it, one) for board, one in zip(boards, commands, strict=True))
    return Boards(whole, tuple(partial))


def _board(suite: SuitePage, items: Sequence[Shown], limit: int | None) -> Board:
    notes = {
        item.key: [*item.words, *(f"{measure}: its arrays do not verify" for measure in item.unsound)] for item in items
    }
    homes = {item.key: item.home for item in items}
    standings = {item.key: item.standing for item in items}
    return make_board([item.record for item in items], suite.published, notes, homes, standings, limit)


def _apart(theirs: SuiteInfo | None, ours: SuiteInfo | None) -> str:
    """Why two boards of a suite are not of one thing, but that the images of one may be a part of the other's."""
    if theirs is None or ours is None or theirs.but_for_images() == ours.but_for_images():
        return ""
    return apart(theirs, ours)


def _view(
    suite: SuitePage,
    board: Board,
    boards: Sequence[Board],
    problems: Sequence[Problem],
    commands: tuple[Command, ...],
) -> SuiteView:
    """The view of one of the boards of a suite. Problems of all its files stand on that of all examples, those of partial
    records on theirs, too."""
    infos = {one.limit: one.suite or next((b.suite for b in boards if b.suite), None) for one in boards}
    info = infos[board.limit]
    lines = grouped(board.entries)
    # published numbers are of other images than those of the first examples: no chart sets them beside each other
    drawn = board.entries if board.limit is None else [replace(entry, published=None) for entry in board.measured]
    return SuiteView(
        suite=suite,
        board=board,
        info=info,
        siblings=tuple(
            Sibling(
                folder=board_folder(suite.name, one.limit),
                scope=images(one.limit, infos[one.limit]),
                measured=len(one.measured),
                reason=_apart(one.suite, board.suite),
            )
            for one in boards
            if one is not board
        ),
        lines=lines,
        main=make_grid(lines, filled(board.columns, board.entries)),
        stages=make_grid([line for line in lines if _has_stages(line)], described(STAGE_COLUMNS, board.measured)),
        choices=choices([members_of(line)[0] for line in lines]),
        charts=tuple(pictured(chart) for chart in board_charts(drawn)),
        correlations=correlations(board.entries),
        transfers=matrix(board.entries, suite.name),
        findings=find(board.measured),
        pairs=compared(groups_among(lines)),
        problems=tuple(
            problem for problem in problems if board.limit is None or f"/partial-{board.limit}/" in problem.file
        ),
        commands=commands,
    )


def _has_stages(line: Line) -> bool:
    return any(column.get(entry) is not None for entry in members_of(line) for column in STAGE_COLUMNS if column.bar)


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
