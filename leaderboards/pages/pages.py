"""The pages: an index, the method, a page a suite with its board and its comparison, a page a record.

Static files that open without a server.

What comes from a card or a record is untrusted text: jinja escapes all of it, links lead to http and https only, and a
content security policy on each page lets no script run but our own and lets nothing be fetched.
Equal records give equal bytes: every date on a page comes from a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from leaderboards.board.downloads import as_bibtex, as_csv, as_json
from leaderboards.pages.comparison import CompareView, comparison
from leaderboards.pages.entrant import Beside, entrant_views
from leaderboards.pages.environment import fill, make_environment
from leaderboards.pages.index import IndexView
from leaderboards.pages.method import MethodView
from leaderboards.pages.site import Site
from leaderboards.pages.suite import SuitePage, SuiteView, suite_view, with_unknown
from leaderboards.records.collection import Problem, collect

__all__ = ["Problem", "Rendered", "SuitePage", "render"]


@dataclass(frozen=True)
class Rendered:
    """What `render` did. A problem never stops the other pages."""

    written: tuple[Path, ...]
    unchanged: tuple[Path, ...]
    removed: tuple[Path, ...]
    problems: tuple[Problem, ...]


def render(
    results: Path,
    site: Path,
    suites: Sequence[SuitePage],
    arrays: Path | None = None,
    samples: Path | None = None,
    *,
    check: bool = False,
) -> Rendered:
    """Write the pages of all records under `results` into `site`; where `arrays` is given, verify per-sample arrays, and
    where `samples` is, show the pictures there.

    Suites stand in the given order; a suite that only records know of follows them. Pages of ours in `site` that belong
    to no record any more are removed; other files there are left alone. With `check`, nothing is written or removed: what
    is returned is what would be. Raises ValueError for a suite given twice.
    """
    if len({suite.name for suite in suites}) < len(suites):
        raise ValueError("expected every suite once, got a name twice")
    collected, problems = collect(results, arrays)
    folder = Site(site, check)
    environment = make_environment()
    views = tuple(suite_view(suite, collected, problems, arrays) for suite in with_unknown(suites, collected))
    unsound = {item.file: item.unsound for item in collected}
    for view in views:
        _write_board(folder, environment, view, arrays)
        for entrant in entrant_views(view, unsound, Beside(arrays, samples)):
            folder.write(entrant.path, fill(environment, "entrant.html", entrant))
            folder.write(entrant.file, (results / entrant.file).read_text(encoding="utf-8"))
    folder.write("method.html", fill(environment, "method.html", MethodView()))
    folder.write("index.html", fill(environment, "index.html", IndexView(views, problems)))
    folder.remove_stale()
    return Rendered(tuple(folder.written), tuple(folder.unchanged), tuple(folder.removed), problems)


def _write_board(folder: Site, environment: jinja2.Environment, view: SuiteView, arrays: Path | None) -> None:
    """The board of one suite, its downloads, and its comparison."""
    board, name = view.board, view.folder
    folder.write(f"{name}/index.html", fill(environment, "suite.html", view))
    if board.entries:
        about = {"name": view.suite.name, "dataset": view.suite.dataset, "norm": view.norm, "eps": view.eps}
        folder.write(f"{name}/board.csv", as_csv(board.entries))
        folder.write(f"{name}/board.json", as_json(about, board.entries))
        folder.write(f"{name}/board.bib", as_bibtex(board.entries))
    if view.compared:
        compared = CompareView(view.suite, comparison(view.main, arrays))
        folder.write(f"{name}/compare.html", fill(environment, "compare.html", compared))
