"""The page of an entrant: one record, whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leaderboards.board import formats
from leaderboards.board.agreement import Agreement
from leaderboards.board.beside import Shown
from leaderboards.board.by_energy import ByEnergy, by_energy
from leaderboards.board.downloads import bibtex
from leaderboards.board.entry import Entry
from leaderboards.board.generation import MEASURE
from leaderboards.board.groups import Group, Line, members_of
from leaderboards.charts.entrant_charts import entrant_charts
from leaderboards.charts.scripts import Script
from leaderboards.charts.vega import Chart, drawn
from leaderboards.pages import bundle
from leaderboards.pages.commands import Command, of_record
from leaderboards.pages.details import Section, pairs, section
from leaderboards.pages.gallery import Picture, gallery
from leaderboards.pages.site import record_page
from leaderboards.pages.suite import SuiteView
from leaderboards.records.dynamics import dynamics_of
from leaderboards.records.files import file_stem, record_path
from leaderboards.records.home import Home
from leaderboards.records.schema import Record

PICTURED = 16
"""Entrants of a suite, the first ones, whose charts have pictures beneath: one takes a twentieth of a second to draw."""


@dataclass(frozen=True)
class EntrantView:
    """All that the page of one record shows. `board` is the one that it stands on or beside, `line` its row there, which it
    may share with other seeds, `places` how many rows have a rank, `reason` why it does not compare (empty where it does),
    `unsound` what is wrong with its arrays, by measure. `home` is where the record lives, `agreement` how it compares with
    the one that is published here; None where there is none, or it is that one."""

    board: SuiteView
    entry: Entry
    record: Record
    reason: str
    line: Line
    places: int
    compared: bool
    unsound: Mapping[str, str]
    home: Home
    agreement: Agreement | None
    sections: tuple[Section, ...]
    charts: tuple[Chart, ...]
    by_energy: ByEnergy | None
    pictures: tuple[Picture, ...]

    @property
    def group(self) -> Group | None:
        """The seeds of its recipe; None where it stands alone."""
        return self.line if isinstance(self.line, Group) else None

    @property
    def path(self) -> str:
        """Of the page, inside the site."""
        return f"{self.folder}/{record_page(self.record)}"

    @property
    def file(self) -> str:
        """Of the record, inside the results."""
        return record_path(Path(), self.record).as_posix()

    @property
    def root(self) -> str:
        return "../" * self.path.count("/")

    @property
    def scripts(self) -> tuple[Script, ...]:
        return (*((bundle.charts(),) if self.charts else ()), *((bundle.copying(),) if self.commands else ()))

    @property
    def folder(self) -> str:
        """Of the pages of its board, inside the site."""
        return self.board.folder

    @property
    def eps(self) -> str:
        return formats.eps(self.record.suite.eps)

    @property
    def commands(self) -> tuple[Command, ...]:
        return of_record(self.record, self.home)

    @property
    def training(self) -> tuple[tuple[str, str], ...]:
        """What its card says of its training, as pairs of words."""
        return pairs(self.record.entrant.training)

    @property
    def cited(self) -> str:
        """Its paper as BibTeX; empty where that is not known."""
        return bibtex(self.entry)

    @property
    def download(self) -> str:
        """The record's file beside the page."""
        return f"{file_stem(self.record.entrant.name)}.json"


def entrant_views(view: SuiteView, shown: Sequence[Shown]) -> Iterator[EntrantView]:
    """The views of all records of a board; `shown` are those of all suites."""
    items = {item.file: item for item in shown}
    reasons = {id(other.entry): other.reason for other in view.board.incomparable}
    listed = {id(entry) for entry in view.board.entries} if view.compared else set()
    rows = {entry.name: line for line in view.lines for entry in members_of(line)}
    places = sum(1 for line in view.lines if line.rank is not None)
    measured = [(entry, entry.record) for entry in view.entries if entry.record is not None]
    for place, (entry, record) in enumerate(measured):
        item = items[record_path(Path(), record).as_posix()]
        yield EntrantView(
            board=view,
            entry=entry,
            record=record,
            reason=reasons.get(id(entry), ""),
            line=entry if id(entry) in reasons else rows[entry.name],
            places=places,
            compared=id(entry) in listed,
            unsound=item.unsound,
            home=item.home,
            agreement=item.agreement,
            sections=tuple(section(measurement) for measurement in record.measurements.values()),
            charts=_charts(record, item.home, draw=place < PICTURED),
            by_energy=by_energy(record, item.home.arrays),
            pictures=gallery(item.home.samples, record, MEASURE),
        )


def _charts(record: Record, home: Home, draw: bool) -> tuple[Chart, ...]:
    charts = entrant_charts(record, dynamics_of(record.entrant, home.arrays))
    return tuple(drawn(chart) for chart in charts) if draw else charts
