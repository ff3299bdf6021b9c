"""The reusable workflow, its steps run one by one in a repository of a user's: a folder, `git init`, a model, a baseline.

Most tests run a double of `harness`, which says what it was asked for; the others, slow but for one, run `harness` itself. pip
is a double everywhere.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

from harness.check.baseline import from_record, write_baseline
from leaderboards.records.files import read_record

ROOT = Path(__file__).resolve().parents[2]
LEADERBOARDS = ROOT / "leaderboards"
WORKFLOW = "robust-accuracy.yml"
GIVEN = {"suite": "digits", "entrant": "checkpoint:models/mine.safetensors@digits-cnn", "baseline": "baselines"}

DOUBLE = """
echo "$@" > "$ASKED"
while [ $# -gt 0 ]; do
  case $1 in
    --cache) cache=$2 ;; --data-dir) data=$2 ;; --junit) junit=$2 ;; --lost) lost=$2 ;;
  esac
  shift
done
mkdir -p "$data" && echo images > "$data/images"
ls "$cache" > "$ASKED.found"
echo shard >> "$cache/shard-$(ls "$cache" | wc -l | tr -d ' ')"
if [ "$ENDS" = never ]; then
  trap 'sleep 0.2; echo part > "$cache/part"; exit 143' TERM
  touch "$ASKED.begun"
  while true; do sleep 0.02; done
fi
echo cases > "$junit"
echo examples > "$lost"
exit "$ENDS"
"""
"""Measures a shard, fetches data, writes its reports, and ends as it is told; told `never`, it goes on until it is cut off."""


@pytest.fixture
def check(runner, double: Callable[[str], None], tmp_path: Path) -> Callable[..., Any]:
    """Run the workflow with a double of `harness` that ends with a status."""
    double(DOUBLE)
    asked = tmp_path / "asked"

    def run(ends: int | str, **inputs: Any) -> Any:
        runner.variables = {**runner.variables, "ASKED": str(asked), "ENDS": str(ends)}
        (tmp_path / "asked.begun").unlink(missing_ok=True)
        stop = (tmp_path / "asked.begun").exists if ends == "never" else None
        return runner(WORKFLOW, {**GIVEN, **{name.replace("_", "-"): value for name, value in inputs.items()}}, stop)

    return run


def found(tmp_path: Path) -> list[str]:
    """The shards that the double had when it began."""
    return (tmp_path / "asked.found").read_text().split()


def changes(runner) -> str:
    return subprocess.run(
        ["git", "status", "--porcelain", "--ignored"], cwd=runner.workspace, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(("status", "result"), [(0, "success"), (1, "failure"), (2, "failure"), (3, "failure")])
def test_however_a_check_ends_its_shards_and_reports_are_kept(
    check: Callable[..., Any], runner, tmp_path: Path, status: int, result: str
) -> None:
    job = check(status)
    assert (job.status, job["Check"].outcome) == (result, result), job["Check"].said
    (artifact,) = (runner.kept / "artifacts").iterdir()
    assert sorted(path.name for path in artifact.iterdir()) == ["junit.xml", "lost.tsv"]
    assert check(status).status == result
    assert found(tmp_path) == ["shard-0"], "the next run has what the first one measured"
    assert changes(runner) == "", "nothing is left in the working tree"


def test_an_undecided_check_may_pass(check: Callable[..., Any]) -> None:
    assert check(3, allow_undecided=True).status == "success"
    assert check(1, allow_undecided=True).status == "failure"


def test_a_check_that_is_cut_off_writes_what_it_has_and_the_next_run_goes_on(
    check: Callable[..., Any], runner, tmp_path: Path
) -> None:
    job = check("never")
    assert (job.status, job["Check"].outcome) == ("cancelled", "cancelled")
    assert "::warning title=robust accuracy::The check was cut off." in job["Check"].said
    assert check(0).status == "success"
    assert found(tmp_path) == ["part", "shard-0"], "also what was written after the signal"
    assert changes(runner) == ""


def test_what_was_fetched_is_saved_once_and_found_again(check: Callable[..., Any], runner, installed) -> None:
    first, second = check(1), check(1)
    assert [step.outcome for step in first.of("actions/cache/save")] == ["success"] * 3, "pip, shards and data"
    assert [step.outcome for step in second.of("actions/cache/save")] == ["skipped", "success", "skipped"]
    assert first.of("actions/cache/save")[2].given["path"].endswith("/fetched")
    other = check(1, suite="cifar10").of("actions/cache/restore")
    assert len({step.given["key"] for step in (*other, *second.of("actions/cache/restore"))}) == 5, "pip's is shared"


def test_two_entrants_of_one_workflow_share_neither_key_nor_artifact(check: Callable[..., Any]) -> None:
    jobs = [check(0), check(0, entrant="python:my_models:robust")]
    names = {step.given["name"] for job in jobs for step in job.of("actions/upload-artifact")}
    assert len(names) == 2
    assert all("/" not in name and ":" not in name for name in names)


@pytest.mark.parametrize(
    ("inputs", "driver", "torch"),
    [
        ({}, False, "install torch torchvision --index-url https://download.pytorch.org/whl/cpu"),
        ({}, True, None),
        ({"torch_index": ""}, False, None),
        ({"torch_index": "https://mirror.example.org/cu129"}, True,
         "install torch torchvision --index-url https://mirror.example.org/cu129"),
    ],
)  # fmt: skip
def test_torch_is_its_cpu_build_where_there_is_no_gpu(
    check: Callable[..., Any], installed: Callable[[], list[str]], binaries: Path, inputs: dict[str, str], driver: bool,
    torch: str | None,
) -> None:  # fmt: skip
    if driver:
        (binaries / "nvidia-smi").symlink_to("/bin/true")
    elif shutil.which("nvidia-smi"):
        pytest.skip("this machine has an NVIDIA driver")
    package = "robust-energy-harness @ git+https://example.org/it"
    assert check(0, package=package, **inputs).status == "success"
    assert installed() == [*([torch] if torch else []), f"install {package}"]


def test_what_a_caller_gives_reaches_the_check_whole(check: Callable[..., Any], tmp_path: Path) -> None:
    job = check(0, margin="0.02", options="--data-dir data\n--workers 1", prepare="touch 'a b'; rm 'a b'")
    assert job.status == "success"
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith(
        f"check --suite digits --entrant {GIVEN['entrant']} --baseline baselines --alpha 0.05 --margin"
    )
    assert asked.endswith("--data-dir data --workers 1\n"), "after the workflow's own: the last one counts"
    assert check(0, gates="gates.toml").status == "success"
    assert "--gates gates.toml" in (tmp_path / "asked").read_text()
    assert "--margin" not in (tmp_path / "asked").read_text()
    assert check(0, prepare="false").status == "failure"


# ---------------------------------------------------------------- with harness itself


@pytest.fixture
def repository(runner, committed: Callable[..., str]) -> Callable[[str, str], Path]:
    """The runner's repository with a shipped entrant's weights as the user's model, and the baseline of another."""

    def make(model: str, baseline: str) -> Path:
        place = runner.workspace
        (place / "models").mkdir(exist_ok=True)
        shutil.copy(ROOT / "zoo" / "digits" / f"{model}.safetensors", place / "models" / "mine.safetensors")
        record = read_record(LEADERBOARDS / "results" / "digits" / f"{baseline}.json")
        write_baseline(place / "mine-baseline.safetensors", from_record(record, LEADERBOARDS / "arrays"))
        committed(place, model)
        return place

    return make


