"""A bounded answer stands or is completed: decided over all shards of an entrant, kept in the record, never undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import harness
from harness.data.images import Examples
from harness.measures import Cost, Measure, Note, ShardResult, Summary
from harness.measures.intervals import proportion
from harness.threat import ThreatModel
from leaderboards.records.files import read_record, record_files
from leaderboards.records.schema import Measurement, Value

LIMIT = 12


class Linear(nn.Module):
    """A classifier of digits; `odd` is another one, of other weights."""

    def __init__(self, odd: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 64, generator=torch.Generator().manual_seed(int(odd))))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T


@dataclass(frozen=True)
class Looking(Measure):
    """Looks at every example, or, where `partly`, at every third; `fails` (by label) are those for which that is not enough."""

    name: ClassVar[str] = "looking"
    version: ClassVar[int] = 1
    seed: int = 0
    partly: bool = False
    fails: tuple[int, ...] = ()

    def settings(self) -> dict[str, Any]:
        return {"fails": list(self.fails), **({"bounded": True} if self.partly else {})}

    def whole(self) -> Measure | None:
        return replace(self, partly=False) if self.partly else None

    def stands(self, arrays: Mapping[str, np.ndarray]) -> bool:
        return not self.partly or not arrays["failed"].any()

    def cost(self, classes: int) -> Cost:
        return Cost(1)

    def trial(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> float:
        return 0.0

    def __call__(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
        labels = examples.y.numpy()
        seen = (labels % 3 == 0) if self.partly else np.ones(len(labels), dtype=bool)
        return ShardResult({"seen": seen, "failed": seen & np.isin(labels, self.fails)})

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        n = len(arrays["seen"])
        part = Value(value=None, low=0.5, high=1.0, n=n, reason="bounded")
        return Summary({"looked_at": part if self.partly else proportion(arrays["seen"])})


Judged = Callable[..., Measurement]


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    """Judges a linear classifier into one folder, and gives what its record then holds."""

    def judge(measure: Looking, lines: list[str] | None = None, odd: bool = False) -> Measurement:
        said: list[str] = [] if lines is None else lines
        harness.judge(
            Linear(odd), "digits", [measure], name="mine", limit=LIMIT, shard_size=4, out=tmp_path, progress=said.append
        )
        (path,) = record_files(tmp_path / "results")
        return read_record(path).measurements["looking"]

    return judge


def test_an_answer_that_stands_is_the_record_and_nothing_more_is_run(judged: Judged) -> None:
    lines: list[str] = []
    found = judged(Looking(partly=True), lines)
    assert found.bounded
    assert len(lines) == 3
    judged(Looking(partly=True), lines := [])
    assert lines == []


def test_one_example_of_one_shard_sends_all_shards_to_the_end(judged: Judged) -> None:
    lines: list[str] = []
    found = judged(Looking(partly=True, fails=(3,)), lines)
    assert not found.bounded
    assert found.values["looked_at"].value == 1.0
    assert "bounded" not in found.settings
    assert [line for line in lines if "looking is completed" in line]
    assert len([line for line in lines if line.startswith("looking")]) == 6
    again: list[str] = []
    assert judged(Looking(partly=True, fails=(3,)), again) == found
    assert again == []


def test_the_complete_measure_takes_the_place_of_the_bounded_one_and_never_the_other_way_round(judged: Judged) -> None:
    assert judged(Looking(partly=True)).bounded
    complete = judged(Looking())
    assert not complete.bounded
    lines: list[str] = []
    assert judged(Looking(partly=True), lines) == complete
    assert lines == []


def test_a_complete_record_without_its_shards_is_not_lost_to_a_bounded_one(judged: Judged, tmp_path: Path) -> None:
    complete = judged(Looking())
    for shard in (tmp_path / "shards").rglob("*.safetensors"):
        shard.unlink()
    assert judged(Looking(partly=True)) == complete
