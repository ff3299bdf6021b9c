"""What the shell completes: names that are there, found without waiting for torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from harness.cli import harness
from harness.cli.completion import MEASURES, SUITES, recipes

TABBED = """
import json, sys
from harness.cli import main
try:
    main([])
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def values(line: str) -> list[str]:
    """What is offered for the last word of a command line; files are told as <file>."""
    *words, last = line.split(" ")
    offered = ShellComplete(harness, {}, "harness", "_HARNESS_COMPLETE").get_completions(words, last)
    return [f"<{item.type}>" if item.type != "plain" else item.value for item in offered]


def test_the_names_that_are_completed_are_all_that_there_are() -> None:
    from harness.measures import MEASURES as ALL
    from harness.suites.suite import SUITES as BUILT_IN
    from harness.training.recipes import built_in

    assert {name: (suite.domain.dataset, suite.domain.norm) for name, suite in BUILT_IN.items()} == SUITES
    assert {name.partition(":")[0] for name in MEASURES} == set(ALL)
    assert set(built_in()) <= set(recipes())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ver", ["verify"]),
        ("run --suite cifar10", ["cifar10", "cifar10-l2", "cifar100"]),
        ("run --suite mine", ["<file>"]),
        ("run --suite digits --entrants trades,weat-a", ["trades,weat-adv"]),
        ("run --suite cifar10 --entrants sat-c", ["sat-compact"]),
        ("run --suite cifar10 --entrants Wang2020", ["Wang2020Improving"]),
        ("run --suite digits --measures standard,auto", ["standard,autoattack", "standard,autoattack:bounded"]),
        ("run --suite digits --entrants checkpoint:a.pt@resnet-1", ["checkpoint:a.pt@resnet-18"]),
        ("train --suite digits --recipe weat-adv-p", ["weat-adv-paper"]),
        ("train --suite digits --architecture preact", ["preact-resnet-18"]),
        ("experiment seeds --suite digits --recipes trades,mail-trades-o", ["trades,mail-trades-overfitting"]),
        ("list entrants --suite svh", ["svhn"]),
        ("verify leader", ["<file>"]),
        ("run --suite digits --out ru", ["<file>"]),
        ("run --suite digits --precision b", ["bf16"]),
        ("run --suite digits --siute", []),
    ],
)
def test_values_are_completed(line: str, offered: list[str]) -> None:
    assert values(line) == offered


def test_entrants_and_files_of_the_user_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('base = "digits"\nname = "mine"\n')
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "best.pt").touch()
    (tmp_path / "data" / "cifar10-jpeg").mkdir(parents=True)
    (tmp_path / "zoo" / "digits").mkdir(parents=True)
    (tmp_path / "zoo" / "digits" / "mine.json").write_text(json.dumps({"suite": "digits"}))
    (tmp_path / "zoo" / "digits" / "broken.json").write_text("{")
    assert values("run --suite digits --entrants m") == ["mail-trades", "mart", "mine"]
    assert values("run --suite mine.toml --entrants mi") == ["mine"]
    assert values("run --suite digits --entrants checkpoint:wei") == ["checkpoint:weights/"]
    assert values("run --suite digits --entrants checkpoint:weights/b") == ["checkpoint:weights/best.pt"]
    assert values("run --suite cifar10 --dataset cifar") == ["cifar10-jpeg"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    made = click.shell_completion.get_completion_class(shell)
    assert made is not None
    if shell == "bash":  # its version is asked for, which needs the shell
        made._check_version = staticmethod(lambda: None)  # type: ignore[attr-defined]
    assert "_HARNESS_COMPLETE" in made(harness, {}, "harness", "_HARNESS_COMPLETE").source()


def test_a_tab_does_not_wait_for_torch() -> None:
    asked = {
        "_HARNESS_COMPLETE": "bash_complete",
        "COMP_WORDS": "harness run --suite digits --entrants m",
        "COMP_CWORD": "5",
    }
    done = subprocess.run(
        [sys.executable, "-c", TABBED], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["plain,mail-trades", "plain,mart"]
    assert not {"torch", "numpy", "pandas"} & set(json.loads(done.stderr))
