"""The pages: an index, the method, a page a suite with its board and its comparison, a page a record.

Static files that open without a server.

What comes from a card or a record is untrusted text: jinja escapes all of it, links lead to http and https only, and a
content security policy on each page lets no script run but our own and lets nothing be fetched.
Equal records give equal bytes: every date on a page comes from a record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from leaderboards.board import formats
from leaderboards.board.board import Board, Entry, Published, make_board
from leaderboards.board.by_energy import by_energy
from leaderboards.board.cells import Scale, make_grid
from leaderboards.board.columns import COLUMNS, PARTIAL_COLUMNS, STAGE_COLUMNS
from leaderboards.board.correlations import FEWEST, correlations
from leaderboards.board.downloads import as_bibtex, as_csv, as_json, bibtex
from leaderboards.board.filters import choices, groups_of
from leaderboards.board.generation import MEASURE, SCORES, score_rows, seconds_per_thousand
from leaderboards.board.measures import described, shown
from leaderboards.charts.board_charts import board_charts, pictured
from leaderboards.charts.entrant_charts import entrant_charts
from leaderboards.charts.scripts import digest, inline
from leaderboards.charts.vega import Chart, as_json_block, chart_script, drawn, plain
from leaderboards.pages import bundle
from leaderboards.pages.comparison import comparison
from leaderboards.pages.details import commands, pairs, section
from leaderboards.pages.gallery import gallery
from leaderboards.pages.method import TOPICS
from leaderboards.pages.site import MARK, Site
from leaderboards.records.collection import Collected, Problem, collect
from leaderboards.records.dynamics import dynamics_of
from leaderboards.records.files import file_stem
from leaderboards.records.schema import Record

__all__ = ["Problem", "Rendered", "SuitePage", "render"]


NEWEST = 8
"""Results that the index names."""

PICTURED = 16
"""Entrants of a suite, the first ones, whose charts have pictures beneath: one takes a twentieth of a second to draw."""


@dataclass(frozen=True)
class Script:
    """A script that stands inside a page, and how the page's policy names it."""

    source: str

    @property
    def text(self) -> Markup:
        return Markup(self.source)

    @cached_property
    def digest(self) -> str:
        return digest(self.source)


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
    templates = _templates()
    templates.globals["pictures_of"] = partial(gallery, samples, measure=MEASURE)
    views = [_view(suite, collected, problems, results, arrays) for suite in _with_unknown(suites, collected)]
    for view in views:
        _write_suite(folder, templates, view)
    folder.write("method.html", templates.get_template("method.html").render(root="", topics=TOPICS))
    index = {"root": "", "suites": views, "problems": problems, "newest": _newest(views)}
    folder.write("index.html", templates.get_template("index.html").render(index))
    folder.remove_stale()
    return Rendered(tuple(folder.written), tuple(folder.unchanged), tuple(folder.removed), problems)


def _newest(views: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], Entry]]:
    """The results measured last, of all boards, each with its suite's view."""
    found = [(view, entry) for view in views for entry in view["board"].measured if entry.measured_at is not None]
    found.sort(key=lambda one: (one[0]["folder"], one[1].rank or len(found), one[1].name))
    return sorted(found, key=lambda one: one[1].measured_at or datetime.min, reverse=True)[:NEWEST]


def _write_suite(folder: Site, templates: jinja2.Environment, view: dict[str, Any]) -> None:
    """The board of one suite, its comparison, its downloads, and its entrants' pages."""
    board: Board = view["board"]
    name = view["folder"]
    scripts = [Script(bundle.table_script())] if board.entries or board.partial else []
    drawing = [Script(chart_script())] if view["charts"] or len(board.entries) > 1 else []
    folder.write(
        f"{name}/index.html", templates.get_template("suite.html").render({**view, "scripts": [*scripts, *drawing]})
    )
    if board.entries:
        about = {"name": view["suite"].name, "dataset": view["suite"].dataset, "norm": view["norm"], "eps": view["eps"]}
        folder.write(f"{name}/board.csv", as_csv(board.entries))
        folder.write(f"{name}/board.json", as_json(about, board.entries))
        folder.write(f"{name}/board.bib", as_bibtex(board.entries))
    if len(board.entries) > 1:
        compare = Script(inline((bundle.TEMPLATES / "compare.js").read_text(encoding="utf-8")))
        pages = [_path(entry.record) if entry.record else "" for entry in board.entries]
        context = {
            **view,
            "comparison": comparison(view["main"], view["arrays"], pages),
            "scripts": [*drawing, compare],
        }
        folder.write(f"{name}/compare.html", templates.get_template("compare.html").render(context))
    for page in view["entrants"]:
        page = page | {"scripts": drawing if page["charts"] else []}
        folder.write(page["path"], templates.get_template("entrant.html").render(page))
        folder.write(page["path"].removesuffix(".html") + ".json", page["file"].read_text(encoding="utf-8"))


def _with_unknown(suites: Sequence[SuitePage], collected: Sequence[Collected]) -> list[SuitePage]:
    known = {suite.name for suite in suites}
    found: dict[str, SuitePage] = {}
    for record in (item.record for item in collected):
        info = record.suite
        if info.name not in known:
            title = record.suite_title or info.name
            page = SuitePage(info.name, title, record.suite_description, info.dataset, info.norm, formats.eps(info.eps))
            found.setdefault(info.name, page)
    return [*suites, *(found[name] for name in sorted(found))]


