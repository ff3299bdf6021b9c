"""What stands on the pages of a run: its own records, and beside them those that are published here.

An entrant that both have stands with the run's record, which says how it agrees with the published one. One that is published
alone stands as it is published, so that a new entrant meets all the others at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboards.board.agreement import Agreement, agreement_of
from leaderboards.records.collection import Collected, Problem
from leaderboards.records.home import Home
from leaderboards.records.schema import Record
from leaderboards.records.standing import Standing

BESIDE = "published: this run did not measure it"


@dataclass(frozen=True)
class Shown:
    """A record that stands on the pages. `published`: it is none of the run's; `agreement`: with the published one."""

    collected: Collected
    published: bool = False
    agreement: Agreement | None = None

    @property
    def record(self) -> Record:
        return self.collected.record

    @property
    def file(self) -> str:
        return self.collected.file

    @property
    def home(self) -> Home:
        return self.collected.home

    @property
    def unsound(self) -> dict[str, str]:
        return self.collected.unsound

    @property
    def key(self) -> tuple[str, int | None]:
        return self.collected.key

    @property
    def standing(self) -> Standing:
        return self.collected.standing

    @property
    def words(self) -> tuple[str, ...]:
        """What its row on the board says of this."""
        if self.published:
            return (BESIDE,)
        return (self.agreement.note,) if self.agreement is not None and self.agreement.note else ()


def shown(own: Sequence[Collected], published: Sequence[Collected]) -> tuple[Shown, ...]:
    """The records of a run, and the published ones of the entrants that it has none of.

    Where the run has records of a suite, only published ones of the same images and threat model stand beside them: the
    board is the run's. A partial record of an entrant takes the place of no whole one, and of none with another limit.
    """
    theirs = {(item.record.suite.name, *item.key): item for item in published}
    found = []
    for item in own:
        suite, (name, limit) = item.record.suite.name, item.key
        other = theirs.get((suite, name, limit)) or theirs.get((suite, name, None))
        agrees = agreement_of(item.record, item.home, other.record, other.home) if other is not None else None
        found.append(Shown(item, agreement=agrees))
    files = {item.file for item in own}
    for item in published:
        if item.file not in files and _fits(item.record, [one.record for one in own]):
            found.append(Shown(item, published=True))
    return tuple(found)


def _fits(record: Record, own: Sequence[Record]) -> bool:
    """Whether a published record is of what a run's records of its suite are of. Other limits stand on other boards."""
    of_suite = [one for one in own if one.suite.name == record.suite.name]
    level = [one.suite for one in of_suite if one.limit == record.limit]
    if level:
        return record.suite in level
    return not of_suite or record.suite.but_for_images() in [one.suite.but_for_images() for one in of_suite]


def of_published(problems: Sequence[Problem], items: Sequence[Shown]) -> tuple[Problem, ...]:
    """The problems of the published folder that the pages of a run show: not those of records that the run has itself."""
    own = {item.file for item in items if not item.published}
    return tuple(
        Problem(found.suite, found.file, f"as published here: {found.message}")
        for found in problems
        if found.file not in own
    )