REAL = {**GIVEN, "baseline": "mine-baseline.safetensors", "margin": "0.03", "options": "--workers 0"}


def test_a_failing_check_of_a_users_model_reports_which_images_it_lost(runner, repository: Callable) -> None:
    repository("standard", "weat-adv")
    job = runner(WORKFLOW, REAL)
    assert (job.status, job["Check"].outcome) == ("failure", "failure"), job["Check"].said
    assert "::error title=robust%3A fail::" in job["Check"].said
    assert "| robust | ❌ fail |" in job.summary
    (artifact,) = (runner.kept / "artifacts").iterdir()
    (suite,) = JUnitXml.fromfile(str(artifact / "junit.xml"))
    assert (suite.tests, suite.failures) == (1, 1)
    assert len((artifact / "lost.tsv").read_text().splitlines()) > 5
    assert changes(runner) == ""


@pytest.mark.slow
def test_pass_undecided_and_cut_off_with_the_command_line_itself(runner, repository: Callable, tmp_path: Path) -> None:
    place, measured = repository("standard", "sat"), runner.temp / "robust-accuracy" / "shards"
    easy = {name: value for name, value in REAL.items() if name != "margin"} | {"gates": "gates.toml"}
    (place / "gates.toml").write_text("[standard]\nmargin = 0.03\n")
    for allowed in (False, True):
        undecided = runner(WORKFLOW, {**easy, "allow-undecided": allowed})
        assert undecided.status == ("success" if allowed else "failure"), undecided["Check"].said
        assert "::warning title=standard%3A undecided::" in undecided["Check"].said
    repository("sat", "weat-adv")
    passed = runner(WORKFLOW, easy)
    assert passed.status == "success", passed["Check"].said

    whole = {**REAL, "margin": "0.3", "options": "--workers 1 --full"}
    cut = runner(WORKFLOW, whole, lambda: "apgd-ce: robust" in (runner.temp / "said").read_text())
    assert (cut.status, cut["Check"].outcome) == ("cancelled", "cancelled"), cut["Check"].said
    assert "run this job again to go on" in cut["Check"].said
    kept = {path.name for path in (runner.kept / "caches").glob("*/tree/shards/*/*.safetensors")}
    assert kept
    restored: set[str] = set()

    def looked() -> bool:
        restored.update(path.name for path in measured.rglob("*.safetensors") if time.time() - path.stat().st_mtime > 1)
        return False

    again = runner(WORKFLOW, whole, looked)
    assert again.status == "success", again["Check"].said
    assert kept <= restored, "natural images and a stage of AutoAttack, as the check that was cut off left them"
    assert changes(runner) == ""
