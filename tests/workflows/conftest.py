"""GitHub's runner, as far as the workflows of this project use it: expressions, `run` steps in bash, doubles of the actions.

A double records what it was given and does what the action is documented to do, with a folder in the place of GitHub's cache
and of its artifacts. Steps are cut off as GitHub does it ("Workflow cancellation reference"): SIGINT to the step's shell alone,
SIGTERM after 7.5 s, and after 2.5 s more the whole tree is killed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TOKEN = re.compile(r"'(?:[^']|'')*'|\|\||&&|[!=]=|[!(),]|[A-Za-z_][\w.-]*|\d+")
OPERATORS = {"||": "or", "&&": "and", "!": "not "}


def expression(text: str, known: Mapping[str, Any], functions: Mapping[str, Callable]) -> Any:
    """The value of what stands in ${{ }}: names, texts, numbers, comparisons, and these functions. A name that is not known is
    empty, as GitHub has it."""
    found = []
    for token in TOKEN.findall(text):
        if token.startswith("'"):
            found.append(repr(token[1:-1].replace("''", "'")))
        elif token in OPERATORS:
            found.append(f" {OPERATORS[token]} ")
        elif token in functions or not re.match(r"[A-Za-z_]", token):
            found.append(token)
        else:
            found.append(repr(known.get(token, "")))
    return eval("".join(found), {"__builtins__": {}, **functions})


@dataclass(frozen=True)
class Step:
    """A step that was run: how it ended, and what it was given (`with`, of an action) or said."""

    name: str
    outcome: str
    given: Mapping[str, str]
    said: str = ""


@dataclass
class Job:
    """A job that has ended."""

    status: str = "success"
    steps: list[Step] = field(default_factory=list)
    summary: str = ""

    def __getitem__(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def of(self, action: str) -> list[Step]:
        """The steps of an action, in their order."""
        return [step for step in self.steps if step.name == action]


@dataclass
class Runner:
    """A machine with the repository in `workspace`. What is in `kept` outlives a job: caches by key, and artifacts."""

    workspace: Path
    temp: Path
    kept: Path
    path: list[Path]
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the environment of every step; they take the place of what the workflow says."""

    def __call__(
        self, workflow: str, inputs: Mapping[str, Any] | None = None, cut_off: Callable[[], bool] | None = None
    ) -> Job:
        """Run the one job of a workflow. `cut_off` is asked while steps run: at True the job is cancelled, and only steps that
        are to be run always follow."""
        described = yaml.safe_load((ROOT / ".github" / "workflows" / workflow).read_text(encoding="utf-8"))
        (about,) = described["jobs"].values()
        shutil.rmtree(self.temp, ignore_errors=True)  # as at the start of each job
        self.temp.mkdir(parents=True)
        known: dict[str, Any] = {"runner.temp": str(self.temp), "github.event.pull_request.number": 7}
        if called := described[True].get("workflow_call"):  # YAML 1.1 reads the key `on` as true
            for name, declared in called["inputs"].items():
                assert "default" in declared or name in (inputs or {}), f"{name} is required"
                known[f"inputs.{name}"] = (inputs or {}).get(name, declared.get("default"))
            assert (inputs or {}).keys() <= called["inputs"].keys()
        job = Job()
        for step in about["steps"]:
            running = None if job.status == "cancelled" else cut_off
            self._step(step, {**described.get("env", {}), **about.get("env", {})}, known, job, running)
        job.summary = (self.temp / "summary.md").read_text() if (self.temp / "summary.md").exists() else ""
        return job

    def _step(self, step: dict, env: dict, known: dict, job: Job, cut_off: Callable[[], bool] | None) -> None:
        functions: dict[str, Callable] = {
            "always": lambda: True, "success": lambda: job.status == "success", "format": str.format,
            "hashFiles": lambda pattern: "0" * 64 if list(self.workspace.glob(pattern)) else "",
        }  # fmt: skip

        def filled(value: Any) -> str:
            text = re.sub(
                r"\$\{\{(.*?)\}\}", lambda m: _text(expression(m[1], known, functions)), _text(value), flags=re.DOTALL
            )
            assert "${{" not in text
            return text

        name, identity = step.get("name") or step["uses"].split("@")[0], step.get("id", "")
        asked = str(step.get("if", "success()"))
        asked = asked if "always()" in asked else f"success() && ({asked})"
        if not expression(asked.removeprefix("${{").removesuffix("}}"), known, functions):
            job.steps.append(Step(name, "skipped", {}))
            return
        if "uses" in step:
            given = {key: filled(value) for key, value in step.get("with", {}).items()}
            outcome, outputs = self._action(step["uses"], given)
            done = Step(step["uses"].split("@")[0], outcome, given)
        else:
            assert "${{" not in step["run"], "what a caller gives comes as environment, never as code"
            given = {key: filled(value) for key, value in {**env, **step.get("env", {})}.items()}
            outcome, said, outputs = self._shell(step["run"], given, cut_off)
            done = Step(name, outcome, given, said)
        known |= {f"steps.{identity}.outputs.{key}": value for key, value in outputs.items()}
        known[f"steps.{identity}.outcome"] = outcome
        job.steps.append(done)
        if outcome != "success" and job.status == "success":
            job.status = outcome

    def _shell(
        self, script: str, given: Mapping[str, str], cut_off: Callable[[], bool] | None
    ) -> tuple[str, str, dict[str, str]]:
        file, output, said = self.temp / "step.sh", self.temp / "output", self.temp / "said"
        file.write_text(script)
        output.write_text("")
        variables = {
            **os.environ, "GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output), "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64", "RUNNER_TEMP": str(self.temp), "GITHUB_STEP_SUMMARY": str(self.temp / "summary.md"),
            "PATH": os.pathsep.join([*map(str, self.path), os.environ["PATH"]]), **given, **self.variables,
        }  # fmt: skip
        with said.open("wb") as stream:
            shell = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)], cwd=self.workspace, env=variables,
                stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            cancelled = False
            while shell.poll() is None:
                time.sleep(0.01)
                if cut_off is not None and not cancelled and cut_off():
                    cancelled = True
                    self._cancel(shell)
        outcome = "cancelled" if cancelled else "failure" if shell.returncode else "success"
        lines = [line.partition("=") for line in output.read_text().splitlines()]
        return outcome, said.read_text(), {key: value for key, _, value in lines}

    @staticmethod
    def _cancel(shell: subprocess.Popen[bytes]) -> None:
        for number, seconds in ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5)):
            shell.send_signal(number)
            try:
                shell.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
            break
        else:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()

    def _action(self, uses: str, given: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        action, _, sha = uses.partition("@")
        assert re.fullmatch(r"[0-9a-f]{40}", sha), f"{uses} is not pinned"
        match action:
            case "actions/checkout":
                return "success", {}
            case "actions/setup-python":
                described = [self.workspace.glob(name) for name in ("**/requirements.txt", "**/pyproject.toml")]
                if "cache" in given and not any(list(found) for found in described):
                    return "failure", {}  # "No file in ... matched to [**/requirements.txt or **/pyproject.toml]"
                return "success", {}
            case "actions/cache/restore":
                return "success", self._restore(given)
            case "actions/cache/save":
                return "success", self._save(given)
            case "actions/upload-artifact":
                shutil.copytree(given["path"], self.kept / "artifacts" / given["name"], dirs_exist_ok=True)
                return "success", {}
        raise AssertionError(f"no double of {action}")

    def _saved(self) -> dict[str, Path]:
        """The saved caches by key, the newest first."""
        folders = sorted((self.kept / "caches").glob("*"), reverse=True)
        return {json.loads((folder / "key").read_text()): folder / "tree" for folder in folders}

    def _restore(self, given: Mapping[str, str]) -> dict[str, str]:
        saved = self._saved()
        for prefix in (None, *given.get("restore-keys", "").split()):
            for key, tree in saved.items():
                if key == given["key"] if prefix is None else key.startswith(prefix):
                    shutil.copytree(tree, given["path"], dirs_exist_ok=True)
                    return {"cache-hit": _text(prefix is None), "cache-matched-key": key}
        return {}

    def _save(self, given: Mapping[str, str]) -> dict[str, str]:
        assert "," not in given["key"]
        saved = self._saved()
        if given["key"] not in saved:  # a key is written once; again is a warning
            folder = self.kept / "caches" / f"{len(saved):03d}"
            shutil.copytree(given["path"], folder / "tree")
            (folder / "key").write_text(json.dumps(given["key"]))
        return {}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


PIP = """#!/usr/bin/env bash
# a double of `python -m pip`: it says what it was asked for, and caches something as pip does
if [ "${1:-} ${2:-}" = "-m pip" ]; then
  echo "${@:3}" >> "$PIP_ASKED"
  mkdir -p "$PIP_CACHE_DIR" && echo wheel > "$PIP_CACHE_DIR/wheel"
  exit 0
fi
exec "$REAL_PYTHON" "$@"
"""


@pytest.fixture
def binaries(tmp_path: Path) -> Path:
    """The programs of the machine: `python` whose pip installs nothing, and `harness`, the real one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder / "python", PIP)
    program(folder / "harness", f'#!/bin/sh\nexec "{sys.executable}" -m harness "$@"\n')
    return folder


@pytest.fixture
def runner(tmp_path: Path, binaries: Path) -> Runner:
    """A machine with an empty repository: `git init`, no pyproject.toml, one commit of a README."""
    workspace = tmp_path / "work" / "mine"
    workspace.mkdir(parents=True)
    (workspace / "README.md").write_text("My robust model.\n")
    git(workspace, "init", "--quiet", "--initial-branch", "main")
    commit(workspace, "first")
    variables = {"PIP_ASKED": str(tmp_path / "pip-asked"), "REAL_PYTHON": sys.executable}
    return Runner(workspace, tmp_path / "work" / "_temp", tmp_path / "kept", [binaries], variables)


@pytest.fixture
def installed(tmp_path: Path) -> Callable[[], list[str]]:
    """What pip was asked for, a line a call."""
    return lambda: (tmp_path / "pip-asked").read_text().splitlines()


@pytest.fixture
def double(binaries: Path) -> Callable[[str], None]:
    """Put a double of the command line, written in bash, in the place of the real one."""
    return lambda script: program(binaries / "harness", f"#!/usr/bin/env bash\n{script}")


@pytest.fixture(name="git")
def git_in() -> Callable[..., str]:
    """Run git in a repository; gives what it says."""
    return git


@pytest.fixture
def committed() -> Callable[..., str]:
    """Commit all that lies in a repository; gives the commit."""
    return commit


def program(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)


def git(place: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(place: Path, message: str) -> str:
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(place, "rev-parse", "HEAD")
