"""The page of a board that asks whether a paper's findings hold on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leaderboards.board import formats
from leaderboards.charts.findings_charts import findings_charts
from leaderboards.charts.scripts import Script
from leaderboards.charts.vega import Chart, drawn
from leaderboards.findings.findings import LINK, PAPER, RULE, Findings
from leaderboards.findings.statement import Part, Statement, Verdict
from leaderboards.pages import bundle

MOST_POINTS = 400
"""Marks of a chart that has a picture; one of more stays without, the tables hold them too."""

OPEN = 12
"""Tests that a page shows at once; more of one statement stand folded."""


@dataclass(frozen=True)
class FindingsView:
    """All that the page shows. `title` is that of its board; `root` leads to the site's folder."""

    title: str
    root: str
    images: str
    findings: Findings
    charts: Mapping[str, Chart]

    @property
    def scripts(self) -> tuple[Script, ...]:
        return (bundle.charts(),) if self.charts else ()

    @property
    def rule(self) -> tuple[str, ...]:
        return RULE

    @property
    def paper(self) -> tuple[str, str]:
        """Its name, and a link to it."""
        return PAPER, LINK

    def folded(self, statement: Statement) -> bool:
        return len(statement.parts) > OPEN


def findings_view(title: str, root: str, images: str, found: Findings) -> FindingsView:
    """The page of one board's findings, with pictures of its charts."""
    charts = {
        topic: drawn(chart) if len(chart.data) <= MOST_POINTS else chart
        for topic, chart in findings_charts(found).items()
    }
    return FindingsView(title, root, images, found, charts)


def tally(found: Findings) -> str:
    """How many statements hold, and how many do not: '9 hold, 3 do not hold, 4 are undecided'."""
    words = (
        (Verdict.HOLDS, "holds", "hold"),
        (Verdict.DOES_NOT_HOLD, "does not hold", "do not hold"),
        (Verdict.UNDECIDED, "is undecided", "are undecided"),
        (Verdict.NOT_MEASURED, "is not measured", "are not measured"),
    )
    counts = [(found.count(verdict), one, more) for verdict, one, more in words]
    return ", ".join(f"{count} {one if count == 1 else more}" for count, one, more in counts if count)


def effect_of(statement: Statement, part: Part) -> str:
    """The effect of a part as text; shares in percent, differences of shares in points."""
    return _written(statement, part.effect, part.n)


def size_of(statement: Statement, part: Part) -> str:
    """The second number of a part as text; shares in percent."""
    if part.size is None:
        return formats.NOTHING
    share = statement.size_unit == "share"
    return f"{formats.percent(part.size, part.n)}{formats.THIN}%" if share else formats.decimal(part.size)


def interval_of(statement: Statement, part: Part) -> str:
    """The interval of a part as text; a dash where it has none."""
    if part.low is None or part.high is None:
        return formats.NOTHING
    return f"{_written(statement, part.low, part.n)} to {_written(statement, part.high, part.n)}"


def p_of(part: Part) -> str:
    """The adjusted p-value of a part as text; a dash where it has none."""
    if part.adjusted is None:
        return formats.NOTHING
    return "< 0.001" if part.adjusted < 0.001 else formats.decimal(part.adjusted)


def _written(statement: Statement, number: float | None, n: int) -> str:
    if number is None:
        return formats.NOTHING
    if statement.unit == "share":
        return f"{formats.percent(number, n)}{formats.THIN}%"
    return formats.points(number, n) if statement.unit == "points" else formats.decimal(number)
