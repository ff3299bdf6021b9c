"""What the tests of the harness share: a command-line run in a process of its own, and small entrants."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main

Harness = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error::DeprecationWarning:harness", "-m", "harness", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """`harness ...` as a user types it, in an empty folder; gives status, stdout and stderr."""
    place = tmp_path / "cwd"
    place.mkdir()

    def run(*arguments: str, cwd: Path = place, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), cwd=cwd, env={**environment(), **extra}, capture_output=True, text=True, timeout=600
        )

    return run


@pytest.fixture
def harness_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Harness:
    """`harness ...` in this process: for what ends before a worker is needed, without the seconds a process takes."""
    place = tmp_path / "cwd-here"
    place.mkdir()
    monkeypatch.chdir(place)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start `harness ...` and go on while it runs."""

    def begin(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command(*arguments), cwd=tmp_path, env=environment(), **{**silent, **options})

    return begin


@pytest.fixture
def shell(tmp_path: Path) -> Callable[[str, dict[str, str]], subprocess.CompletedProcess[str]]:
    """A workflow's `run` as GitHub's runner does it: in bash, in the job's folder, with the command line on the path."""
    place, binaries = tmp_path / "job", tmp_path / "bin"
    place.mkdir()
    binaries.mkdir()
    (binaries / "harness").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness "$@"\n')
    (binaries / "harness").chmod(0o755)

    def run(script: str, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(binaries), str(Path(sys.executable).parent), os.environ["PATH"]])
        github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(place / "summary.md"), "PATH": path}
        file = place / "step.sh"
        file.write_text(script)
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(file)],
            cwd=place, env={**environment(), **github, **given}, capture_output=True, text=True, timeout=600,
        )  # fmt: skip

    return run
