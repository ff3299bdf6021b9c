"""What measures declare of their values, and a new measure that the terminal, the pages and the downloads did not know."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from harness.attacks.autoattack import STAGES
from harness.check.baseline import baseline_of
from harness.check.check import Check
from harness.check.gates import Gate, Gates
from harness.check.measured import RecordOnDisk
from harness.check.statistics import Outcome
from harness.cli.tables import show_generation, show_plan, show_results
from harness.data.datasets import digits
from harness.data.images import Examples
from harness.measures import MEASURES, PRESETS, Cost, Energies, Measure, Note, ShardResult, Summary
from harness.measures.calibration import ARRAY, CALIBRATED, Calibration
from harness.measures.energies import accuracy_value
from harness.measures.intervals import mean
from harness.measures.smoothness import FIGURES
from harness.measures.sources import Sources
from harness.provenance import provenance
from harness.run.findings import write_findings
from harness.run.forecast import Left
from harness.run.plan import Judged, Plan, make_plan
from harness.run.store import Shard, Store
from harness.sampling.samplers import SGLD
from harness.suites.suite import SUITES
from harness.threat import ThreatModel
from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.home import Home
from leaderboards.records.schema import Quantity, Record, Value
from zoo.entrant import Weights
from zoo.own_entrants import own_entrants

SUITE = SUITES["digits"]
EXAMPLES = digits("test").examples(0, 12)
MODEL = own_entrants(SUITE.domain)[0].load()


@dataclass(frozen=True)
class Confidence(Measure):
    """Mean of the largest softmax probability, and how often it is certain: a measure that nothing else knows."""

    name: ClassVar[str] = "confidence"
    version: ClassVar[int] = 1
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        return {}

    def quantities(self) -> Mapping[str, Quantity]:
        shown = Quantity(
            title="Confidence, mean",
            short="Confidence",
            unit="fraction",
            better="lower",
            kind="headline",
            description="Mean of the largest softmax probability.",
        )
        steps = Quantity(title="Certain images", unit="count", better="higher", kind="headline")
        return {"confidence.mean": shown, "certain": steps, "entropy.mean": Quantity(title="Entropy")}

    def cost(self, classes: int) -> Cost:
        return Cost(forward=1)

    def trial(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> float:
        return 0.0

    def __call__(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
        with torch.no_grad():
            chances = model(examples.x).softmax(1)
        return ShardResult(
            {"confidence": chances.amax(1).numpy(), "entropy": -(chances * chances.log()).sum(1).numpy()}
        )

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        certain = mean((arrays["confidence"] > 0.5) * 1000.0).model_copy(update={"low": None, "high": None})
        values = {f"{name}.mean": mean(arrays[name]) for name in ("confidence", "entropy")}
        return Summary({**values, "certain": certain})


def found(plan: Plan, out: Path) -> list[Record]:
    """What `harness run` does of a plan, without processes: measure every shard, and write records."""
    store = Store(out / "shards")
    for task in plan.tasks:
        judged = plan.judged[task.judged]
        examples = task.measure.examples(judged.images, task.start, task.stop)
        result = task.measure(judged.entrant.load(), examples, plan.suite.threat)
        here = provenance(torch.device("cpu"), "fp32")
        store.write(task.key, Shard(result.arrays, result.notes, 1.0, parameters=7, provenance=here), {})
    return write_findings(plan, store, out)


def plan_of(*measures: Measure) -> Plan:
    judged = Judged(own_entrants(SUITE.domain)[0], Weights("a" * 64), digits("test").first(200))
    return make_plan(SUITE, [judged], measures, precision="fp32", device="cpu")


# ---------------------------------------------------------------- what the built-in measures declare


def made_arrays(measure: str) -> Mapping[str, np.ndarray]:
    """Arrays from which a measure makes every value that it can make, without its attacks."""
    if measure == "autoattack":
        return {"stage": np.arange(12, dtype=np.int8) % (len(STAGES) + 1)}
    if measure == "smoothness":
        names = [f"{name}{end}" for name in ("marginal_energy", *FIGURES) for end in ("", CALIBRATED)]
        zero = [f"zero_gradient_{of}{end}" for of in ("energy", "ce") for end in ("", CALIBRATED)]
        rough = {name: np.linspace(1, 2, 12, dtype=np.float32) for name in names}
        return {**rough, **{name: np.zeros(12, bool) for name in zero}, ARRAY: Calibration(2.0, 0.1, 12).array(12)}
    return MEASURES[measure](MODEL, EXAMPLES, SUITE.threat).arrays


@pytest.mark.parametrize("name", ["standard", "autoattack", "energies", "smoothness"])
def test_every_value_of_a_measure_is_declared(name: str) -> None:
    measure = MEASURES[name]
    values = measure.summarise(made_arrays(name), ()).values
    assert set(measure.quantities()) == set(values)
    assert all(said.title for said in measure.quantities().values())


def test_every_value_of_generated_images_is_declared() -> None:
    sources = Sources(train=lambda: digits("train"), held_out=lambda: digits("test").first(40))
    measure = replace(PRESETS["short"], images=20, sampler=SGLD(eta=0.1, steps=3)).bound(sources)
    for bound in (measure, replace(measure, material=replace(measure.material, extractor=None, reason="none"))):
        arrays = bound(MODEL, bound.examples(digits("test"), 0, 20), SUITE.threat).arrays
        assert set(bound.summarise(arrays, ()).values) == set(bound.quantities())


def test_every_measure_says_which_way_is_better() -> None:
    said = {(m.name, name): one for m in MEASURES.values() for name, one in m.quantities().items()}
    better = {name: one.better for name, one in said.items()}
    for (measure, name), one in said.items():
        assert (one.unit == "fraction") == ("accuracy" in name), (measure, name)
        if "accuracy" in name:
            assert one.better == "higher", (measure, name)
        if measure in ("smoothness", "energies") and one.better != "higher":
            # what depends on the scale of the logits has no better end: multiplying them would reach it
            assert (one.better == "lower") == name.endswith("_calibrated.mean"), name
        if one.unit == "energy" and measure != "smoothness":
            assert one.better == "neither", name
    scores = {score: better["generation", score] for score in ("fid", "kid", "inception_score", "precision", "recall")}
    assert scores == {
        "fid": "lower",
        "kid": "lower",
        "inception_score": "higher",
        "precision": "higher",
        "recall": "higher",
    }
    assert better["generation", "nearest_distance.mean"] == better["generation", "kid.sd"] == "neither"


def test_every_attack_declares_its_accuracy_also_one_that_is_not_built_in() -> None:
    attacks = {"mine": MEASURES["energies"].attacks["pgd"]}  # type: ignore[attr-defined]
    assert Energies(attacks=attacks).quantities()[accuracy_value("mine")].better == "higher"


def test_a_record_declares_the_values_that_it_has_and_no_others(tmp_path: Path) -> None:
    for record in found(plan_of(MEASURES["standard"], Confidence()), tmp_path):
        for measurement in record.measurements.values():
            assert set(measurement.quantities) == set(measurement.values)
        assert Record.model_validate_json(record.to_json()) == record


# ---------------------------------------------------------------- a measure that nothing else knows


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    out = tmp_path_factory.mktemp("new")
    (record,) = found(plan_of(MEASURES["standard"], Confidence()), out)
    return out, record


def page_of(out: Path, name: str) -> str:
    render(Home(out), out / "site", [SuitePage("digits", "Digits", "", "digits", "Linf", "0.15")])
    return (out / "site" / "digits" / name).read_text(encoding="utf-8")


def test_a_new_measure_has_its_columns_on_the_board(new: tuple[Path, Record]) -> None:
    out, record = new
    value = record.measurements["confidence"].values["confidence.mean"].value
    assert value is not None
    page = page_of(out, "index.html")
    assert re.search(r'<th scope="colgroup" class="group" colspan="2"[^>]*>confidence</th>', page)
    (head,) = re.findall(r'<th [^>]*aria-label="confidence: Confidence, %"[^>]*>', page)
    assert 'title="Mean of the largest softmax probability. Lower is better."' in head
    assert 'data-first="asc"' in head
    assert 'data-as="number"' in head
    (other,) = re.findall(r'<th [^>]*aria-label="confidence: Certain images"[^>]*>', page)
    assert 'data-first="desc"' in other
    assert f'<span class="value">{100 * value:.1f}</span>' in page
    assert "<label><input" in page
    assert "confidence: Confidence, %</label>" in page, "the column can be hidden"
    assert "Entropy" not in page, "a detail has no column"


def test_a_new_measure_stands_on_its_entrants_page_in_its_own_words_and_units(new: tuple[Path, Record]) -> None:
    page = page_of(new[0], f"{new[1].entrant.name}.html")
    for title in ("Confidence, mean", "Certain images", "Entropy"):
        assert f"<bdi>{title}</bdi></th>" in page


def test_a_new_measure_is_downloaded_with_its_board(new: tuple[Path, Record]) -> None:
    out, record = new
    value = record.measurements["confidence"].values["confidence.mean"]
    (row,) = csv.DictReader(io.StringIO(page_of(out, "board.csv")))
    assert float(row["confidence.confidence.mean"]) == value.value
    assert float(row["confidence.confidence.mean.low"]) == value.low
    plain = json.loads(page_of(out, "board.json"))
    assert plain["entrants"][0]["confidence.confidence.mean"] == value.value
    assert plain["columns"]["confidence.confidence.mean"] == {
        "measure": "confidence",
        "value": "confidence.mean",
        "title": "Confidence, mean",
        "unit": "fraction",
        "better": "lower",
    }


def test_a_new_measure_is_printed_in_the_terminal(new: tuple[Path, Record], capsys: pytest.CaptureFixture[str]) -> None:
    show_results([new[1]])
    lines = capsys.readouterr().out.splitlines()
    (heads,) = (line for line in lines if "entrant" in line)
    assert re.search(r"Standard, % ↑.*Confidence, % ↓.*Certain images, number ↑", heads)
    assert "Entropy" not in heads
    value = new[1].measurements["confidence"].values["confidence.mean"]
    assert value.value is not None and value.low is not None  # noqa: PT018
    (row,) = (line for line in lines if f"{new[1].entrant.name} " in line)
    assert f"{100 * value.value:.1f} [{100 * value.low:.1f}, " in row


@pytest.mark.parametrize(("step", "outcome"), [(0.2, Outcome.FAIL), (-0.2, Outcome.PASS)])
def test_a_new_measure_is_gated_in_its_own_direction(new: tuple[Path, Record], step: float, outcome: Outcome) -> None:
    out, record = new
    baseline = baseline_of(RecordOnDisk(record, out / "arrays"))
    was = record.measurements["confidence"].values["confidence.mean"]
    moved = {end: number + step for end in ("value", "low", "high") if (number := getattr(was, end)) is not None}
    gates = Gates((Gate("sure", 0.05, value="confidence.confidence.mean"),))
    now = {"confidence.confidence.mean": was.model_copy(update=moved)}
    check = Check(gates, baseline, Nobody(), now)  # type: ignore[arg-type]
    assert check() is outcome, "lower is better, as the measure declares"
    assert "%" in check.found.results()[0].statement


class Nobody:
    """A candidate that is asked nothing: its values are given."""

    shards = ((0, 1),)


# ---------------------------------------------------------------- the terminal


def test_a_name_in_brackets_is_printed_as_it_is(
    new: tuple[Path, Record], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, record = "mine[v2] :smile:", new[1]
    plan = plan_of(MEASURES["standard"])
    monkeypatch.setattr(Judged, "name", name)
    show_plan(plan, plan.tasks, Left(1.0, 1.0, 1.0))
    mine = record.model_copy(update={"entrant": record.entrant.model_copy(update={"name": name})})
    show_results([mine])
    drawn = {"measure": "generation", "values": {"fid": Value(value=1.0, n=9)}}
    generated = record.measurements["standard"].model_copy(update=drawn)
    show_generation([mine.model_copy(update={"measurements": {"generation": generated}})])
    assert capsys.readouterr().out.count(name) == 3


def test_a_record_of_before_measures_declared_anything_keeps_its_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (record,) = found(plan_of(MEASURES["standard"]), tmp_path)
    show_results([record])
    old = record.measurements["standard"].model_copy(update={"quantities": {}})
    show_results([record.model_copy(update={"measurements": {"standard": old}})])
    now, before = (part for part in capsys.readouterr().out.split("accuracies in percent") if part)
    assert now == before


def test_a_narrow_window_leaves_columns_out_and_names_them(
    new: tuple[Path, Record], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    show_results([new[1]])
    printed = capsys.readouterr().out
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", printed).splitlines()[:-1])) <= 60
    assert printed.splitlines()[-1].startswith("No room for: Certain images, number")


def test_a_log_that_cannot_hold_the_signs_gets_plain_ones(
    new: tuple[Path, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding="latin-1")
    monkeypatch.setattr("sys.stdout", stream)
    show_results([new[1]])
    stream.flush()
    assert "Confidence, % (down)" in content.getvalue().decode("latin-1")
