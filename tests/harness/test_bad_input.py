"""Bad input: one clear line, exit status 2, no traceback, and the entrants that are well are judged all the same."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from harness.suites.suite import SUITES
from leaderboards.records.files import read_record
from zoo.architectures import build

RUN = ("run", "--suite", "digits", "--entrants", "standard", "--measures", "standard", "--limit", "20")


def replaced(**options: str) -> list[str]:
    """The good command above with some options changed."""
    arguments = list(RUN)
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if flag in arguments:
            arguments[arguments.index(flag) + 1] = value
        else:
            arguments += [flag, value]
    return arguments


def refused(result, *parts: str) -> None:
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for part in ("expected", "got", *parts):
        assert part in lines[0], lines[0]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"suite": "digit"}, ["did you mean digits"]),
        ({"entrants": "standrad"}, ["did you mean standard"]),
        ({"entrants": "robustbench:Standard"}, ["digits"]),
        ({"measures": "autoatack"}, ["did you mean autoattack"]),
        ({"limit": "0"}, ["--limit of at least 1", "got 0"]),
        ({"limit": "-3"}, ["--limit of at least 1"]),
        ({"shard_size": "0"}, ["--shard-size of at least 1"]),
        ({"workers": "-1"}, ["--workers of at least 0", "got -1"]),
        ({"device": "tpu"}, ["--device auto, cpu, cuda"]),
        ({"device": "cuda:7"}, ["usable here"]),
        ({"measures": ""}, ["--measures"]),
        ({"entrants": ","}, ["--entrants"]),
        ({"out": "."}, ["--out"]),
        ({"suite": "cifar10", "entrants": "python:zoo.pyautoattack:resnet18"}, ["data", "put it there"]),
        ({"suite": "svhn", "entrants": "checkpoint:nowhere.pt@resnet-18"}, ["nowhere.pt"]),
    ],
)
def test_a_wrong_word_is_one_line(harness_here, tmp_path: Path, options: dict[str, str], parts: list[str]) -> None:
    refused(harness_here(*replaced(**{"out": str(tmp_path / "out"), **options})), *parts)


def test_a_wrong_suite_file_is_one_line(harness_here, tmp_path: Path) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text('base = "digits"\nname = "mine"\nepsilon = 0.1\n')
    refused(harness_here(*replaced(suite=str(suite))), "'epsilon'", "did you mean")
    suite.write_text('base = "digits"\nname = "mine"\neps = -0.1\n')
    refused(harness_here(*replaced(suite=str(suite))), "eps >= 0")


@pytest.mark.parametrize("out", ["/proc/nowhere", "a-file"])
def test_an_out_that_cannot_be_written_is_one_line(harness_here, tmp_path: Path, out: str) -> None:
    (tmp_path / "a-file").write_text("here already")
    refused(harness_here(*replaced(out=out if out.startswith("/") else str(tmp_path / out))), "--out", "name another")


@pytest.mark.parametrize("wrong", [("--speed", "fast"), ("--workers", "many")])
def test_an_option_that_is_none_is_one_line(harness_here, wrong: tuple[str, str]) -> None:
    result = harness_here(*RUN, *wrong)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


class Code:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Checkpoints and callables with one thing wrong each."""
    place = tmp_path / "entrants"
    place.mkdir()
    (place / "page.pt").write_text("<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>")
    torch.save(build("resnet-18", 10, (3, 32, 32)).state_dict(), place / "other.pt")
    with (place / "code.pt").open("wb") as stream:
        pickle.dump({"state_dict": Code(tmp_path / "ran")}, stream)
    torch.save({"state_dict": Code(tmp_path / "ran")}, place / "code-in-zip.pt")
    (place / "mine.py").write_text(
        "import os\n"
        "import numpy\n"
        "import torch\n"
        "from torch import nn\n"
        "from zoo.architectures import build\n"
        "class Poisoned(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1)[:, :10] * float('nan')\n"
        "class Flat(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1)\n"
        "class Pair(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1)[:, :10], x\n"
        "class InPlace(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.sub_(0.5).flatten(1)[:, :10]\n"
        "class Exploding(nn.Module):\n"
        "    def forward(self, x):\n"
        "        if len(x) > 2: raise OSError('the disk is on fire')\n"
        "        return x.flatten(1)[:, :10]\n"
        "class Dying(nn.Module):\n"
        "    def forward(self, x):\n"
        "        if len(x) > 2: os._exit(7)\n"
        "        return x.flatten(1)[:, :10]\n"
        "class LateInPlace(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return (x.sub_(0.5) if len(x) > 2 else x).flatten(1)[:, :10]\n"
        "class Noisy(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return nn.functional.dropout(x.flatten(1)[:, :40], 0.5).unflatten(1, (4, 10)).sum(1)\n"
        "class Scaled(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.weight = nn.Parameter(torch.from_numpy(numpy.random.default_rng().random((64, 10))).float())\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1) @ self.weight\n"
        "def late_in_place(): return LateInPlace()\n"
        "def noisy(): return Noisy()\n"
        "def built_anew(): return Scaled()\n"
        "def nan(): return Poisoned()\n"
        "def flat(): return Flat()\n"
        "def pair(): return Pair()\n"
        "def in_place(): return InPlace()\n"
        "def exploding(): return Exploding()\n"
        "def dying(): return Dying()\n"
        "def colour(): return build('resnet-18', 10, (3, 32, 32))\n"
    )
    return place


