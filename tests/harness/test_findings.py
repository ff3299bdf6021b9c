"""From shards to records: what joins a record, what replaces it, and what a reader is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.datasets import digits
from harness.measures import Energies, Measure, StandardAccuracy
from harness.provenance import provenance
from harness.run.findings import settings_apart, write_findings
from harness.run.plan import Judged, Plan, make_plan
from harness.run.store import Shard, Store
from harness.suites.suite import SUITES
from leaderboards.records.arrays import read_arrays
from leaderboards.records.files import read_record
from leaderboards.records.schema import Record
from zoo.entrant import Weights
from zoo.own_entrants import own_entrants

SUITE = SUITES["digits"]
HERE = provenance(torch.device("cpu"), "fp32")


def plan(measure: Measure, weights: str = "a" * 64, suite=SUITE, **changes: object) -> Plan:
    judged = Judged(own_entrants(SUITE.domain)[0], Weights(weights), digits("test").first(200))
    return make_plan(suite, [judged], [measure], **{"precision": "fp32", "device": "cpu", **changes})  # type: ignore[arg-type]


def fill(store: Store, made: Plan, right: float = 0.5, **changes: object) -> None:
    """Shards as a measure would give them, with a share `right` of correct examples."""
    for number, task in enumerate(made.tasks):
        n = len(task)
        correct = np.arange(n) < right * n
        if task.measure.name == "standard":
            arrays = {"correct": correct, "prediction": np.zeros(n, np.int32), "label": np.zeros(n, np.int32)}
        else:
            names = [*ENERGIES, *(f"pgd.{energy}_adv" for energy in ENERGIES)]
            names += [f"{name}_calibrated" for name in names]
            energies = {name: np.linspace(-5, 0, n, dtype=np.float32) for name in names}
            flags = {"natural_correct": correct, "pgd.correct": correct, "zero_gradient": np.zeros(n, bool)}
            arrays = {**energies, **flags, "pgd.kl_conditional": np.zeros(n, np.float32)}
            arrays["calibration"] = np.tile([1.0, 0.1, 100.0], (n, 1))
        given = {"provenance": HERE, **changes}
        if number == 0:
            given["provenance"] = changes.get("first", HERE)
        given.pop("first", None)
        store.write(task.key, Shard(arrays, (), 1.0, parameters=7, **given), {})  # type: ignore[arg-type]


ENERGIES = ("marginal_energy", "joint_energy")


def found(out: Path) -> Record:
    return read_record(next((out / "results").rglob("*.json")))


def test_values_come_from_all_shards_and_arrays_are_kept(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "shards"), plan(StandardAccuracy())
    fill(store, made, right=0.75)
    (record,) = write_findings(made, store, tmp_path)
    measurement = record.measurements["standard"]
    value = measurement.values["standard_accuracy"]
    # Wilson's interval for 150 of 200, by its formula
    z, p, n = 1.959963984540054, 0.75, 200
    centre, half = (
        (p + z * z / 2 / n) / (1 + z * z / n),
        z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n),
    )
    assert (value.value, value.n) == (0.75, 200)
    assert (value.low, value.high) == (pytest.approx(centre - half), pytest.approx(centre + half))
    assert (measurement.seconds, record.entrant.parameters, measurement.flags) == (2.0, 7, ())
    assert measurement.arrays is not None
    assert read_arrays(tmp_path / "arrays", measurement.arrays)["correct"].sum() == 150


def test_a_measure_with_a_missing_shard_is_not_in_the_record(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "shards"), plan(StandardAccuracy())
    fill(store, made)
    store.path(made.tasks[1].key).unlink()
    assert write_findings(made, store, tmp_path) == []
    assert not list(tmp_path.glob("results/**/*.json"))


def test_another_measure_joins_and_other_weights_replace(tmp_path: Path) -> None:
    store = Store(tmp_path / "shards")
    for made in (plan(StandardAccuracy()), plan(Energies())):
        fill(store, made)
        write_findings(made, store, tmp_path)
    assert list(found(tmp_path).measurements) == ["energies", "standard"]
    retrained = plan(Energies(), weights="b" * 64)
    fill(store, retrained, right=0.25)
    write_findings(retrained, store, tmp_path)
    assert list(found(tmp_path).measurements) == ["energies"], (
        "an old accuracy must not stand beside new weights' energies"
    )


def test_arrays_that_no_record_names_are_removed_and_others_stay(tmp_path: Path) -> None:
    store = Store(tmp_path / "shards")
    for weights, right in (("a" * 64, 0.5), ("b" * 64, 0.25)):
        made = plan(StandardAccuracy(), weights=weights)
        fill(store, made, right)
        write_findings(made, store, tmp_path)
    named = {arrays.sha256 for arrays in found(tmp_path).arrays.values()}
    assert "standard" in found(tmp_path).arrays
    assert {path.stem for path in (tmp_path / "arrays").iterdir()} == named


def test_shards_of_different_versions_are_told(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "shards"), plan(StandardAccuracy())
    other = HERE.model_copy(update={"versions": {**HERE.versions, "torch": "0.0"}, "device_name": "Another processor"})
    fill(store, made, first=other)
    (record,) = write_findings(made, store, tmp_path)
    flags = record.measurements["standard"].flags
    assert {flag.code for flag in flags} == {"mixed-shards"}
    assert [what for what in ("libraries", "devices") if any(what in flag.message for flag in flags)] == [
        "libraries",
        "devices",
    ]


def test_a_record_says_which_of_its_settings_a_run_would_mix(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "shards"), plan(StandardAccuracy())
    fill(store, made)
    (record,) = write_findings(made, store, tmp_path)
    assert settings_apart(record, plan(Energies())) == ""
    assert settings_apart(record, plan(StandardAccuracy(), precision="bf16")) == "", "nothing of the old would be kept"
    changed = [{"precision": "bf16"}, {"device": "cuda"}, {"suite": replace(SUITE, shard_size=50)}]
    assert all(
        settings_apart(record, plan(Energies(), **change)) == "fp32 on cpu in shards of 100" for change in changed
    )
