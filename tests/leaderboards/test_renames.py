"""Records made before a name changed are read by the names of today."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaderboards.board.board import make_board
from leaderboards.board.by_energy import by_energy
from leaderboards.charts.ridges import ridges
from leaderboards.records.arrays import measured_arrays, unsound_arrays, write_arrays
from leaderboards.records.files import read_record, write_atomically, write_record
from leaderboards.records.home import Home
from leaderboards.records.renames import name_now, version_now
from leaderboards.records.schema import Record

RecordOf = Callable[..., Record]

BEFORE = {
    "pgd.accuracy": "pgd_accuracy",
    "pgd.correct": "pgd_correct",
    "standard_accuracy": "natural_accuracy",
    **{
        f"pgd.{name}": name
        for energy in ("marginal_energy", "joint_energy")
        for name in (
            *(f"{energy}_adv", f"{energy}_adv.mean", f"{energy}_adv.sd"),
            *(f"delta_{energy}", f"delta_{energy}.mean", f"delta_{energy}.sd", f"abs_delta_{energy}"),
            *(f"delta_{energy}_over_sd", f"delta_{energy}_normalised", f"delta_{energy}_normalised.mean"),
        )
    },
    **{f"pgd.{name}": name for name in ("kl_conditional", "kl_conditional.mean", "kl_marginal", "kl_marginal.mean")},
}
"""Names of today in the measure `energies`, and those of its version 2."""


def before(plain: dict[str, Any], version: int) -> dict[str, Any]:
    """A record's JSON as it was written by an old version of `energies`."""
    found = plain["measurements"]["energies"]
    for part in ("values", "distributions", "quantities"):
        found[part] = {BEFORE.get(name, name): thing for name, thing in found[part].items()}
    found["version"] = version
    return plain


@pytest.fixture
def old(record_of: RecordOf, tmp_path: Path) -> Path:
    """A record of version 2 on the disk, its arrays beside it."""
    now = record_of("A", robust=None, energies=-4.0, arrays=tmp_path / "arrays", n=100)
    kept = measured_arrays(tmp_path / "arrays", now.measurements["energies"])
    arrays = write_arrays(tmp_path / "arrays", {BEFORE.get(name, name): array for name, array in kept.items()})
    plain = before(json.loads(now.to_json()), 2)
    plain["measurements"]["energies"]["arrays"] = json.loads(arrays.model_dump_json())
    path = tmp_path / "results" / "digits" / "A.json"
    write_atomically(path, json.dumps(plain).encode())
    return path


def test_every_name_of_before_has_one_of_today_and_today_keeps_its_own() -> None:
    for now, then in BEFORE.items():
        assert name_now("energies", then) == now
        assert name_now("energies", now) == now
    for name in ("marginal_energy.mean", "natural_correct", "zero_gradient", "apgd-t.delta_joint_energy.mean"):
        assert name_now("energies", name) == name
    assert name_now("generation", "joint_energy.step_5.mean") == "joint_energy.step_5.mean"
    assert name_now("smoothness", "kl_marginal") == "kl_marginal"


def test_a_record_of_version_2_is_read_as_one_of_version_3(old: Path, record_of: RecordOf, tmp_path: Path) -> None:
    record = read_record(old)
    now = record_of("A", robust=None, energies=-4.0, arrays=tmp_path / "arrays", n=100).measurements["energies"]
    found = record.measurements["energies"]
    assert found.version == 3
    assert found.values == now.values
    assert found.distributions == now.distributions
    assert unsound_arrays(tmp_path / "arrays", record) == {}
    arrays, expected = (measured_arrays(tmp_path / "arrays", one) for one in (found, now))
    assert arrays.keys() == expected.keys()
    assert all(np.array_equal(arrays[name], expected[name]) for name in arrays)


def test_the_board_and_the_charts_read_a_record_of_version_2_like_a_new_one(old: Path, tmp_path: Path) -> None:
    record = read_record(old)
    board = make_board([record], homes={(record.entrant.name, record.limit): Home(tmp_path)})
    assert board.table.iloc[0]["delta_marginal_energy_mean"] == -0.04
    assert board.entries[0].measured("energies", "pgd.accuracy") is not None
    fifths = by_energy(record, tmp_path / "arrays")
    assert fifths is not None
    assert fifths.attack == "PGD"
    assert ridges(board.entries, 5) is not None


def test_a_record_of_version_1_gets_the_names_and_keeps_its_version(old: Path) -> None:
    old.write_text(json.dumps(before(json.loads(old.read_text()), 1)))
    found = read_record(old).measurements["energies"]
    assert found.version == 1
    assert "pgd.accuracy" in found.values
    assert (version_now("energies", 2), version_now("energies", 3), version_now("standard", 2)) == (3, 3, 2)


def test_reading_and_writing_an_old_record_again_changes_it_once(old: Path, tmp_path: Path) -> None:
    record = read_record(old)
    assert write_record(tmp_path / "results", record)[1], "it gets the seal that it did not have"
    assert not write_record(tmp_path / "results", record)[1], "it finds the same: the file stays as it is"
    path, _ = write_record(tmp_path / "again", record)
    assert read_record(path) == record
