"""Entrants that hide their gradients from AutoAttack: images made for others find them out, and accuse nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import harness
from harness.measures import RobustAccuracy
from harness.run.inputs import suite_images
from harness.run.plan import Judged, make_plan
from harness.suites.suite import SUITES
from harness.verify.figures import differences, measure_of
from harness.verify.transfers import transferred
from leaderboards.records.arrays import measured_arrays
from leaderboards.records.files import file_stem, read_record
from leaderboards.records.home import Home
from leaderboards.records.transfers import read_transfers
from zoo.in_memory import in_memory

STEP = '''
import harness
from torch import nn


class HardStep(nn.Module):
    """A classifier whose logits are 1 for its answer and 0 else: it has no gradient anywhere."""

    def __init__(self, name):
        super().__init__()
        self.net = harness.load(name)

    def forward(self, x):
        logits = self.net(x)
        return nn.functional.one_hot(logits.argmax(1), logits.shape[1]).float()


def masked():
    return HardStep("sat")
'''


class HardStep(nn.Module):
    """A classifier whose logits are 1 for its answer and 0 else: it has no gradient anywhere."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.net(x)
        return nn.functional.one_hot(logits.argmax(1), logits.shape[1]).float()


def test_an_entrant_without_gradients_is_found_out_by_images_made_for_another(tmp_path: Path) -> None:
    suite = replace(SUITES["digits"], name="few", examples=20)
    net, out = harness.load("standard"), tmp_path / "out"
    models = {"plain": net, "masked": HardStep(net)}
    for name, model in models.items():
        harness.judge(model, suite, [RobustAccuracy()], name=name, out=out)
    images = suite_images(suite, data_dir=tmp_path, download=False)
    judged = [Judged(one := in_memory(model, name), one.weights(), images) for name, model in models.items()]
    plan = make_plan(suite, judged, [], precision="fp32", device="cpu")
    done = transferred(plan, Home(out), (), torch.device("cpu"))
    assert done.flagged == ["masked"]
    plain, masked = (read_record(out / "results" / "few" / f"{name}.json") for name in models)
    accuracy = [record.measurements["autoattack"].values["autoattack_accuracy"].value for record in (plain, masked)]
    assert accuracy[1] > accuracy[0] + 0.2, "the step must mislead AutoAttack, or this shows nothing"
    assert masked.best_known is not None
    assert masked.best_known.value.value == accuracy[0]
    assert plain.best_known is None
    found = masked.measurements["autoattack"]
    assert "zero-gradients" in {flag.code for flag in found.flags}
    measure = measure_of(found)
    assert measure is not None
    assert differences(found, measure, measured_arrays(Home(out).arrays, found)) == [], (
        "its record tells what was found"
    )


@pytest.mark.slow
def test_of_the_shipped_entrants_and_a_masked_one_the_masked_one_alone_is_flagged(harness_here, tmp_path: Path) -> None:
    (Path.cwd() / "stepping.py").write_text(STEP)
    shipped = ("mail-trades", "mart", "sat", "standard", "trades", "weat-adv", "weat-nat")
    run = harness_here(
        "run", "--suite", "digits", "--entrants", ",".join([*shipped, "python:stepping:masked"]), "--measures",
        "standard,autoattack", "--workers", "2", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "hidden gradients suspected of stepping.masked\n" in run.stderr
    home = Home(tmp_path / "out")
    for name in (*shipped, "stepping.masked"):
        best = read_record(home.results / "digits" / f"{file_stem(name)}.json").best_known
        assert (best is not None and bool(best.flags)) == (name == "stepping.masked")
    pairs = read_transfers(home.transfers, "digits").pairs
    assert len(pairs) == 8 * 7
    honest = [pair for pair in pairs if pair.target != "stepping.masked"]
    assert sum(pair.tried for pair in honest) > 500
    assert sum(pair.broken for pair in honest) == 0
    others = [pair for pair in pairs if pair.target == "stepping.masked" and pair.source not in ("sat", "standard")]
    assert all(pair.broken > 0.05 * pair.tried for pair in others), (
        "it is found out without the network that it hides, too"
    )
