"""The workflow of submissions, its steps run on the merge of a pull request: its data, judged by the code of the base.

pip is a double everywhere; `harness` is one but in the slow test.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = "submission.yml"
RESULTS = Path("leaderboards", "results", "digits")

DOUBLE = """
echo "asked: $*"
echo "judge: $(cat harness/verify.py)"
echo "present: $(git ls-files --others --cached leaderboards zoo | sort -u | tr '\\n' ' ')"
if [ -e leaderboards/results/digits/link.json ]; then
  echo "link: $(cat leaderboards/results/digits/link.json) $(test -L leaderboards/results/digits/link.json && echo followed)"
fi
while [ $# -gt 0 ]; do
  case $1 in --junit) echo cases > "$2" ;; --data-dir) mkdir -p "$2" && echo images > "$2/images" ;; esac
  shift
done
exit "$ENDS"
"""


def put(place: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content)


def merged(place: Path, git: Callable[..., str]) -> None:
    """What GitHub checks out of a pull request: its merge into the base, which is the first parent."""
    git(place, "checkout", "--quiet", "main")
    git(place, "merge", "--quiet", "--no-ff", "--no-edit", "pull")
    git(place, "checkout", "--quiet", "--detach")


@pytest.fixture
def pull(runner, double: Callable[[str], None], committed: Callable[..., str], git: Callable[..., str]) -> Callable:
    """Run the workflow on a pull request with some files; `harness verify` ends with a status."""
    double(DOUBLE)
    place = runner.workspace
    base = {
        "harness/verify.py": "base", "pyproject.toml": "base", "zoo/resnet.py": "base",
        **{f"{RESULTS}/{name}.json": f"evidence: {name}11" for name in ("sat", "trades")},
        "leaderboards/arrays/sat11.safetensors": "arrays", "leaderboards/witnesses/trades11.safetensors": "witnesses",
        "zoo/digits/sat.json": "card", "zoo/digits/sat.safetensors": "weights",
    }  # fmt: skip
    put(place, base)
    committed(place, "base")

    def run(ends: int, files: dict[str, str], links: dict[str, str] | None = None):
        git(place, "checkout", "--quiet", "-B", "pull", "main")
        put(place, files)
        for name, target in (links or {}).items():
            (place / name).symlink_to(target)
        committed(place, "pull")
        merged(place, git)
        runner.variables = {**runner.variables, "ENDS": str(ends)}
        return runner(WORKFLOW)

    return run


MINE = {
    f"{RESULTS}/mine.json": "evidence: mine11",
    "leaderboards/arrays/mine11.safetensors": "arrays",
    "leaderboards/witnesses/mine22.safetensors": "witnesses",
    "zoo/digits/mine.json": "card",
    "zoo/digits/mine.safetensors": "weights",
}


@pytest.mark.parametrize(("status", "result"), [(0, "success"), (1, "failure"), (3, "failure")])
def test_a_new_row_is_proved_and_audited_and_its_report_kept(pull: Callable, runner, status: int, result: str) -> None:
    job = pull(status, MINE)
    assert (job.status, job["Verify"].outcome) == (result, result), [step.said for step in job.steps]
    said = job["Verify"].said
    assert f"asked: verify {RESULTS}/mine.json --audit 100 --no-mark --download" in said, "this record and no other"
    assert all(name in said for name in MINE)
    assert (runner.kept / "artifacts" / "submission" / "junit.xml").exists()
    assert "actions/cache/save" in {step.name for step in job.steps if step.outcome == "success"}, "data are kept"


def test_the_code_of_a_pull_request_is_not_its_judge(pull: Callable) -> None:
    job = pull(0, {**MINE, "harness/verify.py": "evil", "zoo/evil.py": "evil", "pyproject.toml": "evil"})
    assert "judge: base" in job["Verify"].said
    assert "evil" not in job["Verify"].said
    assert "::notice title=submission::This pull request changes other files too (3)." in (
        job["Take the data of the pull request, and the code of its base"].said
    )


def test_a_link_is_not_followed_out_of_the_repository(pull: Callable, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("what nobody may read")
    job = pull(0, MINE, {f"{RESULTS}/link.json": str(tmp_path / "secret")})
    assert f"link: {tmp_path}/secret \n" in job["Verify"].said, "its text, as a file"


@pytest.mark.parametrize(
    ("changed", "proved"),
    [
        ("zoo/digits/sat.safetensors", "sat.json"),
        ("zoo/digits/sat.json", "sat.json"),
        ("leaderboards/arrays/sat11.safetensors", "sat.json"),
        ("leaderboards/witnesses/trades11.safetensors", "trades.json"),
    ],
)
def test_evidence_that_changes_under_a_record_has_the_record_proved_again(
    pull: Callable, changed: str, proved: str
) -> None:
    assert f"asked: verify {RESULTS}/{proved} --audit" in pull(0, {changed: "another"})["Verify"].said


def test_a_card_without_a_record_proves_nothing_and_fails_nothing(pull: Callable) -> None:
    job = pull(1, {"zoo/digits/mine.json": "card"})
    assert (job.status, job["Verify"].outcome) == ("success", "skipped")


@pytest.mark.slow
def test_a_shipped_row_is_proved_as_a_new_one_and_a_better_number_is_not(
    runner, committed: Callable[..., str], git: Callable[..., str]
) -> None:
    """The base is this project without the record of `sat`; the pull request adds it. Another raises its number."""
    place, record = runner.workspace, RESULTS / "sat.json"
    for part in ("harness", "zoo", "leaderboards", "pyproject.toml"):
        source = ROOT / part
        ignored = shutil.ignore_patterns("__pycache__", "site", "shards", "cifar10", "samples")
        shutil.copytree(source, place / part, ignore=ignored) if source.is_dir() else shutil.copy(source, place / part)
    true = (place / record).read_text()
    (place / record).unlink()
    committed(place, "base")
    content = json.loads(true)
    value = content["measurements"]["autoattack"]["values"]["autoattack_accuracy"]
    value["value"] = min(1.0, value["value"] + 0.01)
    runner.variables = {**runner.variables, "PYTHONPATH": str(place), "AUDIT": "1"}
    for text, status, word in ((true, "success", "sat on digits: proved"), (json.dumps(content), "failure", "differs")):
        git(place, "checkout", "--quiet", "-B", "pull", "main")
        put(place, {str(record): text, "harness/verify/verification.py": "raise SystemExit(0)"})
        committed(place, "pull")
        git(place, "branch", "--quiet", "--force", "base", "main")
        merged(place, git)
        job = runner(WORKFLOW)
        assert (job.status, word in job["Verify"].said) == (status, True), job["Verify"].said
        git(place, "branch", "--quiet", "--force", "main", "base")
