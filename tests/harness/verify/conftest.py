"""A home with one record that proves something, made once; a test gets a copy that it may spoil."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
import zoo
from harness.verify.claims import Claims
from harness.verify.figures import measure_of
from harness.verify.verdict import Verdict
from harness.verify.verification import Verifying
from leaderboards.records.arrays import read_arrays, write_arrays
from leaderboards.records.files import read_record
from leaderboards.records.home import Home
from leaderboards.records.schema import SEAL, Record, seal_of
from leaderboards.records.witnesses import read_witnesses, write_witnesses

SHIPPED = Path(zoo.__file__).parent / "digits"
LIMIT = 12


@dataclass(frozen=True)
class Place:
    """A working directory: the entrant `mine` in zoo/digits, its record in runs/."""

    root: Path
    limit: int | None = LIMIT

    @property
    def home(self) -> Home:
        return Home(self.root / "runs")

    @property
    def file(self) -> Path:
        folder = self.home.results / "digits"
        return (folder / f"partial-{self.limit}" if self.limit else folder) / "mine.json"

    @property
    def weights(self) -> Path:
        return self.root / "zoo" / "digits" / "mine.safetensors"

    @property
    def record(self) -> Record:
        return read_record(self.file)

    def plain(self) -> dict[str, Any]:
        return json.loads(self.file.read_text())

    def write(self, plain: dict[str, Any], *, sealed: bool = True) -> None:
        """Write the record's file as the harness would, with a seal that fits it, or with the one that it has."""
        rest = {key: held for key, held in plain.items() if key != SEAL}
        seal = seal_of(rest) if sealed else plain.get(SEAL)
        self.file.write_text(json.dumps({**rest, SEAL: seal}, indent=1, ensure_ascii=False) + "\n")

    def edit(self, change: Callable[[dict[str, Any]], None], *, sealed: bool = True) -> None:
        plain = self.plain()
        change(plain)
        self.write(plain, sealed=sealed)

    def withheld(self, part: slice = slice(None)) -> np.ndarray:
        """Hide these witnesses: the record then says too much, and agrees with itself. Returns their examples."""
        attacked = self.record.measurements["autoattack"]
        found = read_witnesses(self.home.witnesses, attacked.witnesses)
        hidden = found.examples[part]
        arrays = {name: array.copy() for name, array in read_arrays(self.home.arrays, attacked.arrays).items()}
        arrays["stage"][hidden], arrays["reached"][hidden] = 4, 4
        made = attacked.model_copy(
            update={
                "values": dict(measure_of(attacked).summarise(arrays, ()).values),
                "arrays": write_arrays(self.home.arrays, arrays),
                "witnesses": write_witnesses(self.home.witnesses, found.of(np.setdiff1d(found.examples, hidden))),
            }
        )
        self.edit(lambda plain: plain["measurements"].update(autoattack=made.model_dump(mode="json")))
        return hidden

    def verifying(self, **more: Any) -> Verifying:
        return Verifying(
            Claims(self.root / "data", self.root / "models"), torch.device("cpu"), **{"mark": False, **more}
        )

    def verdict(self, **more: Any) -> Verdict:
        return self.verifying(**more)(self.file)


def _made(root: Path, *measures: str, limit: int | None = LIMIT) -> Place:
    """Trained robustly enough to be broken on some of the first digits, and not on others."""
    own = root / "zoo" / "digits"
    own.mkdir(parents=True)
    shutil.copy(SHIPPED / "sat.safetensors", own / "mine.safetensors")
    card = json.loads((SHIPPED / "sat.json").read_text())
    (own / "mine.json").write_text(json.dumps({**card, "name": "mine"}))
    before = Path.cwd()
    os.chdir(root)
    try:
        harness.judge("mine", "digits", list(measures), limit=limit, out=root / "runs", device="cpu")
    finally:
        os.chdir(before)
    shutil.rmtree(root / "runs" / "shards")
    return Place(root, limit)


@pytest.fixture(scope="session")
def _proved(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return _made(tmp_path_factory.mktemp("proved"), "standard", "autoattack")


@pytest.fixture(scope="session")
def _all_proved(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return _made(tmp_path_factory.mktemp("all"), "standard", "autoattack", "energies", "smoothness")


def _copied(made: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    shutil.copytree(made.root, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return Place(tmp_path / "place", made.limit)


@pytest.fixture
def place(_proved: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A record of standard and autoattack, and its entrant; the working directory."""
    return _copied(_proved, tmp_path, monkeypatch)


@pytest.fixture
def unlimited_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A record of the whole suite."""
    made = _made(tmp_path / "place", "standard", "autoattack", limit=None)
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def whole_place(_all_proved: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The same with energies and smoothness."""
    return _copied(_all_proved, tmp_path, monkeypatch)
