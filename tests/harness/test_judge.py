"""Judging from Python: the numbers of the command line, for any module, with nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import harness
from harness.data.datasets import digits
from harness.measures import StandardAccuracy
from harness.run.store import Store
from leaderboards.records.files import read_record, record_files


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Shifted(nn.Module):
    """A linear classifier of digits whose answer an attribute decides."""

    def __init__(self, shift: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(10, 64, generator=generator))
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.weight.T).roll(self.shift, 1)


def test_a_module_in_memory_gets_the_numbers_that_its_checkpoint_gets_from_the_command_line(
    harness_here, tmp_path: Path
) -> None:
    done = harness_here(
        "run", "--suite", "digits", "--entrants", "standard", "--measures", "standard,autoattack", "--limit", "12",
        "--workers", "0", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = record_files(tmp_path / "out" / "results")
    record = read_record(path)
    found = harness.judge(harness.load("standard"), "digits", ["standard", "autoattack"], limit=12, name="mine")
    for measure, measurement in record.measurements.items():
        assert found.measurement(measure).values == measurement.values
        assert found.measurement(measure).arrays == measurement.arrays
    assert found.record.entrant.name == "mine"
    assert float(found.value("autoattack_accuracy")) == found.correct("autoattack").mean()
    labels = digits("test").labels[:12]
    predicted = harness.load("standard")(digits("test").examples(0, 12).x).argmax(1)
    assert found.correct("standard").tolist() == (predicted == labels).tolist()


def test_nothing_is_left_behind_and_nothing_is_said_unless_it_is_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    threads, seed = torch.get_num_threads(), torch.initial_seed()
    harness.judge(Shifted(), "digits", ["standard"], limit=5)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert (torch.get_num_threads(), torch.initial_seed()) == (threads, seed)
    lines: list[str] = []
    harness.judge(Shifted(), "digits", ["standard"], limit=5, progress=lines.append)
    assert [line.partition(":")[0] for line in lines] == ["standard 0-5"]


def test_the_same_call_again_measures_nothing_and_other_tensors_or_attributes_are_another_entrant(
    tmp_path: Path,
) -> None:
    def shards_after(model: nn.Module) -> int:
        harness.judge(model, "digits", ["standard"], limit=5, out=tmp_path / "kept", name=f"{id(model)}")
        return len(list((tmp_path / "kept" / "shards").rglob("*.safetensors")))

    assert shards_after(Shifted()) == 1
    assert shards_after(Shifted()) == 1, "the same network"
    assert shards_after(Shifted(shift=1)) == 2
    changed = Shifted()
    with torch.no_grad():
        changed.weight[0, 0] += 1
    assert shards_after(changed) == 3


def test_a_function_is_judged_and_never_taken_for_another(tmp_path: Path) -> None:
    weight = torch.randn(10, 64, generator=torch.Generator().manual_seed(0))

    def by_hand(x: Tensor) -> Tensor:
        return x.flatten(1) @ weight.T

    first, second = (
        harness.judge(function, "digits", ["standard"], limit=20, out=tmp_path / str(n))
        for n, function in enumerate((by_hand, lambda x: by_hand(x).roll(1, 1)))
    )
    assert first.record.entrant.name == "by_hand"
    module = harness.judge(Shifted(), "digits", ["standard"], limit=20)
    assert first.correct("standard").tolist() == module.correct("standard").tolist()
    assert first.record.entrant.weights_sha256 != second.record.entrant.weights_sha256


def test_worker_processes_give_the_same_numbers() -> None:
    model = harness.load("trades")
    here, there = (
        harness.judge(model, "digits", ["standard", "energies"], limit=8, shard_size=4, workers=n) for n in (0, 1)
    )
    assert here.record.findings() == there.record.findings()


def test_a_model_that_cannot_be_sent_to_workers_is_one_line() -> None:
    with pytest.raises(harness.BadInput, match="workers 0"):
        harness.judge(lambda x: x.flatten(1)[:, :10], "digits", ["standard"], limit=4, workers=1)


def test_a_measure_given_as_an_object_is_taken_as_it_is() -> None:
    found = harness.judge(Shifted(), "digits", [StandardAccuracy(seed=3)], limit=5)
    assert found.measurement("standard").seed == 3


def test_a_frame_has_a_row_a_value_with_its_interval() -> None:
    found = harness.judge(Shifted(), "digits", ["standard"], limit=50)
    row = found.to_frame().set_index("name").loc["standard_accuracy"]
    value = found.value("standard_accuracy")
    assert (row["value"], row["low"], row["high"], row["n"]) == (value.value, value.low, value.high, 50)
    assert str(value) == f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}], n = 50"
    assert np.isnan(float(value.model_copy(update={"value": None})))


@pytest.mark.parametrize(
    ("ask", "line"),
    [
        (lambda found: found.value("autoattack"), "got 'autoattack'"),
        (lambda found: found.value("standard_accurac"), "did you mean standard_accuracy"),
        (lambda found: found.arrays("energies"), "got 'energies'"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(ask, line: str) -> None:
    found = harness.judge(Shifted(), "digits", ["standard"], limit=5)
    with pytest.raises(harness.BadInput, match=line):
        ask(found)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(63, 10)), "to take images of 1x8x8"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "expected 10 logits an image, got 3"),
        ("no-such-entrant", "expected an entrant of digits"),
        (3, "expected a torch.nn.Module"),
    ],
)
def test_a_model_that_does_not_fit_is_one_line(model: object, line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        harness.judge(model, "digits", ["standard"], limit=5)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_an_error_of_the_models_own_code_is_named() -> None:
    class Fragile(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 2:
                raise ZeroDivisionError("of its own")
            return x.flatten(1)[:, :10]

    with pytest.raises(harness.NotMeasured, match="ZeroDivisionError: of its own"):
        harness.judge(Fragile(), "digits", ["standard"], limit=5)


def test_shards_of_a_judged_model_serve_a_later_limit(tmp_path: Path) -> None:
    for limit in (5, 10):
        harness.judge(Shifted(), "digits", ["standard"], limit=limit, shard_size=5, out=tmp_path / "kept")
    keys = {path.stem for path in (tmp_path / "kept" / "shards").rglob("*.safetensors")}
    assert len(keys) == 2
    assert all(Store(tmp_path / "kept" / "shards").has(key) for key in keys)


def test_importing_the_package_imports_neither_torch_nor_numpy() -> None:
    program = (
        "import harness, sys; dir(harness); print(sorted({'torch', 'numpy', 'pandas', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_suites_are_a_function_and_a_package() -> None:
    import harness.suites.suite

    assert harness.suites()["digits"] is harness.suites.suite.SUITES["digits"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        harness.nothing  # noqa: B018
