"""The site of an output folder: every suite's board and entrants, rendered from its records alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from harness.run.folders import published
from harness.suites.suite import SUITES, Suite
from leaderboards.board.entry import Published
from leaderboards.pages.pages import Rendered, SuitePage, render
from leaderboards.pages.site import board_folder
from leaderboards.records.files import record_path
from leaderboards.records.home import Home
from leaderboards.records.schema import Record
from zoo.published import published as others_of


@dataclass(frozen=True)
class Site:
    """What was rendered, and where."""

    root: Path
    rendered: Rendered

    @property
    def problems(self) -> list[str]:
        """One line for each record or array that could not be used."""
        return [f"{problem.file}: {problem.message}" for problem in self.rendered.problems]

    def beside_published(self, records: Iterable[Record]) -> list[str]:
        """A line for each of these records that has a published one beside it: how the two agree."""
        files = [record_path(Path(), record).as_posix() for record in records]
        known = self.rendered.agreements
        return [f"{known[file].entrant}: {known[file].line}" for file in files if file in known]

    def page_of(self, suite: str, limit: int | None = None) -> Path:
        """The board of a suite, or with `limit` that of its first examples."""
        return self.root / board_folder(suite, limit) / "index.html"


def published_rows(suite: Suite) -> tuple[Published, ...]:
    """What others publish for a suite's data and threat model; nothing where the suite varies them."""
    if suite.base:
        return ()
    return tuple(
        Published(
            name=row.name,
            standard_accuracy=row.standard_accuracy,
            autoattack_accuracy=row.autoattack_accuracy,
            best_known_accuracy=row.best_known_accuracy,
            architecture=row.architecture,
            title=row.title,
            authors=row.authors,
            venue=row.venue,
            link=row.link,
            additional_data=row.additional_data,
            unreliable=row.unreliable,
        )
        for row in others_of(suite.domain.dataset, suite.domain.norm)
    )


DEMONSTRATIONS = {"digits": "Demonstration: 8x8 digits"}
"""Suites whose numbers show how the measures behave, and what pages call them. They stand last."""


def suite_page(suite: Suite) -> SuitePage:
    """A suite as the pages need it: they know neither suites nor the zoo."""
    return SuitePage(
        name=suite.name,
        title=DEMONSTRATIONS.get(suite.name, suite.title),
        description=suite.description,
        dataset=suite.dataset,
        norm=suite.norm,
        eps=suite.eps,
        published=published_rows(suite),
        demonstration=suite.name in DEMONSTRATIONS,
    )


def render_site(out: Path, check: bool = False) -> Site:
    """Render out/site from out/results: the built-in suites, and those that only records know. `check` writes nothing.

    In a checkout, the records that it publishes stand beside those of a run.
    """
    root = out / "site"
    if not check:
        out.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext() if check else FileLock(out / ".lock"):  # one at a time
        return _rendered(out, root, check)


def _rendered(out: Path, root: Path, check: bool) -> Site:
    pages = [suite_page(suite) for suite in SUITES.values()]
    return Site(root, render(Home(out), root, pages, published(out), check=check))
