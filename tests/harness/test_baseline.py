"""Baselines and gate files: written from records, read back, and refused with what is wrong named on one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from harness.attacks.engine.outcome import STAGES
from harness.check.baseline import Baseline, baseline_path, from_record, read_baseline, refuse_other, write_baseline
from harness.check.gates import Gate, Gates, read_gates
from harness.check.preparation import as_measured
from harness.check.statistics import Worse
from harness.errors import BadInput
from harness.measures import MEASURES, RobustAccuracy
from leaderboards.records.arrays import read_arrays, write_arrays
from leaderboards.records.schema import EntrantInfo, Measurement, Provenance, Quantity, Record, SuiteInfo, Value

ROOT = Path(__file__).resolve().parents[2]
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
    # version 2 found what version 3 did; version 4 attacks at another scale, so what is compared must be measured again
    assert back.description.measures["energies"].version == 3
    refuse_other(back, SUITE, [MEASURES[name] for name in back.description.measures if name != "energies"])
    with pytest.raises(BadInput, match=r"energies version 3.*got energies version 4"):
        refuse_other(back, SUITE, [MEASURES["energies"]])


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
    other = replace(RobustAccuracy(), search="bf16", seed=3)
    with pytest.raises(
        BadInput, match=r'autoattack search null, autoattack seed 0.*got.*search "bf16", autoattack seed 3'
    ):
        refuse_other(baseline, SUITE, [other])
    with pytest.raises(BadInput, match=r"autoattack seed 0\), got autoattack seed 3;"):
        refuse_other(baseline, SUITE, [other], drawn=("search",))
    newer = baseline.description.model_copy(
        update={"measures": {n: m.model_copy(update={"version": 99}) for n, m in baseline.description.measures.items()}}
    )
    with pytest.raises(BadInput, match="standard version 99"):
        refuse_other(Baseline(newer, baseline.arrays), SUITE, [MEASURES["standard"]])


def test_a_baseline_of_one_engine_is_refused_for_the_other(record: Record, tmp_path: Path) -> None:
    baseline = from_record(record, tmp_path / "arrays")
    with pytest.raises(BadInput) as refused:
        refuse_other(baseline, SUITE, [RobustAccuracy(engine="pyautoattack")])
    assert '(autoattack engine "harness 1"), got autoattack engine "pyautoattack";' in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_baseline_of_version_1_is_measured_by_pyautoattack_in_its_batches(record: Record, tmp_path: Path) -> None:
    by_reference = {"version": "standard", "stages": list(STAGES), "targets": 9, "batch_size": 10, "shard_size": 2}
    old = record.measurements["autoattack"].model_copy(update={"version": 1, "settings": by_reference})
    measurements = {**record.measurements, "autoattack": old}
    path = tmp_path / "old.safetensors"
    write_baseline(path, from_record(record.model_copy(update={"measurements": measurements}), tmp_path / "arrays"))
    baseline = read_baseline(path)
    measure = as_measured(RobustAccuracy(), baseline, "cpu")
    assert measure == RobustAccuracy(engine="pyautoattack", batch_size=10)
    refuse_other(baseline, SUITE, [measure])


def test_a_search_is_the_baselines_on_its_own_device_and_the_devices_own_elsewhere(
    record: Record, tmp_path: Path
) -> None:
    found = record.measurements["autoattack"]
    found = found.model_copy(update={"settings": {**found.settings, "search": "bf16"}})
    measurements = {**record.measurements, "autoattack": found}
    baseline = from_record(record.model_copy(update={"measurements": measurements}), tmp_path / "arrays")
    assert as_measured(RobustAccuracy(), baseline, "cpu") == RobustAccuracy(search="bf16")
    assert as_measured(RobustAccuracy(), baseline, "cuda") == RobustAccuracy()


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
        ("alpha = true\n[robust]\nmargin = 0\n", ["alpha of at least 0", "got True"]),
        ("[robust]\nmargin = true\n", ["margin of at least 0", "[robust]", "got True"]),
        ("[robust]\nmargin = inf\n", ["margin of at least 0", "got inf"]),
        ("[x]\nvalue = 3\nmargin = 1\n", ["text for value", "[x]", "got 3"]),
        ("[x]\nmeasure = 'robst'\nmargin = 0.1\n", ["measure 'robst'", "did you mean robust"]),
        ("[x]\nvalue = 'a.b'\nmargin = 1\nworse = 'hgher'\n", ["worse = one of lower, higher", "did you mean higher"]),
    ],
)
def test_a_wrong_gates_file_is_one_line(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        read_gates(path).directed({})
    assert "\n" not in str(refused.value)
    for part in ("expected", "got", *parts, *([str(path)] if text and "0.9" not in text else [])):
        assert part in str(refused.value)


LOWER = Quantity(title="FID", better="lower")


def test_the_quantity_says_which_change_is_a_worsening_where_the_gate_does_not() -> None:
    def direction(worse: Worse | None, better: Literal["higher", "lower", "neither"]) -> str:
        quantity = LOWER.model_copy(update={"better": better})
        (gate,) = (
            Gates((Gate("fid", 1.0, value="generation.fid", worse=worse),)).directed({"generation.fid": quantity}).gates
        )
        return gate.direction

    assert direction(None, "lower") == "higher"
    assert direction(None, "higher") == "lower"
    assert direction("lower", "lower") == "lower", "a gate may want the opposite of what is usual"
    assert direction("either", "higher") == "either"
    with pytest.raises(BadInput, match="the gate 'fid', got None; say which change is a worsening"):
        direction(None, "neither")


def test_a_fraction_cannot_fall_by_more_than_one() -> None:
    gate = Gate("recall", 2.0, value="generation.recall", worse="lower")
    recall = Quantity(title="recall", unit="fraction", better="higher")
    with pytest.raises(BadInput, match=r"margin below 1 in the gate 'recall'.*got 2; one point is 0\.01"):
        gate.directed(recall)
    assert gate.directed(None).margin == 2.0


def test_a_baseline_carries_how_to_read_its_values(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    write_baseline(path, from_record(record, tmp_path / "arrays"))
    assert b"quantities" not in path.read_bytes(), "the file of a record that says nothing of them is what it was"
    assert read_baseline(path).description.quantities == {}
    said = record.measurements["energies"].model_copy(update={"quantities": {"a": LOWER}})
    telling = record.model_copy(update={"measurements": {**record.measurements, "energies": said}})
    write_baseline(path, from_record(telling, tmp_path / "arrays"))
    assert read_baseline(path).description.quantities == {"energies.a": LOWER}


def test_the_baseline_in_the_checkout_is_still_read() -> None:
    committed = read_baseline(ROOT / "baselines" / "digits" / "weat-adv.safetensors")
    assert committed.examples == 200
    assert committed.description.entrant == "weat-adv"


def test_a_baseline_of_holes_or_with_an_endless_header_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for start, size, said in (
        (b"", 40 * 2**30, "at most 1024 MB"),
        ((2**26).to_bytes(8, "little"), 2**27, "a header of"),
    ):
        with path.open("wb") as file:
            file.write(start)
            file.truncate(size)
        with pytest.raises(BadInput, match=f"^expected {said}"):
            read_baseline(path)


@pytest.mark.parametrize(
    ("arrays", "without", "said"),
    [
        ({"correct": np.ones((4, 2), dtype=bool)}, "", "arrays of one length"),
        ({"correct": np.ones(4)}, "", "flags in the array correct"),
        ({"stage": np.zeros(4, dtype=np.int8)}, "autoattack", "the stages of autoattack"),
    ],
)
def test_a_baseline_whose_arrays_are_no_flags_is_one_line(
    tmp_path: Path, record: Record, arrays: dict[str, np.ndarray], without: str, said: str
) -> None:
    described = from_record(record, tmp_path / "arrays").description
    kept = {name: info for name, info in described.measures.items() if name != without}
    write_baseline(tmp_path / "a.safetensors", Baseline(described.model_copy(update={"measures": kept}), arrays))
    with pytest.raises(BadInput, match=f"^expected {said}"):
        read_baseline(tmp_path / "a.safetensors")


def test_gates_that_no_reader_of_toml_survives_are_one_line(tmp_path: Path) -> None:
    for text in (b"a = " + b"[" * 10_000, b"a = " + b"9" * 10_000, b"\xff\xfea", b"#" * 2**21):
        (tmp_path / "gates.toml").write_bytes(text)
        with pytest.raises(BadInput, match=r"^expected gates in TOML") as caught:
            read_gates(tmp_path / "gates.toml")
        assert "\n" not in str(caught.value)
