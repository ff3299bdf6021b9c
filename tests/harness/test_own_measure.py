"""A measure of the user's own: named on the command line, measured by workers, in the record like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from leaderboards.records.files import read_record, record_files

MODULE = """
from dataclasses import dataclass

from harness.measures import Cost, Measure, ShardResult, Summary
from harness.measures.intervals import mean
from leaderboards.records.schema import Quantity


@dataclass(frozen=True)
class Confidence(Measure):
    name = "confidence"
    version = 1
    seed: int = 0

    def settings(self):
        return {}

    def quantities(self):
        return {"confidence": Quantity(title="Confidence", unit="fraction", kind="headline", better="higher")}

    def cost(self, classes):
        return Cost(forward=1)

    def trial(self, model, examples, threat):
        return 0.0

    def __call__(self, model, examples, threat):
        return ShardResult({"largest": model(examples.x).softmax(1).amax(1).detach().cpu().numpy()})

    def summarise(self, arrays, notes):
        return Summary({"confidence": mean(arrays["largest"])})


class Standard(Confidence):
    name = "standard"


def broken():
    raise ZeroDivisionError("of its own")


def nothing():
    return 3
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_measure_from_a_module_of_the_working_directory_is_measured_and_recorded(
    harness_here, tmp_path: Path, workers: str
) -> None:
    Path(f"my_measures_{workers}.py").write_text(MODULE)
    done = harness_here(
        "run", "--suite", "digits", "--entrants", "sat", "--limit", "6", "--workers", workers, "--out", str(tmp_path / "out"),
        "--measures", f"my_measures_{workers}:Confidence,standard",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = record_files(tmp_path / "out" / "results")
    found = read_record(path).measurements["confidence"]
    assert found.n == 6
    assert 0.1 < found.values["confidence"].value <= 1
    assert found.quantities["confidence"].title == "Confidence"
    page = (tmp_path / "out" / "site" / "digits" / "first-6" / "index.html").read_text()
    assert "Confidence" in page


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("my_wrong:Nothing", "did you mean nothing"),
        ("my_wrong:nothing", "got a int"),
        ("my_wrong:broken", "ZeroDivisionError: of its own"),
        ("my_wrong:Standard", "expected a name of its own"),
        ("no_module:Mine", "and there is none"),
        ("my_wrong:not a name", "write it as my_module:mine"),
        ("confidenc", "name your own as my_module:Mine"),
    ],
)
def test_a_measure_that_is_none_is_one_line(harness_here, spec: str, line: str) -> None:
    Path("my_wrong.py").write_text(MODULE)
    done = harness_here("run", "--suite", "digits", "--entrants", "sat", "--measures", spec)
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
