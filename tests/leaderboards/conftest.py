"""Records made by hand, for the tests of boards and pages."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaderboards.records.arrays import write_arrays
from leaderboards.records.files import read_record, write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import (
    Distribution,
    EntrantInfo,
    Flag,
    Histogram,
    Measurement,
    Provenance,
    Record,
    SuiteInfo,
    Value,
)

PROVENANCE = Provenance(
    device="cuda",
    device_name="NVIDIA H200",
    precision="fp32",
    threads=16,
    commit="0123456789abcdef0123456789abcdef01234567",
    dirty=False,
    versions={"python": "3.11.9", "torch": "2.15.0", "pyautoattack": "0.2.0"},
    measured_at="2026-11-20T21:34:00+00:00",
)


RESULTS = Path(__file__).resolve().parents[2] / "leaderboards" / "results"
DECLARED = {name: m.quantities for name, m in read_record(RESULTS / "digits" / "standard.json").measurements.items()}
"""How the built-in measures declare their values, as a shipped record has it."""


def share(fraction: float, n: int) -> Value:
    """A share of n examples with its Wilson interval."""
    z = 1.959963984540054
    centre = (fraction + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(fraction * (1 - fraction) / n + z * z / (4 * n * n))
    return Value(value=fraction, low=centre - half, high=centre + half, level=0.95, method="wilson", n=n)


def stages_of(left: list[int], n: int) -> dict[str, np.ndarray]:
    """AutoAttack's arrays of n examples: so many are left after each stage, the first ones; a tenth is wrong to begin with."""
    place = np.arange(n)
    stage = np.where(place < max(round(0.9 * n), left[0]), 0, -1)
    for k, count in enumerate(left, 1):
        stage = np.where(place < count, k, stage)
    reached = np.maximum(stage, 0)
    return {"correct": stage == len(left), "stage": stage.astype(np.int8), "reached": reached.astype(np.int8)}


def histogram(centre: float, counts: tuple[int, ...]) -> Histogram:
    """Counts in bins of one unit around a centre."""
    edges = tuple(centre + place - len(counts) / 2 for place in range(len(counts) + 1))
    return Histogram(edges=edges, counts=counts, below=0, above=0, centre=centre, unit=1.0)


