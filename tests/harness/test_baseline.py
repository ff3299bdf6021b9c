"""Baselines and gate files: written from records, read back, and refused with what is wrong named on one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.check.baseline import Baseline, baseline_path, from_record, read_baseline, refuse_other, write_baseline
from harness.check.gates import read_gates
from harness.errors import BadInput
from harness.measures import MEASURES, RobustAccuracy
from leaderboards.records.arrays import read_arrays, write_arrays
from leaderboards.records.schema import EntrantInfo, Measurement, Provenance, Record, SuiteInfo, Value

SUITE = SuiteInfo(
    name="digits", version=1, dataset="digits", split="test", fingerprint="abc", examples=4, norm="Linf", eps=0.15
)
ARRAYS = {
    "standard": {"correct": np.array([True, True, True, False])},
    "autoattack": {"stage": np.array([4, 0, 4, -1], dtype=np.int8)},
    "energies": {
        "pgd.correct": np.array([True, False, False, False]),
        "marginal_energy": np.array([-1, -2, -3, -4], dtype=np.float32),
        "pgd.marginal_energy_adv": np.array([0, -1, -2, -3], dtype=np.float32),
        "zero_gradient": np.zeros(4, dtype=bool),
    },
}


@pytest.fixture
def record(tmp_path: Path) -> Record:
    provenance = Provenance(
        device="cpu",
        device_name="",
        precision="fp32",
        threads=1,
        commit=None,
        dirty=None,
        versions={},
        measured_at="2026",
    )
    measurements = {
        name: Measurement(
            measure=name,
            version=MEASURES[name].version,
            n=4,
            seed=0,
            settings={**json.loads(json.dumps(MEASURES[name].settings())), "shard_size": 2},
            values={"a": Value(value=0.5, n=4)},
            arrays=write_arrays(tmp_path / "arrays", arrays),
            seconds=0,
            provenance=provenance,
        )
        for name, arrays in ARRAYS.items()
    }
    entrant = EntrantInfo(name="e", spec="e", source="zoo", parameters=1, weights_sha256="0")
    return Record(suite=SUITE, entrant=entrant, measurements=measurements)


def test_a_baseline_holds_what_gates_compare_and_reads_back(record: Record, tmp_path: Path) -> None:
    baseline = from_record(record, tmp_path / "arrays")
    path = baseline_path(tmp_path / "baselines", "digits", "e")
    assert path == tmp_path / "baselines" / "digits" / "e.safetensors"
    assert write_baseline(path, baseline)
    content = path.read_bytes()
    assert not write_baseline(path, baseline)
    assert path.read_bytes() == content
    back = read_baseline(path)
    assert back.description == baseline.description
    assert back.description.shard_size == 2
    assert back.description.values["energies.a"].value == 0.5
    assert "zero_gradient" not in back.arrays
    assert back.flags("standard").tolist() == [True, True, True, False]
    assert back.flags("autoattack").tolist() == [True, False, True, False]
    assert back.flags("pgd").tolist() == [True, False, False, False]
    assert back.flags("robust").tolist() == [True, False, False, False]
    assert read_arrays(tmp_path / "arrays", record.measurements["standard"].arrays)["correct"].sum() == 3  # type: ignore[arg-type]


def test_a_baseline_of_energies_version_2_is_read_by_the_names_of_today(record: Record, tmp_path: Path) -> None:
    baseline = from_record(record, tmp_path / "arrays")
    was = baseline.description
    old = was.model_copy(
        update={
            "measures": {**was.measures, "energies": was.measures["energies"].model_copy(update={"version": 2})},
            "values": {
                "energies.delta_marginal_energy.mean": Value(value=-1, n=4),
                "energies.natural_accuracy": Value(value=0.75, n=4),
                "standard.a": Value(value=0.5, n=4),
            },
        }
    )
    then = {"pgd.correct": "pgd_correct", "pgd.marginal_energy_adv": "marginal_energy_adv"}
    path = tmp_path / "old.safetensors"
    write_baseline(path, Baseline(old, {then.get(name, name): array for name, array in baseline.arrays.items()}))
    back = read_baseline(path)
    assert back.arrays.keys() == baseline.arrays.keys()
    assert back.flags("robust").tolist() == [True, False, False, False]
    assert set(back.description.values) == {
        "energies.pgd.delta_marginal_energy.mean", "energies.standard_accuracy", "standard.a"
    }  # fmt: skip
    refuse_other(back, SUITE, [MEASURES[name] for name in back.description.measures])


def test_without_pgds_flags_robust_means_autoattack(record: Record, tmp_path: Path) -> None:
    partial = record.model_copy(
        update={"measurements": {n: m for n, m in record.measurements.items() if n == "autoattack"}}
    )
    baseline = from_record(partial, tmp_path / "arrays")
    assert baseline.flags("robust").tolist() == [True, False, True, False]
    with pytest.raises(BadInput, match="measure energies for the gate 'pgd', got autoattack"):
        baseline.flags("pgd")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"fingerprint": "xyz"}, ('suite fingerprint "abc"', 'suite fingerprint "xyz"')),
        ({"version": 2}, ("suite version 1", "suite version 2")),
        ({"eps": 0.1}, ("suite eps 0.15", "suite eps 0.1")),
        ({"norm": "L2"}, ('suite norm "Linf"', 'suite norm "L2"')),
        ({"name": "other"}, ('suite name "digits"', 'suite name "other"')),
    ],
)
def test_another_suite_is_refused_with_the_difference(
    record: Record, tmp_path: Path, change: dict[str, object], named: tuple[str, str]
) -> None:
    baseline = from_record(record, tmp_path / "arrays")
    refuse_other(baseline, SUITE, [MEASURES[name] for name in baseline.description.measures])
    with pytest.raises(BadInput) as refused:
        refuse_other(baseline, SUITE.model_copy(update=change), [])
    then, now = str(refused.value).split(", got ", 1)
    assert named[0] in then
    assert named[1] in now
    assert "\n" not in str(refused.value)


def test_another_attack_setting_is_refused_with_the_difference(record: Record, tmp_path: Path) -> None:
    baseline = from_record(record, tmp_path / "arrays")
    other = replace(RobustAccuracy(), batch_size=10, seed=3)
    with pytest.raises(
        BadInput, match=r"autoattack batch_size 250, autoattack seed 0.*got.*batch_size 10, autoattack seed 3"
    ):
        refuse_other(baseline, SUITE, [other])
    newer = baseline.description.model_copy(
        update={"measures": {n: m.model_copy(update={"version": 99}) for n, m in baseline.description.measures.items()}}
    )
    with pytest.raises(BadInput, match="standard version 99"):
        refuse_other(Baseline(newer, baseline.arrays), SUITE, [MEASURES["standard"]])


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_file_that_is_no_baseline_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"expected a baseline in .*harness baseline"):
        read_baseline(path)
    with pytest.raises(BadInput, match="harness baseline"):
        read_baseline(tmp_path / "nowhere.safetensors")


def test_gates_are_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(
        "alpha = 0.01\n[robust]\nmargin = 0.02\n[clean]\nmeasure = 'standard'\nmargin = 0\n"
        "[fid]\nvalue = 'generation.fid'\nworse = 'higher'\nmargin = 2\n"
    )
    gates = read_gates(path)
    assert gates.alpha == 0.01
    assert [(g.name, g.measure, g.value, g.worse, g.margin) for g in gates.gates] == [
        ("robust", "robust", "", "lower", 0.02),
        ("clean", "standard", "", "lower", 0.0),
        ("fid", "", "generation.fid", "higher", 2.0),
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["at least one gate"]),
        ("[robust]\n", ["a margin", "[robust]"]),
        ("[robust]\nmargn = 1\n", ["'margn'", "did you mean margin"]),
        ("[robust]\nmargin = 3\n", ["below 1", "got 3"]),
        ("[robust]\nmargin = -1\n", ["at least 0"]),
        ("[x]\nmargin = 1\n", ["measure = one of"]),
        ("[x]\nmeasure = 'pgd'\nvalue = 'a.b'\nmargin = 0.1\n", ["give one of them"]),
        ("[x]\nvalue = 'energies.a'\nmargin = 1\n", ["worse = one of lower, higher, either"]),
        ("[x]\nvalue = 'a'\nworse = 'lower'\nmargin = 1\n", ["<measure>.<value>"]),
        ("[pgd]\nworse = 'higher'\nmargin = 0.1\n", ["'higher'"]),
        ("alpha = 0.9\n[robust]\nmargin = 0\n", ["alpha above 0"]),
        ("robust = 1\n", ["write [robust]"]),
        ("[robust\n", ["TOML"]),
    ],
)
def test_a_wrong_gates_file_is_one_line(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        read_gates(path)
    assert "\n" not in str(refused.value)
    for part in ("expected", "got", *parts):
        assert part in str(refused.value)
