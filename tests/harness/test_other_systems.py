"""Windows, Macs, and places without RobustBench: what is not there is hidden, and digits are judged all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import zoo
from harness.classifier import across
from harness.classifier.devices import devices
from harness.energy import widest
from harness.errors import BadInput
from harness.run.listing import entrant_rows
from harness.suites.suite import SUITES
from harness.threat import ThreatModel
from zoo.robustbench import import_robustbench

HIDDEN = """
import os, signal, sys

MODULES = {modules}

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
for name in MODULES:
    sys.modules.pop(name, None)
for module, names in {names}.items():
    for name in names:
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)
"""

POSIX = ("fcntl", "termios", "tty", "pty", "resource", "pwd", "grp", "syslog", "readline")
POSIX_NAMES = {
    "os": ("setsid", "fork", "forkpty", "killpg", "getpgid", "setpgid", "getuid", "geteuid", "mkfifo", "nice"),
    "signal": (
        "SIGHUP",
        "SIGKILL",
        "SIGUSR1",
        "SIGUSR2",
        "SIGCHLD",
        "pthread_sigmask",
        "pthread_kill",
        "sigwait",
        "alarm",
    ),
}
ROBUSTBENCH = ("robustbench", "timm", "gdown", "pkg_resources")


def hidden(place: Path, modules: tuple[str, ...], names: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """The environment of a process, and of those that it starts, in which modules and names are not there."""
    place.mkdir()
    (place / "sitecustomize.py").write_text(HIDDEN.format(modules=set(modules), names=names))
    path = os.pathsep.join([str(place), os.environ.get("PYTHONPATH", str(Path(__file__).resolve().parents[2]))])
    # a console of Windows holds few signs
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}


def ran(words: str, place: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *words.split()], cwd=place, env=environment, capture_output=True, timeout=600,
        encoding="cp1252",
    )  # fmt: skip


DIGITS = "run --suite digits --entrants trades --measures standard,autoattack --limit 4"


def test_digits_are_judged_where_neither_posix_nor_robustbench_is(tmp_path: Path) -> None:
    environment = hidden(tmp_path / "hidden", POSIX + ROBUSTBENCH, POSIX_NAMES)
    done = ran(f"{DIGITS.replace(',autoattack', '')} --workers 0", tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert "Standard, % (up)" in done.stdout
    assert (tmp_path / "runs" / "results" / "digits" / "partial-4" / "trades.json").is_file()


@pytest.mark.slow
def test_workers_and_training_need_nothing_of_posix(tmp_path: Path) -> None:
    environment = hidden(tmp_path / "hidden", POSIX, POSIX_NAMES)
    done = ran(f"{DIGITS} --shard-size 2 --workers 2", tmp_path, environment)
    assert done.returncode == 0, done.stderr
    done = ran(
        "train --suite digits --recipe standard --epochs 1 --limit 64 --name mine --out zoo", tmp_path, environment
    )
    assert done.returncode == 0, done.stderr


def test_without_robustbench_entries_are_listed_and_one_line_says_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_robustbench.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "robustbench"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "robustbench", None)
    suite = SUITES["cifar10-l2"]
    rows = {row["name"]: row for row in entrant_rows(suite, model_dir=tmp_path, own_folders=())}
    assert rows["Augustin2020Adversarial"]["files_here"] is None
    entrant = zoo.find("Augustin2020Adversarial", suite.domain, model_dir=tmp_path)
    with pytest.raises(zoo.EntrantError, match=r'pip install "robust-energy-harness\[robustbench\]"'):
        entrant.missing()
    import_robustbench.cache_clear()


def refusing(what: Tensor | nn.Module, device: torch.device) -> Tensor | nn.Module:
    """Moves nothing: this machine has no mps. What is moved there must not be of float64, which mps refuses."""
    parts = [what] if isinstance(what, Tensor) else [*what.parameters(), *what.buffers()]
    if device.type == "mps" and any(part.dtype == torch.float64 for part in parts):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
    CROSSED.append(device.type)
    return what


CROSSED: list[str] = []


def test_on_mps_the_network_alone_is_on_the_device_and_nothing_of_float64(harness_here, monkeypatch) -> None:
    """Whatever else went to mps would raise here: torch is built without it."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(across, "moved", refusing)
    CROSSED.clear()
    done = harness_here(*DIGITS.replace("autoattack", "smoothness").split(), "--device", "mps", "--workers", "0")
    assert done.returncode == 0, done.stderr
    assert set(CROSSED) == {"mps", "cpu"}
    assert "on 1 x mps" in done.stderr


def test_gradients_and_logits_cross_as_they_are() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    x = torch.rand(2, 1, 2, 2, requires_grad=True)
    there = across.Across(network, torch.device("cpu"))
    assert torch.equal(there(x), network(x))
    (ours,), (direct,) = (torch.autograd.grad(model(x).square().sum(), x) for model in (there, network))
    assert torch.equal(ours, direct)


def test_mps_is_refused_where_it_is_not_and_not_mixed_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(BadInput, match="expected an Apple GPU for --device mps"):
        devices("mps", 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert [device.type for device in devices("mps", 2)] == ["mps", "mps"]
    with pytest.raises(BadInput, match="expected one kind of device"):
        devices("cpu,mps", 0)


def test_sums_are_of_float64_but_on_mps() -> None:
    assert widest(torch.device("cpu")) == widest(torch.device("cuda")) == torch.float64
    assert widest(torch.device("mps")) == torch.float32
    x = torch.rand(3, 1, 2, 2)
    assert ThreatModel("Linf", 0.1).distance(x, x + 0.05).dtype == torch.float64