def make_record(
    name: str = "Small",
    *,
    suite: dict[str, Any] | None = None,
    entrant: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
    standard: float | None = 0.95,
    robust: float | None = 0.5,
    energies: float | None = None,
    smoothness: float | None = None,
    limit: int | None = None,
    n: int | None = None,
    flags: tuple[Flag, ...] = (),
    version: int = 1,
    arrays: Path | None = None,
    declared: bool = True,
) -> Record:
    """A record of accuracies; `energies` is the mean of E(x), `smoothness` every figure of it (None where it is infinite).

    `arrays` is where its per-sample arrays are written: half of the examples of the highest energy are misclassified.
    Where it is not `declared` how to read its values, it is as records were before measures did so.
    """
    info = SuiteInfo(
        **{
            "name": "digits",
            "version": 1,
            "dataset": "digits",
            "split": "test",
            "fingerprint": "f" * 64,
            "examples": 360,
            "norm": "Linf",
            "eps": 0.1,
            **(suite or {}),
        }
    )
    n = n or limit or info.examples
    made = PROVENANCE.model_copy(update=provenance or {})
    measurements: dict[str, Measurement] = {}

    def add(measure: str, values: dict[str, Value], seconds: float, **more: Any) -> None:
        measurements[measure] = Measurement(
            measure=measure,
            version=version,
            n=n,
            seed=0,
            settings={"batch_size": 256},
            quantities={name: said for name, said in DECLARED[measure].items() if declared and name in values},
            **dict(values=values, seconds=seconds, provenance=made, **more),
        )

    if standard is not None:
        add("standard", {"standard_accuracy": share(standard, n)}, 2.5)
    if robust is not None:
        stages = {"apgd-ce": 0.03, "apgd-t": 0.002, "fab-t": 0.001, "square": 0.0}
        found = stages_of([round(min(1, robust + more) * n) for more in stages.values()], n)
        shares = [min(1, robust + more) for more in stages.values()]
        if arrays:  # then each number is that of the arrays
            shares = [float((found["stage"] > k).mean()) for k in range(len(stages))]
        values = {
            "autoattack_accuracy": share(shares[-1] if arrays else robust, n),
            **{f"accuracy_after.{stage}": share(left, n) for stage, left in zip(stages, shares, strict=True)},
        }
        kept = write_arrays(arrays, found) if arrays else None
        add("autoattack", values, 5400.0, flags=flags, arrays=kept)
    if energies is not None:
        mean = {
            "marginal_energy.mean": energies,
            "marginal_energy.sd": abs(energies) / 4,
            "pgd.delta_marginal_energy.mean": energies / 100,
            "pgd.delta_marginal_energy_normalised.mean": 0.137,
            "joint_energy.mean": energies + 1,
            "pgd.marginal_energy_adv.mean": energies + 0.5,
            "pgd.joint_energy_adv.mean": energies + 3,
        }
        values = {"pgd.accuracy": share(round(0.7 * n) / n if arrays else min(1, (robust or 0) + 0.04), n)}
        per_sample = {"marginal_energy": np.linspace(energies - 1, energies + 1, n, dtype=np.float32)}
        per_sample["pgd.marginal_energy_adv"] = per_sample["marginal_energy"] + np.linspace(0, 1, n, dtype=np.float32)
        per_sample |= {"natural_correct": np.arange(n) < round(0.9 * n), "pgd.correct": np.arange(n) < round(0.7 * n)}
        spread = Distribution(mean=Value(value=energies, n=n), sd=0.25, quantiles={"0.05": energies - 1, "0.95": 7.125})
        add(
            "energies",
            values | {key: Value(value=value, n=n) for key, value in mean.items()},
            95.0,
            arrays=write_arrays(arrays, per_sample) if arrays else None,
            distributions={
                "apgd-t.delta_marginal_energy": spread,
                "marginal_energy": spread.model_copy(update={"histogram": histogram(energies, (0, 5, 9, 2))}),
                "pgd.marginal_energy_adv": spread.model_copy(update={"histogram": histogram(energies, (0, 2, 6, 8))}),
                "pgd.delta_marginal_energy": spread.model_copy(update={"histogram": histogram(0.0, (1, 7, 7, 1))}),
            },
        )
    if smoothness is not None:
        none = {"value": None, "reason": "the gradient is zero at 9 of 9 points"}
        one = Value(n=n, **(none if math.isinf(smoothness) else {"value": smoothness}))
        figures = ("lipschitz_energy_normalised", "linearity_gap_normalised", "gradient_misalignment")
        add("smoothness", {f"{figure}.mean": one for figure in figures}, 12.0)
    card = {
        "name": name,
        "spec": name,
        "source": "zoo",
        "architecture": "CNN",
        "parameters": 31_402,
        "weights_sha256": "a" * 64,
    }
    return Record(
        suite=info, entrant=EntrantInfo(**{**card, **(entrant or {})}), limit=limit, measurements=measurements
    )


def make_seed(home: Home, recipe: str, seed: int, right: np.ndarray, **more: Any) -> Record:
    """A record of <recipe>-s<seed>, with arrays in a home: AutoAttack leaves these examples (n,) bool, its first stage breaks
    the others, and without attack nine tenths of all are right, the first ones, beside what AutoAttack leaves."""
    n, right = len(right), np.asarray(right, bool)
    correct = right | (np.arange(n) < round(0.9 * n))
    stage = np.where(right, 4, np.where(correct, 0, -1)).astype(np.int8)
    suite = {"examples": n, **more.pop("suite", {})}
    entrant = {"training": {"recipe": {"objective": recipe, "seed": seed}, "eps": 0.1}, **more.pop("entrant", {})}
    record = make_record(f"{recipe}-s{seed}", suite=suite, entrant=entrant, standard=float(correct.mean()), n=n, **more)
    attack, natural = record.measurements["autoattack"], record.measurements["standard"]
    arrays = {
        "autoattack": write_arrays(home.arrays, {"stage": stage, "reached": np.maximum(stage, 0)}),
        "standard": write_arrays(home.arrays, {"correct": correct}),
    }
    values = {name: share(float(right.mean()), n) for name in attack.values}
    changed = {
        "autoattack": attack.model_copy(update={"values": values, "arrays": arrays["autoattack"]}),
        "standard": natural.model_copy(update={"arrays": arrays["standard"]}),
    }
    return record.model_copy(update={"measurements": {**record.measurements, **changed}})


@pytest.fixture(scope="session")
def seed_of() -> Callable[..., Record]:
    """Makes a record of one seed of a recipe: see make_seed."""
    return make_seed


@pytest.fixture(scope="session")
def record_of() -> Callable[..., Record]:
    """Makes a record: see make_record."""
    return make_record


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Home]:
    """Makes records, writes them under `results`, and gives the home that this is the results of."""

    def write(*records: Record) -> Home:
        home = Home(tmp_path)
        for record in records:
            write_record(home.results, record)
        return home

    return write
