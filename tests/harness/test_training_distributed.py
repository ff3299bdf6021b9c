"""Training in two real processes under torchrun: the same gradients, and the same entrant, as in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.data.datasets import digits
from harness.suites.suite import SUITES
from harness.training.distributed import World
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
    found = gradients(world)
    torch.save(found, f"{sys.argv[1]}/{world.rank}.pt")
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


def test_the_gradients_of_two_processes_are_those_of_one_on_the_same_batch(tmp_path: Path) -> None:
    script = tmp_path / "gradients.py"
    script.write_text(GRADIENTS)
    result = torchrun(str(script), str(tmp_path), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    alone = gradients(World())
    for name in CHANGES:
        assert torch.equal(first[name], second[name])
        assert alone[name].abs().max() > 0
        assert ((first[name] - alone[name]).norm() / alone[name].norm()).item() < 1e-6


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


def test_a_network_with_batchnorm_is_refused_where_its_statistics_cannot_be_shared(tmp_path: Path) -> None:
    job = (
        "-m",
        "harness",
        "train",
        "--suite",
        "digits",
        "--recipe",
        "sat",
        "--epochs",
        "1",
        "--architecture",
        "resnet-18",
        "--name",
        "mine",
    )
    result = torchrun(*job, cwd=tmp_path)
    assert result.returncode != 0
    (line,) = [line for line in result.stderr.splitlines() if "harness: error:" in line]
    assert "a GPU a process for a network with BatchNorm" in line
