"""Charts on the pages: Altair's Vega-Lite specifications, drawn by Vega in the reader's browser, offline.

The script of Vega comes out of the wheel vl-convert-python and stands inside each page with charts. Under each chart lies a
picture of it, drawn beforehand, for readers without JavaScript and for print. Colours are the page's own CSS variables, so
that both follow the light and the dark theme. Expressions run in Vega's interpreter: no page ever evaluates text as code.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from leaderboards.charts.scripts import BundleError, inline

Rows = Sequence[Mapping[str, Any]]

WIDTH = 640
"""Of the pictures, in CSS pixels; what Vega draws is as wide as its place on the page."""

HEIGHT = 340
"""Of charts whose height does not follow from their rows."""

MOST_NAMED = 12
"""Entrants that a chart names beside their marks; of more, tooltips tell the names."""

INK, QUIET, LINE, RAISED = "var(--ink)", "var(--quiet)", "var(--line)", "var(--raised)"
COLOURS = ("var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)")
"""For kinds of things; they differ in lightness too, and no chart tells kinds apart by colour alone."""

CONFIG: dict[str, Any] = {
    "aria": False,  # the figure around a chart says what it shows; hundreds of marks read aloud do not
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "padding": 4,
    "view": {"stroke": None},
    "axis": {
        "labelColor": QUIET, "titleColor": QUIET, "gridColor": LINE, "domainColor": LINE, "tickColor": LINE,
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 500, "labelPadding": 5, "titlePadding": 8,
        "domain": False, "ticks": False, "labelOverlap": True,
    },
    "legend": {
        "labelColor": INK, "titleColor": QUIET, "labelFontSize": 12, "titleFontSize": 12, "orient": "top",
        "title": None, "symbolStrokeWidth": 2, "labelLimit": 220, "columns": 2,
    },
    "text": {"color": INK, "fontSize": 12, "font": "system-ui, sans-serif"},
}  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """One chart: `key` names it on its page, `says` tells in words what it shows, `spec` draws `data`, its rows."""

    key: str
    title: str
    says: str
    spec: Mapping[str, Any]
    data: Rows
    picture: Markup = field(default_factory=Markup)


@cache
def chart_script() -> str:
    """The module script of a page with charts: Vega, Vega-Lite and vega-embed, and what the pages do with them."""
    import vl_convert  # starts a JavaScript engine: only pages with charts need it

    bundle = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;")
    if "window.vegaEmbed=" not in bundle:
        raise BundleError(
            "expected vegaEmbed in the bundle of vl-convert-python, got none; install vl-convert-python>=1.9,<2"
        )
    return inline(f"{bundle}\n{{\n{Path(__file__).with_name('charts.js').read_text(encoding='utf-8')}}}\n")


def as_json_block(content: Any) -> Markup:
    """Data that may stand inside <script type="application/json">: nothing in it can end the element."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def specification(chart: Any) -> dict[str, Any]:
    """The Vega-Lite specification of an Altair chart, in the pages' style; its data have the name `rows`."""
    spec = chart.to_dict()
    spec["config"] = CONFIG
    spec["width"] = "container"
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec


def with_domains(spec: Mapping[str, Any], **domains: tuple[float, float]) -> dict[str, Any]:
    """A layered specification with other ends of its scales, by channel: Altair takes a hundred times as long to make one."""
    changed = copy.deepcopy(dict(spec))
    for layer in changed["layer"]:
        for channel, (low, high) in domains.items():
            encoding = layer["encoding"].get(channel, {})
            if "field" in encoding:
                encoding["scale"] = {**encoding.get("scale", {}), "domain": [number(low), number(high)], "nice": False}
    return changed


def drawn(chart: Chart) -> Chart:
    """The chart with its picture, an inline SVG."""
    import vl_convert

    spec = {**chart.spec, "width": WIDTH, "datasets": {"rows": list(chart.data)}}
    svg = vl_convert.vegalite_to_svg(spec, vl_version=_version(str(chart.spec["$schema"])))
    return replace(chart, picture=Markup(_lean(svg)))


def _version(schema: str) -> str:
    found = re.search(r"/v(\d+\.\d+)", schema)
    if found is None:
        raise BundleError(f"expected a version in Vega-Lite's schema {schema!r}, got none; install altair>=6")
    return found[1]


def _lean(svg: str) -> str:
    """An SVG for inside a page: tenths of a pixel are enough, and its elements need no names."""
    svg = re.sub(r"-?\d+\.\d{3,}(?:e-?\d+)?", lambda number: f"{float(number[0]):.1f}".rstrip("0").rstrip("."), svg)
    svg = re.sub(r' (?:class|xmlns(?::xlink)?|version|aria-\w+|role)="[^"]*"', "", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def plain(text: str, length: int = 40) -> str:
    """A name for a mark or tooltip: on one line, cut, without characters that cannot be seen or that turn the text."""
    seen = "".join(c if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF else " " for c in text)
    line = " ".join(seen.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def number(value: float) -> float:
    """A number for a chart: five digits say all that a pixel can."""
    return float(f"{value:.5g}")


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places moved as little as need be for each to be `gap` from the next and inside [low, high]; order is kept."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    gap = min(gap, (high - low) / max(1, len(places) - 1))
    moved = [0.0] * len(places)
    floor = low
    for i in order:
        moved[i] = max(places[i], floor)
        floor = moved[i] + gap
    ceiling = high
    for i in reversed(order):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - gap
    return moved
