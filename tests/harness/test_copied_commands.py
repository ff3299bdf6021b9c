"""What a page offers to be copied is copied by a click, as a reader does it, and does what the page says of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.pages


@pytest.fixture
def typed(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A user's shell in a folder of his own, with the command line on its path."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "harness").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness "$@"\n')
    (binaries / "harness").chmod(0o755)
    place = tmp_path / "project"
    place.mkdir()
    environment = {**os.environ, "PATH": os.pathsep.join([str(binaries), os.environ["PATH"]])}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=300)

    return run


def copied(page: Any) -> dict[str, str]:
    """Each button's label, and what the clipboard holds after a click on it."""
    found = {}
    for button in page.get_by_role("button", name="Copy:").all():
        button.click()
        label = (button.get_attribute("aria-label") or "").removeprefix("Copy: ")
        told = button.locator("xpath=following-sibling::*[@role='status']")
        for _ in range(100):
            if told.text_content() == "Copied.":
                break
            page.wait_for_timeout(20)
        found[label] = page.evaluate("navigator.clipboard.readText()")
    return found


def test_lines_that_a_page_copies_measure_prove_load_and_train_again(typed, visit, tmp_path: Path) -> None:
    project = tmp_path / "project"
    trained = typed(*["harness", "train", "--suite", "digits", "--recipe", "sat", "--epochs", "1", "--name", "quick"])
    assert trained.returncode == 0, trained.stderr
    job = "harness run --suite digits --entrants quick --measures standard --limit 8 --workers 0 --out runs"
    assert (run := typed(*job.split())).returncode == 0, run.stderr
    boards = project / "runs" / "site" / "digits" / "first-8"
    permissions = {"permissions": ["clipboard-read", "clipboard-write"]}

    of_board = copied(visit(boards / "index.html", **permissions).page)
    assert list(of_board) == ["Measure these rows again", "Prove these rows"]
    of_entrant = copied(visit(boards / "quick.html", **permissions).page)
    assert list(of_entrant) == ["Measure it again", "Prove it", "Load it in Python", "Train it again"]

    for again in (of_board["Measure these rows again"], of_entrant["Measure it again"]):
        run = typed("bash", "-c", f"{again} --out runs")
        assert run.returncode == 0, run.stderr
        assert "0 of 1 shards to measure" in run.stderr, "what is measured already is found"
    for proof in (of_board["Prove these rows"], of_entrant["Prove it"]):
        verified = typed("bash", "-c", proof)
        assert verified.returncode == 0, verified.stderr
        assert "quick on digits" in verified.stdout
        assert "proved" in verified.stdout
    loaded = typed(sys.executable, "-c", f"{of_entrant['Load it in Python']}\nprint(type(model).__mro__)")
    assert "torch.nn.modules.module.Module" in loaded.stdout, loaded.stderr
    again = typed("bash", "-c", of_entrant["Train it again"])
    assert again.returncode == 0, again.stderr
    first, second = (
        (project / "entrants" / "digits" / f"{name}.safetensors").read_bytes() for name in ("quick", "quick-again")
    )
    assert first == second, "the same recipe, seed and data make the same weights"