BAD = {
    "checkpoint:page.pt@digits-cnn": ["page:", "web page"],
    "checkpoint:other.pt@digits-cnn": ["other:", "digits-cnn"],
    "checkpoint:code.pt@digits-cnn": ["code:", "--allow-pickle"],
    "checkpoint:code-in-zip.pt@digits-cnn": ["code-in-zip:", "--allow-pickle"],
    "checkpoint:absent.pt@digits-cnn": ["absent:", "no file"],
    "python:mine:nan": ["mine.nan:", "finite logits", "NaN"],
    "python:mine:flat": ["mine.flat:", "(2, 10)", "(2, 64)"],
    "python:mine:pair": ["mine.pair:", "tuple"],
    "python:mine:built_anew": ["mine.built_anew:", "other weights"],
    "python:mine:late_in_place": ["mine.late_in_place, ", "changed in place"],
    "python:mine:in_place": ["mine.in_place:", "changed in place"],
    "python:mine:colour": ["mine.colour:", "(1, 8, 8)"],
    "python:mine:absent": ["mine.absent:", "absent"],
    "python:not_there:absent": ["not_there.absent:", "not_there"],
}


def test_bad_entrants_are_one_line_each_and_do_not_stop_the_others(harness_here, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = harness_here(*replaced(entrants=",".join([*BAD, "standard"]), out=str(out)), cwd=files)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(lines) == len(BAD), result.stderr
    for parts in BAD.values():
        (line,) = [line for line in lines if f"error: {parts[0]}" in line]
        assert all(part in line for part in ("expected", "got", *parts)), line
    assert not (tmp_path / "ran").exists(), "code from a pickle was run"
    assert [path.stem for path in (out / "results").rglob("*.json")] == ["standard"]


def test_an_entrant_that_writes_into_its_images_spoils_nobody_elses_numbers(
    harness_here, files: Path, tmp_path: Path
) -> None:
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    here = {"measures": "standard,energies", "limit": "8", "workers": "0"}
    harness_here(*replaced(**here, out=str(alone)))
    entrants = "python:mine:late_in_place,python:mine:in_place,standard"
    harness_here(*replaced(**here, out=str(beside), entrants=entrants), cwd=files)
    found = [read_record(next((out / "results").rglob("standard.json"))).findings() for out in (alone, beside)]
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_randomised_entrant_gives_the_same_numbers_on_any_number_of_workers(
    harness_here, files: Path, tmp_path: Path
) -> None:
    job = replaced(entrants="python:mine:noisy", measures="standard,energies", limit="10", shard_size="5")
    for workers in ("0", "2"):
        assert harness_here(*job, "--workers", workers, "--out", str(tmp_path / workers), cwd=files).returncode == 0
    found = [read_record(next((tmp_path / w / "results").rglob("*.json"))).findings() for w in ("0", "2")]
    assert found[0] == found[1]


def test_an_entrant_that_crashes_is_a_failed_task_and_named(harness_here, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = harness_here(
        *replaced(entrants="python:mine:exploding,python:mine:dying,standard", out=str(out)), cwd=files
    )
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(lines) == 2
    assert any("mine.exploding" in line and "the disk is on fire" in line for line in lines)
    assert any("mine.dying" in line and "status 7" in line for line in lines)
    assert "Traceback" not in result.stderr
    assert [path.stem for path in (out / "results").rglob("*.json")] == ["standard"]


def test_images_outside_the_unit_range_are_one_line(harness_here, tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "data" / "loud").mkdir(parents=True)
    np.savez(tmp_path / "data" / "loud" / "test.npz", image=np.full((4, 8, 8, 1), 16.0), label=np.arange(4))
    result = harness_here(*replaced(data_dir=str(tmp_path / "data"), dataset="loud", out=str(tmp_path / "out")))
    refused(result, "images in [0,1]", "16")


def test_part_of_a_data_set_does_not_pass_for_all_of_it(harness_here, tmp_path: Path) -> None:
    from PIL import Image

    for k in range(10):
        place = tmp_path / "data" / "cifar10" / "test" / f"class-{k}"
        place.mkdir(parents=True)
        Image.new("RGB", (32, 32), (k, k, k)).save(place / "0.png")
    job = (
        "run",
        "--suite",
        "cifar10",
        "--entrants",
        "python:zoo.pyautoattack:resnet18",
        "--data-dir",
        str(tmp_path / "data"),
    )
    refused(harness_here(*job, "--out", str(tmp_path / "out")), "10000 examples", "got 10")


def test_a_record_does_not_mix_precisions_or_shard_sizes(harness_here, tmp_path: Path) -> None:
    here = {"out": str(tmp_path / "out"), "workers": "0"}
    assert harness_here(*replaced(**here)).returncode == 0
    for changed in ({"precision": "bf16"}, {"shard_size": "10"}):
        other = harness_here(*replaced(measures="energies", **here, **changed))
        refused(other, "settings", "fp32 on cpu in shards of 100")
    assert harness_here(*replaced(shard_size="10", **here)).returncode == 0, "all that it has may be measured again"


def test_every_suite_has_a_name_for_each_measure_that_exists() -> None:
    from harness.measures import MEASURES

    assert all(set(suite.measures) <= set(MEASURES) for suite in SUITES.values())
