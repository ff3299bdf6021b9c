"""The page of an experiment: what was varied, its numbers as tables, charts and strips of images.

It lies in the experiment's own folder, beside its numbers as JSON, and belongs to no site: an experiment compares variants with
each other, and a board ranks entrants.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from leaderboards.charts.scripts import Script
from leaderboards.charts.vega import Chart, drawn
from leaderboards.pages import bundle
from leaderboards.pages.environment import fill, make_environment
from leaderboards.records.files import write_atomically

PAGE, NUMBERS = "index.html", "experiment.json"


@dataclass(frozen=True)
class Cell:
    """What stands in a place of a table: a text, and the interval of a number, which is written smaller."""

    text: str
    interval: str = ""

    def __str__(self) -> str:
        return f"{self.text} [{self.interval}]" if self.interval else self.text


@dataclass(frozen=True)
class Column:
    """A column: its heading, what its numbers mean, and whether it holds words in place of numbers."""

    heading: str
    says: str = ""
    words: bool = False


@dataclass(frozen=True)
class Table:
    """Rows with a cell a column; the first cell names its row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Strip:
    """A picture inside the page, as a data URI. `says` tells in words what it shows."""

    title: str
    says: str
    uri: str
    width: int
    height: int


def strip_of(picture: Image.Image, title: str, says: str) -> Strip:
    """A picture as it stands inside a page."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    uri = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return Strip(title, says, uri, picture.width, picture.height)


@dataclass(frozen=True)
class ExperimentView:
    """All that the page of an experiment shows. `suite` is its title."""

    title: str
    suite: str
    lead: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    strips: tuple[Strip, ...] = ()
    strips_say: str = ""
    findings_heading: str = ""
    findings: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        return ""

    @property
    def explained(self) -> tuple[Column, ...]:
        """The columns that say what their numbers mean, each once."""
        return tuple(dict.fromkeys(column for table in self.tables for column in table.columns if column.says))

    @property
    def scripts(self) -> Sequence[Script]:
        return (bundle.charts(),) if self.charts else ()


def write_experiment(folder: Path, view: ExperimentView, numbers: Mapping[str, Any]) -> Path:
    """Write an experiment's page and its numbers, plain JSON values, to its folder; returns the page.

    Raises ValueError for a number that JSON does not have.
    """
    whole = json.dumps(numbers, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / NUMBERS, f"{whole}\n".encode())
    pictured = replace(view, charts=tuple(map(drawn, view.charts)))
    page = folder / PAGE
    write_atomically(page, fill(make_environment(), "experiment.html", pictured).encode(), lasting=False)
    return page
