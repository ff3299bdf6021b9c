"""The scripts of the pages, among them DataTables, from the bundle that lies inside the itables wheel.

The bundle is a package-internal file of itables, so its version is bounded and a test holds what is relied on here: the
file is there, it is an ES module, and its default export is DataTables.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path

from leaderboards.charts.scripts import BundleError, Script, inline
from leaderboards.charts.vega import chart_script

TEMPLATES = Path(__file__).parent / "templates"


@cache
def table_script() -> str:
    """The module script of a page with tables: DataTables and, in the same module, what the pages do with it."""
    file = resources.files("itables").joinpath("html", "dt_bundle.js")
    if not file.is_file():
        raise BundleError("expected html/dt_bundle.js in the package itables, got none; install itables>=2.5,<3")
    bundle = file.read_text(encoding="utf-8")
    exported = re.search(r"\bexport\s*\{[^}]*?\b([\w$]+) as default\b", bundle)
    if exported is None:
        raise BundleError("expected a default export in the bundle of itables, got none; install itables>=2.5,<3")
    ours = (TEMPLATES / "board.js").read_text(encoding="utf-8")
    # inside a module the export is an ordinary name; in a block, ours clash with none of the bundle's
    return inline(f"{bundle}\n{{\nconst DataTable = {exported[1]};\n{ours}}}\n")


@cache
def tables() -> Script:
    """What a page with tables needs."""
    return Script(table_script())


@cache
def charts() -> Script:
    """What a page with charts needs."""
    return Script(chart_script())


@cache
def copying() -> Script:
    """What a page with lines to be copied needs."""
    return Script(inline((TEMPLATES / "copy.js").read_text(encoding="utf-8")))


@cache
def compare() -> Script:
    """What the page that compares entrants needs, beside the charts' script."""
    return Script(inline((TEMPLATES / "compare.js").read_text(encoding="utf-8")))
