"""One seed for all measures of a run: other random numbers, kept apart from those of another seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import harness
from harness.data.datasets import digits
from harness.errors import BadInput
from harness.measures import MEASURES, Measure, RobustAccuracy
from harness.run.selection import with_seed
from harness.suites.suite import SUITES
from leaderboards.board.board import make_board
from leaderboards.records.files import read_record, record_files
from leaderboards.records.schema import Record


def record_in(out: Path) -> Record:
    (path,) = record_files(out / "results")
    return read_record(path)


def test_a_seed_from_the_command_line_is_the_one_of_python_and_of_the_measure_itself(
    harness_here, tmp_path: Path
) -> None:
    done = harness_here(
        "run", "--suite", "digits", "--entrants", "standard", "--measures", "standard,autoattack", "--limit", "4",
        "--workers", "0", "--seed", "3", "--out", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = record_in(tmp_path)
    assert {name: m.seed for name, m in record.measurements.items()} == {"standard": 3, "autoattack": 3}
    found = harness.judge("standard", "digits", ["standard", "autoattack"], limit=4, seed=3)
    assert found.record.findings() == record.findings()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        examples = digits("test").examples(0, 4)
        by_seed = [
            RobustAccuracy(seed)(harness.load("standard"), examples, SUITES["digits"].threat).arrays["x_adv"]
            for seed in (0, 3)
        ]
    finally:
        torch.set_num_threads(threads)
    (shard,) = (path for path in (tmp_path / "shards").rglob("*.safetensors") if b'"x_adv"' in path.read_bytes())
    from safetensors.numpy import load_file

    x_adv = load_file(shard)["x_adv"]
    assert (x_adv == by_seed[1]).all()
    assert (x_adv != by_seed[0]).any()


def test_numbers_of_two_seeds_stand_in_no_record_together(harness_here, tmp_path: Path) -> None:
    job = ("run", "--suite", "digits", "--entrants", "standard", "--workers", "0", "--limit", "20", "--measures")
    out = ("--out", str(tmp_path / "out"))
    assert harness_here(*job, "standard", *out).returncode == 0
    before = record_in(tmp_path / "out")
    for measures in ("standard", "energies"):  # neither in the place of the other's number, nor beside it
        refused = harness_here(*job, measures, *out, "--seed", "1")
        assert refused.returncode == 2
        (line,) = (line for line in refused.stderr.splitlines() if "error:" in line)
        assert "expected the seed of the record of 'standard' (0), got 1; name another --out for each seed" in line
    assert record_in(tmp_path / "out") == before
    assert harness_here(*job, "standard", *out, "--seed", "0").returncode == 0
    other = harness_here(*job, "standard", "--seed", "1", "--out", str(tmp_path / "other"))
    assert other.returncode == 0, other.stderr
    record = record_in(tmp_path / "other")
    assert make_board([record], limit=20).entries[0].notes[0] == "seed 1"
    page = tmp_path / "other" / "site" / "digits" / "first-20" / "standard.html"
    assert "--seed 1" in page.read_text()
    assert not any("seed" in note for note in make_board([before], limit=20).entries[0].notes)


def test_every_measure_takes_a_seed_and_none_keeps_its_own() -> None:
    assert {measure.seed for measure in with_seed(list(MEASURES.values()), 7)} == {7}
    assert with_seed([RobustAccuracy(5)], None) == [RobustAccuracy(5)]


class Fixed(Measure):
    name = "fixed"
    version = 1
    seed = 0


@pytest.mark.parametrize(
    ("measures", "seed", "part"),
    [
        ([RobustAccuracy()], -1, "expected a seed from 0 to 2147483647, got -1"),
        ([RobustAccuracy()], 2**31, "got 2147483648"),
        ([Fixed()], 1, "expected a measure that takes a seed, got fixed, a Fixed; make `seed: int = 0` a field"),
    ],
)
def test_a_seed_that_cannot_be_taken_is_one_line(measures: list[Measure], seed: int, part: str) -> None:
    with pytest.raises(BadInput) as error:
        with_seed(measures, seed)
    assert part in str(error.value)
    assert "\n" not in str(error.value)
