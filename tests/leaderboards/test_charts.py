"""What the charts show: the numbers of the records, in Vega-Lite that a browser can draw without code from text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leaderboards.board.board import Published, make_board
from leaderboards.charts.board_charts import board_charts
from leaderboards.charts.entrant_charts import entrant_charts
from leaderboards.charts.ridges import ridges
from leaderboards.charts.stages import MOST_LINES
from leaderboards.charts.vega import Chart, apart, as_json_block, chart_script, drawn, plain
from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.arrays import write_arrays
from leaderboards.records.dynamics import Dynamics, Phase, columns, dynamics_of
from leaderboards.records.files import write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Measurement, Record, Value

RecordOf = Callable[..., Record]
DIGITS = SuitePage("digits", "Digits", "", "digits", "Linf", "0.1")


def charts(records: list[Record], published: tuple[Published, ...] = (), home: Home | None = None) -> dict[str, Chart]:
    homes = {(record.entrant.name, record.limit): home for record in records} if home else {}
    return {chart.key: chart for chart in board_charts(make_board(records, published, homes=homes).entries)}


def test_measured_points_carry_their_intervals_and_published_ones_have_none(record_of: RecordOf) -> None:
    rows = (Published("b", 0.9, 0.6, 0.55), Published("c", None, 0.5), Published("d", 0.8))
    found = charts([record_of("a", robust=0.5)], rows)["against-standard"]
    a, b = sorted(found.data, key=lambda row: row["name"])
    assert (a["name"], a["kind"], a["x"], a["y"]) == ("a", "measured", 95.0, 50.0)
    assert a["yl"] < 50 < a["yh"]
    assert a["xl"] < 95 < a["xh"]
    assert (b["name"], b["kind"], b["x"], b["y"]) == ("b", "published", 90.0, 55.0)
    assert not {"xl", "xh", "yl", "yh"} & set(b)


def test_robust_accuracy_is_set_against_each_figure_that_two_entrants_have(record_of: RecordOf) -> None:
    found = charts([record_of("a", energies=-1.0, smoothness=2.0), record_of("b", energies=-2.0, smoothness=math.inf)])
    assert "against-energy" in found
    assert "against-lipschitz" not in found
    assert "against-fid" not in found
    both = charts([record_of("a", smoothness=2.0), record_of("b", smoothness=3.0, robust=0.4)])["against-lipschitz"]
    assert {row["name"]: (row["x"], row["y"]) for row in both.data} == {"a": (2.0, 50.0), "b": (3.0, 40.0)}


def test_fid_has_its_chart_once_records_hold_it(record_of: RecordOf) -> None:
    def generating(name: str, fid: float) -> Record:
        record = record_of(name)
        base = record.measurements["standard"]
        made = base.model_copy(update={"measure": "generation", "values": {"fid": Value(value=fid, n=10)}})
        return record.model_copy(update={"measurements": {**record.measurements, "generation": made}})

    found = charts([generating("a", 20.0), generating("b", 30.0)])["against-fid"]
    assert sorted(row["x"] for row in found.data) == [20.0, 30.0]


def test_every_stage_of_autoattack_is_a_point_of_an_entrants_line(record_of: RecordOf) -> None:
    found = charts([record_of("a", robust=0.5)])["stages-chart"]
    assert [(row["stage"], row["y"]) for row in found.data] == [
        *(("no attack", 95.0), ("APGD-CE", 53.0), ("APGD-T", 50.2), ("FAB-T", 50.1), ("Square", 50.0)),
    ]


def test_a_chart_of_many_entrants_shows_the_first_and_says_so(record_of: RecordOf) -> None:
    found = charts([record_of(f"e{i:02}", robust=0.01 * i) for i in range(MOST_LINES + 5)])["stages-chart"]
    assert {row["name"] for row in found.data} == {f"e{i:02}" for i in range(5, MOST_LINES + 5)}
    assert f"The first {MOST_LINES} of {MOST_LINES + 5} entrants" in found.says


def test_ridges_are_the_distribution_of_the_arrays(record_of: RecordOf, tmp_path: Path) -> None:
    record = record_of("a", energies=-4.0, arrays=tmp_path / "arrays", n=100)
    found = ridges(make_board([record], homes={("a", None): Home(tmp_path)}).entries, 5)
    assert found is not None
    natural = np.linspace(-5, -3, 100, dtype=np.float32).astype(float)
    deltas = -np.linspace(0, 1, 100) / natural.std(ddof=1)
    middles, heights = np.array(found.middles), np.array(found.heights["a"])
    assert max(heights) == 1
    assert np.average(middles, weights=heights) == pytest.approx(deltas.mean(), abs=0.05)
    assert middles[heights > 0.2].min() == pytest.approx(deltas.min(), abs=0.1)


def test_without_arrays_ridges_come_from_the_histogram(record_of: RecordOf, tmp_path: Path) -> None:
    found = ridges(make_board([record_of("a", energies=-4.0)]).entries, 5)
    assert found is not None
    middles, heights = np.array(found.middles), np.array(found.heights["a"])
    assert np.average(middles, weights=heights) == pytest.approx(0, abs=0.05)  # counts 1 7 7 1 around 0
    assert ridges(make_board([record_of("b")]).entries, 5) is None


def test_an_entrants_histograms_hold_its_counts(record_of: RecordOf) -> None:
    found = {chart.key: chart for chart in entrant_charts(record_of("a", energies=-4.0), None)}
    bars = [row for row in found["energies-chart"].data if "count" in row]
    assert [row["count"] for row in bars if row["kind"] == "natural"] == [0, 5, 9, 2]
    assert [row["count"] for row in bars if row["name"] == "PGD"] == [0, 2, 6, 8]
    (arrow,) = found["arrows"].data
    assert (arrow["x0"], arrow["y0"], arrow["x"], arrow["y"]) == (-4.0, -3.0, -3.5, -1.0)


def test_training_has_its_phases_marked() -> None:
    series = {"epoch": (1.0, 2.0, 3.0), "train.delta_marginal_energy": (0.0, -0.1, math.nan)}
    series |= {"train.pgd_accuracy": (0.1, 0.2, 0.3), "validation.pgd_accuracy": (0.1, 0.2, 0.1)}
    course = Dynamics(series, (Phase(1, 1), Phase(2, 3)), overfitting_epoch=3)
    found = {chart.key: chart for chart in entrant_charts(empty(), course)}
    energy = found["dynamics-energy"]
    assert [(row["epoch"], row["y"]) for row in energy.data if "y" in row] == [(1, 0.0), (2, -0.1)]
    assert [(row["begin"], row["end"]) for row in energy.data if "begin" in row] == [(1, 1), (2, 3)]
    assert [row["overfit"] for row in energy.data if "overfit" in row] == [3]
    assert "epochs 1 to 1, 2 to 3" in energy.says
    assert "overfitting begins at epoch 3" in energy.says
    assert len([row for row in found["dynamics-accuracy"].data if "y" in row]) == 6
    plainly = entrant_charts(empty(), replace(course, phases=(), overfitting_epoch=None))
    assert all("Phases" not in chart.says for chart in plainly)


def empty() -> Record:
    from_suite = {
        "name": "s", "version": 1, "dataset": "d", "split": "test", "fingerprint": "f", "examples": 1, "norm": "L2", "eps": 0.1,
    }  # fmt: skip
    entrant = {"name": "a", "spec": "a", "source": "zoo", "parameters": 1, "weights_sha256": "w"}
    return Record.model_validate({"suite": from_suite, "entrant": entrant, "measurements": {}})


def test_the_rows_of_a_log_become_series_and_come_back(tmp_path: Path) -> None:
    rows = [
        {"number": 1, "lr": 0.1, "train": {"pgd_accuracy": 0.5}, "note": "text"},
        {"number": 2, "lr": 0.2, "train": {}, "flag": True},
        {"lr": 0.3},
    ]
    arrays = columns(rows)
    assert {name: array.tolist() for name, array in arrays.items() if name != "train.pgd_accuracy"} == {
        "epoch": [1.0, 2.0],
        "lr": [0.1, 0.2],
    }
    assert math.isnan(arrays["train.pgd_accuracy"][1])
    assert columns([{"lr": 1.0}]) == {}
    told = {"dynamics": {"phases": [{"first": 1, "last": 2}, "<script>", {"first": "1"}], "overfitting_epoch": "x"}}
    entrant = empty().entrant.model_copy(update={"dynamics": write_arrays(tmp_path, arrays), "training": told})
    found = dynamics_of(entrant, tmp_path)
    assert found is not None
    assert found.series["lr"] == (0.1, 0.2)
    assert (found.phases, found.overfitting_epoch) == ((Phase(1, 2),), None)
    assert dynamics_of(entrant, tmp_path / "elsewhere") is None
    assert dynamics_of(empty().entrant, tmp_path) is None


def test_a_log_that_is_gone_is_told_like_any_arrays(record_of: RecordOf, tmp_path: Path) -> None:
    record = record_of("a")
    kept = write_arrays(tmp_path / "arrays", {"epoch": np.arange(1.0, 4.0)})
    record = record.model_copy(update={"entrant": record.entrant.model_copy(update={"dynamics": kept})})
    write_record(tmp_path / "results", record)
    assert render(Home(tmp_path), tmp_path / "site", [DIGITS]).problems == ()
    (tmp_path / "arrays" / kept.file).write_bytes(b"x")
    (problem,) = render(Home(tmp_path), tmp_path / "site", [DIGITS]).problems
    assert problem.message.startswith("dynamics: expected arrays/")
    assert "dynamics: expected arrays/" in (tmp_path / "site" / "digits" / "a.html").read_text(encoding="utf-8")


def test_a_picture_is_an_inline_svg_in_the_pages_own_colours(record_of: RecordOf) -> None:
    chart = charts([record_of("a", robust=0.5), record_of("b<script>&", robust=0.4)])["against-standard"]
    picture = str(drawn(chart).picture)
    assert picture.startswith("<svg aria-hidden=")
    assert "b&lt;script&gt;&amp;" in picture
    assert "<script" not in picture
    assert "var(--ink)" in picture
    assert not re.search(r"https?:|url\(|\d\.\d{3}", picture)
    assert picture == str(drawn(chart).picture)


def test_specifications_name_no_address_and_no_url_of_data(record_of: RecordOf, tmp_path: Path) -> None:
    records = [
        record_of(name, energies=-1.0, smoothness=s, arrays=tmp_path / "arrays") for name, s in (("a", 1.0), ("b", 2.0))
    ]
    made = [*charts(records, home=Home(tmp_path)).values(), *entrant_charts(records[0], None)]
    assert len(made) == 8
    for chart in made:
        text = json.dumps({**chart.spec, "$schema": ""})
        assert '"url"' not in text
        assert "http" not in text
        assert "href" not in text


def test_vega_comes_whole_out_of_the_installed_bundle() -> None:
    script = chart_script()
    assert "window.vegaEmbed=" in script
    assert "</script" not in script
    assert "<!--" not in script


def test_data_in_a_page_cannot_end_their_element() -> None:
    hostile = {"a": "</script><!-- <script>&\u2028\ud800"}
    text = str(as_json_block(hostile))
    assert not set("<>&") & set(text)
    assert text.isascii()
    assert json.loads(text) == hostile


def test_names_in_charts_are_seen_as_they_are_read() -> None:
    assert plain("a\u202eb\nc\ud800\0") == "a b c"
    assert plain("x" * 50) == "x" * 39 + "…"


@pytest.mark.parametrize(
    ("places", "expected"),
    [([5.0, 5.0], [5.0, 6.0]), ([1.0, 3.0], [1.0, 3.0]), ([10.0, 10.0], [9.0, 10.0]), ([], [])],
)
def test_labels_are_moved_apart_within_their_room(places: list[float], expected: list[float]) -> None:
    assert apart(places, 1.0, 0.0, 10.0) == expected


def test_more_labels_than_there_is_room_for_share_it() -> None:
    moved = apart([5.0] * 30, 1.0, 0.0, 10.0)
    assert min(np.diff(sorted(moved))) == pytest.approx(10 / 29)
    assert (min(moved), max(moved)) == (pytest.approx(0.0, abs=1e-9), pytest.approx(10.0))


def test_measurements_need_no_distributions(record_of: RecordOf) -> None:
    record = record_of("a", energies=-1.0)
    bare: Measurement = record.measurements["energies"].model_copy(update={"distributions": {}, "values": {}})
    bare_record = record.model_copy(update={"measurements": {**record.measurements, "energies": bare}})
    assert entrant_charts(bare_record, None) == ()
