"""Every workflow is one by GitHub's schema (SchemaStore's, which check-jsonschema carries), is pinned, and ends in time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

WORKFLOWS = sorted((Path(__file__).resolve().parents[2] / ".github" / "workflows").glob("*.yml"))


def test_the_workflows_hold_githubs_schema(tmp_path: Path) -> None:
    def flaws(*files: Path) -> str:
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
        return subprocess.run([*command, *map(str, files)], capture_output=True, text=True).stdout

    torn = tmp_path / "torn.yml"
    torn.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("timeout-minutes: 360", "timeout: 360"))
    shown = flaws(*WORKFLOWS, torn)
    assert "torn.yml" in shown, "the schema sees a key that there is not"
    assert not [path.name for path in WORKFLOWS if str(path) in shown], shown


def test_every_action_is_pinned_to_a_commit_and_the_same_one_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for line in re.findall(r"uses: (.+)", path.read_text(encoding="utf-8")):
            pin = re.fullmatch(r"actions/([a-z-]+)(?:/[a-z]+)?@([0-9a-f]{40} # v\d+\.\d+\.\d+)", line)
            assert pin, f"{path.name}: {line}"
            pins.setdefault(pin[1], set()).add(pin[2])
    assert pins.keys() == {"checkout", "setup-python", "cache", "upload-artifact"}
    assert [action for action, found in pins.items() if len(found) > 1] == []


def test_jobs_end_in_time_and_may_only_read() -> None:
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {"contents": "read"}, path.name
        for name, job in workflow["jobs"].items():
            assert 0 < job["timeout-minutes"] <= 360, f"{path.name}: {name}"
            for step in job["steps"]:
                # a step that works long ends before its job does: what comes after it is run in any case
                long = step.get("name") in ("Check", "Verify", "Install", "Prepare", "Slow tests")
                assert not long or "timeout-minutes" in step, f"{path.name}: {step}"
