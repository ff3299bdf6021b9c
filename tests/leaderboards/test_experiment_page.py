"""The page of an experiment: it opens offline, escapes what it shows, says each column once, and its numbers are JSON."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from PIL import Image

from leaderboards.charts.experiment_charts import ArmPoint, SeedPoint, removal_chart, seeds_chart
from leaderboards.pages.experiment import Cell, Column, ExperimentView, Table, strip_of, write_experiment

COLUMNS = (Column("arm", "Which samples leave.", words=True), Column("robust, %", "After AutoAttack."))
TABLE = Table("Every arm", COLUMNS, ((Cell("none"), Cell("50.0", "40.0-60.0")), (Cell("<b>&"), Cell("49.0"))))


def view(**changes: object) -> ExperimentView:
    return ExperimentView(
        **{"title": "Removal", "suite": "Digits", "lead": "Why?", "tables": (TABLE, TABLE), **changes}
    )  # type: ignore[arg-type]


def test_a_page_needs_nothing_but_itself_and_explains_each_column_once(tmp_path: Path) -> None:
    strip = strip_of(Image.new("L", (20, 10)), "uniform", "starts above")
    page = write_experiment(tmp_path, view(strips=(strip,), findings=("a is above b",)), {"arms": [1.5, None]})
    text = page.read_text()
    assert "<script" not in text, "a page without charts has no script"
    assert not re.search(r"""(?:src|href)=["'](?!data:|#|experiment\.json)""", text)
    assert text.count("<dt>arm</dt>") == 1
    assert "&lt;b&gt;&amp;" in text
    assert "<b>" not in text
    assert '<img src="data:image/png;base64,' in text
    assert 'width="20" height="10" alt="starts above"' in text
    assert json.loads((tmp_path / "experiment.json").read_text()) == {"arms": [1.5, None]}


def test_numbers_that_json_does_not_have_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_experiment(tmp_path, view(), {"accuracy": math.nan})
    assert not list(tmp_path.iterdir())


def test_every_line_of_the_removal_chart_starts_where_nothing_is_removed() -> None:
    points = [ArmPoint(arm, at, 0.5 - at, 0.4, 0.6) for arm in ("high-energy", "random") for at in (0.1, 0.2)]
    chart = removal_chart(ArmPoint("none", 0.0, 0.55, 0.5, 0.6), points, "Bars.")
    assert chart is not None
    for arm in ("high-energy", "random"):
        line = [(row["fraction"], row["y"]) for row in chart.data if row.get("arm") == arm]
        assert line == [(0, 55), (10, 40), (20, 30)]
    (alone,) = (row for row in chart.data if "none" in row)
    assert (alone["x"], alone["low"], alone["high"]) == (0, 50, 60)
    without = removal_chart(None, points, "Bars.")
    assert without is not None
    assert len(without.data) == 4
    assert removal_chart(None, [], "Bars.") is None


def test_the_tick_of_a_recipe_is_the_mean_of_its_seeds() -> None:
    points = [
        SeedPoint("trades", seed, kind, at) for seed, at in ((1, 0.2), (2, 0.4)) for kind in ("robust", "standard")
    ]
    chart = seeds_chart(points)
    assert chart is not None
    assert [row["mean"] for row in chart.data if "mean" in row] == [30, 30]
    assert len(chart.data) == 6
    assert seeds_chart([]) is None
