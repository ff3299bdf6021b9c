"""Killed at any moment: the same command afterwards ends well and leaves what an undisturbed one leaves, nothing torn."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from leaderboards.records.arrays import unsound_arrays
from leaderboards.records.files import read_record, record_files

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = 5
"""Of each of the four verbs."""

VERBS = {
    "run": (
        "run", "--suite", "digits", "--entrants", "sat", "--limit", "8", "--shard-size", "4", "--workers", "2",
        "--measures", "standard,autoattack,energies",
    ),
    "train": ("train", "--suite", "digits", "--recipe", "sat", "--epochs", "4", "--name", "mine"),
    "check": (
        "check", "--suite", "digits", "--entrant", "sat", "--margin", "0.9", "--json",
        "--baseline", str(ROOT / "baselines" / "digits" / "weat-adv.safetensors"),
    ),
    "render": ("render",),
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a command ended, what it left, and how long it took."""

    status: int
    left: object
    seconds: float


def begin(verb: str, place: Path) -> subprocess.Popen[bytes]:
    place.mkdir(exist_ok=True)
    if verb == "render" and not (place / "results").exists():
        for part in ("results", "arrays"):
            shutil.copytree(ROOT / "leaderboards" / part, place / part)
    where = "--cache" if verb == "check" else "--out"
    command = [sys.executable, "-m", "harness", *VERBS[verb], where, str(place)]
    with (place.parent / "said").open("wb") as said:
        return subprocess.Popen(
            command, cwd=place.parent, stdout=said, stderr=subprocess.DEVNULL, start_new_session=True
        )


def left(verb: str, place: Path) -> object:
    """What a command left: less times, and less what an editor would hide."""
    if verb == "check":
        gates = json.loads((place.parent / "said").read_text())["gates"]
        # shards that were whole before the kill are read as one, and then no stage of theirs is named
        return [{key: said for key, said in gate.items() if key not in ("stage", "statement")} for gate in gates]
    if verb == "run":
        records = [read_record(path) for path in record_files(place / "results")]
        assert not any(unsound_arrays(place / "arrays", record) for record in records)
        return [record.findings() for record in records]
    files = (place / "site").rglob("*") if verb == "render" else place.rglob("*.safetensors")
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and not path.name.startswith(".")
    }


def ended(verb: str, place: Path) -> Ended:
    start = time.monotonic()
    status = begin(verb, place).wait(timeout=600)
    return Ended(status, left(verb, place), time.monotonic() - start)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ended]:
    return cache(lambda verb: ended(verb, tmp_path_factory.mktemp(verb) / "out"))


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("verb", VERBS)
def test_the_same_command_after_a_kill_leaves_what_an_undisturbed_one_does(
    undisturbed: Callable[[str], Ended], tmp_path: Path, verb: str, moment: int
) -> None:
    whole = undisturbed(verb)
    assert whole.status == 0
    assert whole.left
    process = begin(verb, tmp_path / "out")
    # the first half is mostly imports: most moments lie behind it
    time.sleep(whole.seconds * random.Random(f"{verb} {moment}").uniform(0.3, 1))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = ended(verb, tmp_path / "out")
    assert again.status == 0
    assert again.left == whole.left
