"""Charts over the entrants of one board: robust against standard accuracy and smoothness, dE(x), AutoAttack's stages."""

from __future__ import annotations

from collections.abc import Sequence

from leaderboards.board.entry import Entry
from leaderboards.charts.ridges import ridge_chart, ridges
from leaderboards.charts.scatter import AXES, against, against_standard
from leaderboards.charts.stages import stage_chart
from leaderboards.charts.vega import Chart, drawn

MOST_RIDGES = 24
MOST_POINTS = 150


def board_charts(entries: Sequence[Entry]) -> tuple[Chart, ...]:
    """Every chart that the entries of one board have numbers for; entries in their order on the board."""
    found = [against_standard(entries)]
    found += [against(entries, axis) for axis in AXES]
    found += [stage_chart(entries), ridge_chart(ridges(entries, MOST_RIDGES))]
    return tuple(chart for chart in found if chart is not None)


def pictured(chart: Chart) -> Chart:
    """The chart with its picture; one of hundreds of points stays without, its table holds them too."""
    return drawn(chart) if chart.key in ("ridges", "stages-chart") or len(chart.data) <= MOST_POINTS else chart
