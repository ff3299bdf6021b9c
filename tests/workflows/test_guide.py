"""What docs/check.md shows is what there is: the inputs of the workflow, and a hook that runs before a push."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
JOB, MORE, HOOKS = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def test_the_job_of_the_guide_gives_the_workflow_what_it_takes() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "robust-accuracy.yml").read_text(encoding="utf-8"))
    inputs = workflow[True]["workflow_call"]["inputs"]  # YAML 1.1 reads the key `on` as true
    job = yaml.safe_load(JOB + MORE)["jobs"]["robust-accuracy"]
    assert job["uses"].partition("@")[0].endswith("/.github/workflows/robust-accuracy.yml")
    required = {name for name, about in inputs.items() if about.get("required")}
    assert required <= job["with"].keys() <= inputs.keys()
    assert all(type(value) is str for value in job["with"].values()), (
        "numbers are texts in this workflow, but for minutes"
    )
    assert inputs["timeout-minutes"]["default"] == int(re.search(r"`timeout-minutes` \((\d+)\)", GUIDE)[1])  # type: ignore[index]


def test_the_hook_of_the_guide_runs_before_a_push_that_changes_weights(
    runner, double: Callable[[str], None], committed: Callable[..., str], git: Callable[..., str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    place = runner.workspace
    double(f'echo "$@" >> "{tmp_path}/asked"; exit 1')
    monkeypatch.setenv("PATH", f"{runner.path[0]}:{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "pre-commit"))
    (place / ".pre-commit-config.yaml").write_text(HOOKS)
    committed(place, "a hook")
    (install,) = re.findall(r"^    (pre-commit install .*)$", GUIDE, re.MULTILINE)
    subprocess.run(
        [sys.executable, "-m", "pre_commit", *install.split()[1:]], cwd=place, check=True, capture_output=True
    )
    git(tmp_path, "init", "--quiet", "--bare", "there")
    git(place, "remote", "add", "origin", str(tmp_path / "there"))
    git(place, "push", "--quiet", "origin", "main")
    assert not (tmp_path / "asked").exists(), "no weights have changed"
    (place / "mine.safetensors").write_text("weights")
    committed(place, "weights")
    with pytest.raises(subprocess.CalledProcessError):
        git(place, "push", "--quiet", "origin", "main")
    asked = (tmp_path / "asked").read_text()
    assert f"entry: harness {asked.strip()}" in HOOKS
