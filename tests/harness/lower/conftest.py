"""A suite of grey images and classifiers by their mean, whose every answer is known; and records of them, made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.data.images import ImageSet
from harness.measures.intervals import proportion
from harness.provenance import provenance
from harness.run.findings import suite_info
from harness.run.plan import Judged, make_plan
from harness.suites.suite import Suite
from leaderboards.records.arrays import write_arrays
from leaderboards.records.files import write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import EntrantInfo, Measurement, Record
from leaderboards.records.witnesses import packed, write_witnesses
from zoo.in_memory import in_memory

MEANS = (0.45, 0.45, 0.42, 0.3, 0.45, 0.48, 0.2, 0.41)
"""Of the images. Within 0.1 of all but the fourth and the seventh there is one that is bright: above 0.5."""

SUITE = Suite("greys", 1, "Greys", "greys", 2, (1, 2, 2), "Linf", "0.1", shard_size=4)


class Brighter(nn.Module):
    """Class 1 where the mean of an image is above `line`, else class 0; the margin is twice the distance."""

    def __init__(self, line: float = 0.5) -> None:
        super().__init__()
        self.line = line

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.flatten(1).mean(1) - self.line
        return torch.stack([-mean, mean], 1)


def greys(means: tuple[float, ...] = MEANS) -> ImageSet:
    """All of class 0, dark."""
    images = torch.tensor(means).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()
    return ImageSet("greys", "test", images, torch.zeros(len(means), dtype=torch.int64), ("dark", "bright"), "here")


def judged(name: str, model: nn.Module | None = None) -> Judged:
    entrant = in_memory(model or Brighter(), name)
    return Judged(entrant, entrant.weights(), greys())


def shifted(by: float | np.ndarray, examples: np.ndarray | None = None) -> np.ndarray:
    """The images (n, 1, 2, 2) of these examples, brighter by so much."""
    x = greys().images.numpy()
    x = x if examples is None else x[examples]
    return x + np.asarray(by, np.float32).reshape(-1, 1, 1, 1)


def recorded(home: Home, of: Judged, broken: Mapping[int, float | np.ndarray], suite: Suite = SUITE) -> Record:
    """A record whose AutoAttack broke these examples, by adding so much to each; and its bundle."""
    plan = make_plan(suite, [of], [], precision="fp32", device="cpu")
    examples = np.array(sorted(broken), np.int64)
    stage = np.full(len(of.images), 4, np.int8)
    stage[examples] = 0
    x = greys().images.numpy()[examples]
    x_adv = np.stack([x[row] + np.float32(broken[int(k)]) for row, k in enumerate(examples)]) if len(x) else x
    found = packed(examples, x, x_adv)
    measurement = Measurement(
        measure="autoattack",
        version=2,
        n=len(stage),
        seed=0,
        settings={"stages": ["apgd-ce", "apgd-t", "fab-t", "square"]},
        values={"autoattack_accuracy": proportion(stage == 4)},
        arrays=write_arrays(home.arrays, {"stage": stage, "reached": np.minimum(stage + 1, 4).astype(np.int8)}),
        witnesses=write_witnesses(home.witnesses, found),
        seconds=0.1,
        provenance=provenance(torch.device("cpu"), "fp32"),
    )
    entrant = EntrantInfo(
        name=of.name, spec=of.entrant.spec, source="memory", parameters=0, weights_sha256=of.weights.sha256
    )
    record = Record(suite=suite_info(plan, of), entrant=entrant, measurements={"autoattack": measurement})
    write_record(home.results, record)
    return record


def files(root: Path) -> dict[str, bytes]:
    """Every file below a folder but locks."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


class Greys:
    """All of the above, for tests, which cannot import it."""

    suite, model = SUITE, Brighter
    images = staticmethod(greys)
    judged = staticmethod(judged)
    shifted = staticmethod(shifted)
    recorded = staticmethod(recorded)
    files = staticmethod(files)


@pytest.fixture(name="greys", scope="session")
def of_greys() -> type[Greys]:
    return Greys
