"""The pages: an index, the method, a page a board with its comparison, a page a record. A suite has a board of all its
examples, and one for each number of first examples that records are of.

Static files that open without a server.

What comes from a card or a record is untrusted text: jinja escapes all of it, links lead to http and https only, and a
content security policy on each page lets no script run but our own and lets nothing be fetched.
Equal records, verified equally, give equal bytes: every date on a page comes from a record, or from its verification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from leaderboards.board.agreement import Agreement
from leaderboards.board.beside import of_published, shown
from leaderboards.board.downloads import as_bibtex, as_csv, as_json, groups_as_csv
from leaderboards.pages.comparison import CompareView, comparison
from leaderboards.pages.entrant import entrant_views
from leaderboards.pages.environment import fill, make_environment
from leaderboards.pages.index import IndexView
from leaderboards.pages.method import MethodView
from leaderboards.pages.site import Site
from leaderboards.pages.suite import SuitePage, SuiteView, suite_boards, with_unknown
from leaderboards.records.collection import Problem, collect
from leaderboards.records.home import Home

__all__ = ["Problem", "Rendered", "SuitePage", "render"]


@dataclass(frozen=True)
class Rendered:
    """What `render` did. A problem never stops the other pages. `agreements` say by a record's file (relative to the results)
    how it compares with the one that is published here."""

    written: tuple[Path, ...]
    unchanged: tuple[Path, ...]
    removed: tuple[Path, ...]
    problems: tuple[Problem, ...]
    agreements: Mapping[str, Agreement]


def render(
    home: Home,
    site: Path,
    suites: Sequence[SuitePage],
    published: Home | None = None,
    *,
    check: bool = False,
) -> Rendered:
    """Write the pages of all records of a home into `site`, with what is published here beside them.

    Per-sample arrays are verified. An entrant that `published` alone has stands as it is published; of one that both have, the
    page says how the two records agree.

    Suites stand in the given order; a suite that only records know of follows them. Pages of ours in `site` that belong
    to no record any more are removed; other files there are left alone. With `check`, nothing is written or removed: what
    is returned is what would be. Raises ValueError for a suite given twice.
    """
    if len({suite.name for suite in suites}) < len(suites):
        raise ValueError("expected every suite once, got a name twice")
    own, problems = collect(home)
    beside, theirs = collect(published) if published else ((), ())
    items = shown(own, beside)
    problems = (*problems, *of_published(theirs, items))
    folder = Site(site, check)
    environment = make_environment()
    boards = tuple(suite_boards(suite, items, problems) for suite in with_unknown(suites, items))
    for view in (view for one in boards for view in one.views):
        _write_board(folder, environment, view)
        for entrant in entrant_views(view, items):
            folder.write(entrant.path, fill(environment, "entrant.html", entrant))
            folder.write(
                f"{entrant.folder}/{entrant.download}",
                (entrant.home.results / entrant.file).read_text(encoding="utf-8"),
            )
    folder.write("method.html", fill(environment, "method.html", MethodView()))
    folder.write("index.html", fill(environment, "index.html", IndexView(boards, problems)))
    folder.remove_stale()
    agreements = {item.file: item.agreement for item in items if item.agreement is not None}
    return Rendered(tuple(folder.written), tuple(folder.unchanged), tuple(folder.removed), problems, agreements)


def _write_board(folder: Site, environment: jinja2.Environment, view: SuiteView) -> None:
    """One board, its downloads, and its comparison."""
    board, name = view.board, view.folder
    folder.write(f"{name}/index.html", fill(environment, "suite.html", view))
    if board.entries:
        about = {"name": view.suite.name, "dataset": view.suite.dataset, "norm": view.norm, "eps": view.eps}
        first = {} if board.limit is None else {"first": board.limit}
        folder.write(f"{name}/board.csv", as_csv(view.lines, board.columns))
        folder.write(f"{name}/board.json", as_json(about | first, view.lines, board.columns))
        if view.main.groups:
            folder.write(f"{name}/board-groups.csv", groups_as_csv(view.lines, board.columns))
        folder.write(f"{name}/board.bib", as_bibtex(board.entries))
    if view.compared:
        compared = CompareView(view.title, view.root, comparison(view.main))
        folder.write(f"{name}/compare.html", fill(environment, "compare.html", compared))
