"""Training in two real processes: the same gradients, and the same entrant, as in one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.data.datasets import digits
from harness.suites.suite import SUITES
from harness.training.distributed import World, processes
from harness.training.recipes import Recipe, find_recipe
from harness.training.step import Step
from zoo.architectures import build
from zoo.checkpoints import SHIPPED

SUITE = SUITES["digits"]
CPU = torch.device("cpu")

GRADIENTS = """
import sys
import torch
from test_training_distributed import gradients
from harness.training.distributed import processes

with processes("cpu") as (world, device):
    torch.save(gradients(world), sys.argv[1])
"""

CHANGES = {
    "sat": {},
    "trades": {"awp": 0.01},
    "weat-adv": {"weighting": "normalised", "drop": "high-energy", "drop_fraction": 0.3},
    "weat-nat": {"weighting": "constant"},
    "mart": {"drop": "random", "drop_fraction": 0.45},
}


def gradients(world: World) -> dict[str, torch.Tensor]:
    """Gradients of a step of several objectives on one batch of 31 samples (odd: the parts are uneven)."""
    batch, found = digits("train").examples(0, 31), {}
    # in float64: in float32 signs of gradients near zero turn over with the number of samples that a process has
    x = batch.x.double()
    torch.set_num_threads(1)
    for name, changes in CHANGES.items():
        # trained weights: energies, and so WEAT's weights, differ from sample to sample
        model = build("digits-cnn", 10, (1, 8, 8)).train()
        model.load_state_dict(load_file(SHIPPED / "digits" / "trades.safetensors"))
        model.double()
        recipe: Recipe = find_recipe(name, SUITE).changed(changes, "in this test")
        Step(model, SUITE.threat, recipe, CPU, world)(x, batch.y, torch.Generator().manual_seed(0))
        found[name] = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return found


def torchrun(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{Path(__file__).parent}:{':'.join(sys.path[1:])}",
    }
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*launcher, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_gradients_of_two_processes_are_those_of_one_on_the_same_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process is the first of the two: what torchrun tells each is in the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment = {**os.environ, **shared, "RANK": "1", "LOCAL_RANK": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = f"{Path(__file__).parent}:{':'.join(sys.path[1:])}"
    command = [sys.executable, "-c", GRADIENTS, str(tmp_path / "second.pt")]
    second = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    with monkeypatch.context() as patch:
        for name, value in {**shared, "RANK": "0", "LOCAL_RANK": "0"}.items():
            patch.setenv(name, value)
        with processes("cpu") as (world, device):
            assert (world, device) == (World(0, 2), "cpu")
            here = gradients(world)
    _, said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    there, alone = torch.load(tmp_path / "second.pt"), gradients(World())
    for name in CHANGES:
        assert torch.equal(here[name], there[name])
        assert alone[name].abs().max() > 0
        assert ((here[name] - alone[name]).norm() / alone[name].norm()).item() < 1e-6


@pytest.mark.slow
def test_two_processes_train_a_digits_entrant_that_is_as_good_and_resumes(harness_here, tmp_path: Path) -> None:
    job = ("train", "--suite", "digits", "--recipe", "sat", "--epochs", "6", "--name", "mine", "--out")
    result = torchrun("-m", "harness", *job, str(tmp_path / "two"), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("epoch 6/6") == 1, "one process speaks"
    assert harness_here(*job, str(tmp_path / "one")).returncode == 0
    rows = {}
    for place in ("one", "two"):
        lines = (tmp_path / place / "digits" / "mine.dynamics.jsonl").read_text().splitlines()
        rows[place] = [json.loads(line) for line in lines]
        card = json.loads((tmp_path / place / "digits" / "mine.json").read_text())
        assert card["training"]["processes"] == (1 if place == "one" else 2)
    for one, two in zip(rows["one"], rows["two"], strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=0.02)
        assert two["lr"] == one["lr"]
    weights = [load_file(tmp_path / place / "digits" / "mine.safetensors") for place in rows]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=0.2, atol=0.02)


NORMALISED = ("train", "--suite", "digits", "--recipe", "sat", "--epochs", "1", "--architecture", "resnet-18")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_network_with_batchnorm_is_refused_where_its_statistics_cannot_be_shared(
    harness_here, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    """It is told by the first process alone, and before they exchange anything."""
    monkeypatch.setattr("harness.training.distributed.processes", lambda device: nullcontext((World(rank, 2), "cpu")))
    result = harness_here(*NORMALISED, "--name", "mine")
    assert result.returncode == 2
    said = [line for line in result.stderr.splitlines() if "harness: error:" in line]
    assert [("a GPU a process for a network with BatchNorm" in line) for line in said] == [True] * (1 - rank)


@pytest.mark.slow
def test_torchrun_ends_with_one_line_where_batchnorms_statistics_cannot_be_shared(tmp_path: Path) -> None:
    result = torchrun("-m", "harness", *NORMALISED, "--name", "mine", cwd=tmp_path)
    assert result.returncode != 0
    (line,) = [line for line in result.stderr.splitlines() if "harness: error:" in line]
    assert "a GPU a process for a network with BatchNorm" in line