def _view(
    suite: SuitePage, collected: Sequence[Collected], problems: Sequence[Problem], results: Path, arrays: Path | None
) -> dict[str, Any]:
    """Everything that the pages of one suite are made of."""
    items = [item for item in collected if item.record.suite.name == suite.name]
    notes = {
        (item.record.entrant.name, item.record.limit): [
            f"{measure}: its arrays do not verify" for measure in item.unsound
        ]
        for item in items
    }
    board = make_board([item.record for item in items], suite.published, notes)
    folder = file_stem(suite.name)
    info = board.suite
    entries = [*board.entries, *board.partial, *(other.entry for other in board.incomparable)]
    reasons = {id(other.entry): other.reason for other in board.incomparable}
    wrong = {item.file: item.unsound for item in items}
    return {
        "root": "../",
        "folder": folder,
        "suite": suite,
        "info": info,
        "eps": formats.eps(info.eps) if info else suite.eps,
        "norm": info.norm if info else suite.norm,
        "board": board,
        "newest": max((e.measured_at for e in entries if e.measured_at), default=None),
        "main": make_grid(board.entries, shown(COLUMNS, board.entries)),
        "stages": make_grid([e for e in board.measured if _has_stages(e)], described(STAGE_COLUMNS, board.measured)),
        "partial": make_grid(board.partial, shown(PARTIAL_COLUMNS, board.partial)),
        "arrays": arrays,
        "choices": choices(board.entries),
        "charts": [pictured(chart) for chart in board_charts(board.entries, arrays)],
        "folder_files": [(f"board.{ending}", ending.upper()) for ending in ("csv", "json") if board.entries]
        + [("board.bib", "BibTeX")],
        "correlations": correlations(board.entries),
        "problems": tuple(problem for problem in problems if problem.suite == folder),
        "entrants": [
            _entrant(suite, board, entry, entry.record, reasons.get(id(entry), ""), wrong)
            | {
                "by_energy": by_energy(entry.record, arrays) if arrays is not None else None,
                "file": results / f"{folder}/{_path(entry.record).removesuffix('.html')}.json",
                "charts": _entrant_charts(entry.record, arrays, draw=place < PICTURED),
            }
            for place, entry in enumerate(entry for entry in entries if entry.record is not None)
            if entry.record is not None
        ],
    }


def _entrant_charts(record: Record, arrays: Path | None, draw: bool) -> list[Chart]:
    dynamics = dynamics_of(record.entrant, arrays) if arrays is not None else None
    charts = entrant_charts(record, dynamics)
    return [drawn(chart) for chart in charts] if draw else list(charts)


def _has_stages(entry: Entry) -> bool:
    return any(column.get(entry) is not None for column in STAGE_COLUMNS if column.bar)


def _path(record: Record) -> str:
    """The page of a record below the folder of its suite."""
    folder = "" if record.limit is None else f"partial-{record.limit}/"
    return f"{folder}{file_stem(record.entrant.name)}.html"


def _entrant(
    suite: SuitePage, board: Board, entry: Entry, record: Record, reason: str, wrong: dict[str, dict[str, str]]
) -> dict[str, Any]:
    path = f"{file_stem(suite.name)}/{_path(record)}"
    entrant = record.entrant
    return {
        "root": "../" * path.count("/"),
        "path": path,
        "suite": suite,
        "folder": file_stem(suite.name),
        "entry": entry,
        "record": record,
        "reason": reason,
        "places": sum(1 for other in board.entries if other.rank is not None),
        "eps": formats.eps(record.suite.eps),
        "sections": [section(measurement) for measurement in record.measurements.values()],
        "commands": commands(record),
        "training": pairs(entrant.training),
        "compared": len(board.entries) > 1 and any(other is entry for other in board.entries),
        "cited": bibtex(entry),
        "download": f"{file_stem(record.entrant.name)}.json",
        "unsound": wrong.get(f"{path.removesuffix('.html')}.json", {}),
    }


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(bundle.TEMPLATES),
        autoescape=True,  # for every template, whatever its name
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
    )
    environment.globals |= {
        "mark": Markup(MARK),
        "style": Markup((bundle.TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "fewest": FEWEST,
        "formats": formats,
        "generation": MEASURE,
        "score_headings": [heading for _, heading in SCORES],
        "score_rows": score_rows,
        "seconds_per_thousand": seconds_per_thousand,
        "record_path": _path,
        "scale_ends": _scale_ends,
        "scripts": [],
    }
    environment.filters |= {
        "bibtex": bibtex,
        "cut": formats.cut,
        "groups": groups_of,
        "json": as_json_block,
        "plain": plain,
        "link": formats.safe_link,
        "searchable": _searchable,
        "breakable": _breakable,
    }
    return environment


def _scale_ends(scale: Scale) -> tuple[str, str]:
    return f"{100 * scale.low:.0f}", f"{100 * scale.high:.0f}"


def _printable(value: Any) -> Any:
    """Control characters and halves of surrogate pairs, which HTML cannot hold, become U+FFFD."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", value)
    return value


def _breakable(name: str) -> Markup:
    """A name that may break where its words meet: after '_', and between small letters, digits and capitals."""
    words = re.split(r"(?<=_)|(?<=[a-z0-9])(?=[A-Z])|(?<=[0-9])(?=[a-z])", str(_printable(name)))
    return Markup("<wbr>").join(words)


def _searchable(text: str) -> str:
    """A text for the table's search, which reads it as HTML: without what could make an element or an entity."""
    return " ".join(re.sub(r"[&<>]", " ", text).split())
