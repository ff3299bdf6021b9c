"""How the templates are filled: everything is escaped, and a name that a view does not have is an error.

A template reads one object, its page's `view`; `environment` below holds what every template may use besides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import jinja2
from markupsafe import Markup

from leaderboards.board import formats
from leaderboards.board.beside import BESIDE
from leaderboards.board.cells import Scale
from leaderboards.board.correlations import FEWEST
from leaderboards.board.downloads import bibtex
from leaderboards.board.filters import groups_of
from leaderboards.board.generation import MEASURE, score_rows, score_tables, seconds_per_thousand
from leaderboards.charts.scripts import Script
from leaderboards.charts.vega import as_json_block, plain
from leaderboards.pages import bundle
from leaderboards.pages.findings import effect_of, interval_of, p_of, size_of, tally
from leaderboards.pages.site import MARK, record_page
from leaderboards.records.files import file_stem


class View(Protocol):
    """What every page has: `root` leads from its folder to the site's, with a slash at its end; `scripts` stand inside it."""

    @property
    def root(self) -> str: ...

    @property
    def scripts(self) -> Sequence[Script]: ...


def fill(environment: jinja2.Environment, template: str, view: View) -> str:
    """One page as HTML."""
    return environment.get_template(template).render(view=view)


def make_environment() -> jinja2.Environment:
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
        "BESIDE": BESIDE,
        "mark": Markup(MARK),
        "style": Markup((bundle.TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "effect_of": effect_of,
        "fewest": FEWEST,
        "formats": formats,
        "generation": MEASURE,
        "interval_of": interval_of,
        "size_of": size_of,
        "score_rows": score_rows,
        "score_tables": score_tables,
        "seconds_per_thousand": seconds_per_thousand,
        "p_of": p_of,
        "record_page": record_page,
        "scale_ends": _scale_ends,
        "tally": tally,
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
        "capitalise": _capitalise,
        "anchor": file_stem,
    }
    return environment


def _capitalise(text: str) -> str:
    """A sentence's first letter as a capital, the others as they are: jinja's filter makes them small."""
    return f"{text[:1].upper()}{text[1:]}"


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
