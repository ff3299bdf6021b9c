"""Where and with what a number was made: commit, library versions, device."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

from leaderboards.records.schema import Provenance

LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "pyautoattack",
    "robustbench",
    "timm",
    "torch-fidelity",
    "scikit-learn",
    "statsmodels",
)
"""What decides numbers. robustbench and timm need not be here."""


@cache
def commit() -> tuple[str | None, bool | None]:
    """The harness's git commit, and whether its code differed from it; (None, None) outside a checkout.

    Only code counts as a difference: records and entrants that a run has just written do not make its code dirty.
    """
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ("git", "-C", str(here), *arguments), capture_output=True, text=True, check=True, timeout=10
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != here.parent:
            return None, None  # installed somewhere inside another project's checkout
        code = (
            "harness",
            "zoo/*.py",
            "zoo/architectures",
            "leaderboards/*.py",
            "leaderboards/charts/charts.js",
            "leaderboards/pages/templates",
            "pyproject.toml",
        )
        return git("rev-parse", "HEAD"), bool(git("-C", str(here.parent), "status", "--porcelain", "--", *code))
    except (OSError, subprocess.SubprocessError):
        return None, None


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide the numbers."""
    found = {"python": platform.python_version(), "harness": metadata.version("robust-energy-harness")}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def device_name(device: torch.device) -> str:
    """The card's name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(device: torch.device, precision: str) -> Provenance:
    """What is true of this process, now."""
    revision, dirty = commit()
    return Provenance(
        device=device.type,
        device_name=device_name(device),
        precision=precision,
        threads=torch.get_num_threads(),
        commit=revision,
        dirty=dirty,
        versions=versions(),
        measured_at=now(),
    )
