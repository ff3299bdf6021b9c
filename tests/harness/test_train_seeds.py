"""harness train --seeds: an entrant a seed, what is there left alone, and their mean and standard deviation."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from harness.experiments.held_out import held_out_of, held_out_table
from harness.training.state import Run
from zoo.cards import read_card

JOB = ("train", "--suite", "digits", "--recipe", "sat", "--epochs", "2", "--limit", "100", "--set", "attack_steps=2")
PLACE = Path("entrants/digits")


def test_seeds_are_trained_one_after_the_other_what_is_there_is_left_alone_and_the_mean_is_the_cards(
    harness_here, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = harness_here(*JOB, "--seed", "2", "--name", "mine-s2")
    assert alone.returncode == 0, alone.stderr
    made = (PLACE / "mine-s2.safetensors").stat().st_mtime_ns
    steps: list[int] = []
    take_step = Run.take_step

    def stopped(run: Run) -> None:
        take_step(run)
        steps.append(run.step)
        if len(steps) == 2:  # in the second epoch of the first seed
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "take_step", stopped)
        assert harness_here(*JOB, "--seeds", "1,2,3", "--name", "mine").returncode == 130
    result = harness_here(*JOB, "--seeds", "1,2,3", "--name", "mine", "--log", "csv")
    assert result.returncode == 0, result.stderr
    assert "digits: 2 of 3 entrants to train" in result.stderr
    assert "going on from" in result.stderr
    assert (PLACE / "mine-s2.safetensors").stat().st_mtime_ns == made, "the same command with --seed 2 made it"
    cards = {seed: read_card(PLACE / f"mine-s{seed}.json", "zoo").card for seed in (1, 2, 3)}
    assert [card.training["recipe"]["seed"] for card in cards.values()] == [1, 2, 3]
    told = [card.training["held_out"] for card in cards.values()]
    assert [one["n"] for one in told] == [10, 10, 10]
    (line,) = [line for line in result.stdout.splitlines() if "mean ± sd" in line]
    for kind in ("standard_accuracy", "pgd_accuracy"):
        values = [100 * one[kind] for one in told]
        assert f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}" in line
    assert result.stdout.splitlines()[-1] == "judge them: harness run --suite digits --entrants mine-s1,mine-s2,mine-s3"
    assert (PLACE / "mine-s3.log.csv").exists()
    assert (PLACE / "mine-s3.training.html").exists()
    again = harness_here(*JOB, "--seeds", "1,2,3", "--name", "mine")
    assert "digits: 0 of 3 entrants to train" in again.stderr
    assert again.stdout == result.stdout


@pytest.mark.slow
def test_seeds_that_were_trained_by_one_command_share_a_row_of_the_board(harness_here) -> None:
    assert harness_here(*JOB, "--seeds", "1,2,3", "--name", "mine").returncode == 0
    run = ("run", "--suite", "digits", "--measures", "standard", "--limit", "20", "--workers", "0", "--out", "out")
    assert harness_here(*run, "--entrants", "mine-s1,mine-s2,mine-s3").returncode == 0
    assert "3 seeds" in Path("out/site/digits/first-20/index.html").read_text()


def test_a_card_from_before_it_told_of_held_out_images_is_read_by_its_log(harness_here) -> None:
    assert harness_here(*JOB, "--name", "mine-s1").returncode == 0
    path = PLACE / "mine-s1.json"
    now = held_out_of(read_card(path, "zoo").card)
    content = json.loads(path.read_text())
    assert content["training"].pop("held_out") == now
    path.write_text(json.dumps(content))
    card = read_card(path, "zoo").card
    assert held_out_of(card) == now
    table = held_out_table("mine", {1: card})
    assert len(table.rows) == 1, "one seed has no spread"
    path.with_name("mine-s1.dynamics.jsonl").unlink()
    assert held_out_of(card) is None
    assert held_out_table("mine", {1: card}).caption == "No images were held out"


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (("--seeds", "1,2", "--seed", "1"), "expected --seed or --seeds, got 1 and 1,2"),
        (("--seeds", "1,x"), "expected whole numbers after --seeds, got 'x'"),
        (("--seeds", ""), "expected names after --seeds"),
        (("--seeds", "-1"), "seed of at least 0"),
        (("--seeds", "1,2", "--name", "../up"), "name"),
    ],
)
def test_wrong_seeds_are_one_line(harness_here, more: tuple[str, ...], part: str) -> None:
    result = harness_here(*JOB, *more)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert part in line


def test_a_seed_that_another_command_made_is_told_before_any_is_trained_and_replaced_by_force(harness_here) -> None:
    assert harness_here(*JOB, "--seed", "2", "--name", "mine-s2", "--set", "lr=0.01").returncode == 0
    refused = harness_here(*JOB, "--seeds", "1,2", "--name", "mine")
    assert refused.returncode == 2
    assert "got 'mine-s2', an entrant that another command made (lr: 0.01, now 0.05)" in refused.stderr
    assert not (PLACE / "mine-s1.safetensors").exists()
    forced = harness_here(*JOB, "--seeds", "1,2", "--name", "mine", "--force")
    assert forced.returncode == 0, forced.stderr
    assert json.loads((PLACE / "mine-s2.json").read_text())["training"]["recipe"]["lr"] == 0.05
    assert "0 of 2 entrants to train" in harness_here(*JOB, "--seeds", "1,2", "--name", "mine", "--force").stderr
