"""What the tests of the harness share: the command line, in this process or in one of its own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.cli import main
from zoo import callables

Harness = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error::DeprecationWarning:harness", "-m", "harness", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200"}


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


@pytest.fixture(autouse=True)
def a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check keeps nothing in the cache of who runs the tests. Torch looks for its files where it did."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    monkeypatch.setenv("TORCH_HOME", os.environ.get("TORCH_HOME") or str(Path(cache, "torch")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


@pytest.fixture(autouse=True)
def tracing_goes_on() -> Iterator[None]:
    """pyautoattack's check of dynamic classifiers switches tracing off: coverage goes on with the next test."""
    trace = sys.gettrace()
    yield
    if sys.gettrace() is not trace:
        sys.settrace(trace)


@contextmanager
def all_put_back(place: Path) -> Iterator[None]:
    """Leave this process as it was: its threads, its random numbers, who answers signals, and which modules it knows.

    Modules from below `place` and models that were built are forgotten, as they would be at the end of a process.
    """
    threads = torch.get_num_threads()
    seeds = torch.random.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002  other code's draws
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    kernels = cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, matmul.allow_tf32
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    path = list(sys.path)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(seeds[0])
        np.random.set_state(seeds[1])  # noqa: NPY002
        random.setstate(seeds[2])
        cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, matmul.allow_tf32 = kernels
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{place}{os.sep}"):
                del sys.modules[name]
        for built in vars(callables).values():
            if hasattr(built, "cache_clear"):
                built.cache_clear()


@pytest.fixture
def harness_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Harness:
    """`harness ...` in this process, without the seconds that a process takes to start.

    A run with `--workers 0` measures in this process too; any other starts the workers that it starts for a user.
    """
    place = tmp_path / "cwd-here"
    place.mkdir()
    monkeypatch.chdir(place)

    def run(*arguments: str, cwd: Path | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        with pytest.MonkeyPatch.context() as patch, all_put_back(tmp_path):
            patch.chdir(cwd or Path.cwd())
            for name, value in {"COLUMNS": "200", **extra}.items():
                patch.setenv(name, value)
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
