"""How a training is followed: its pace, its lines in the terminal, its scalars, and its page."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.cli.training_progress import Following
from harness.data.datasets import digits
from harness.data.images import ImageSet
from harness.errors import BadInput
from harness.suites.suite import SUITES
from harness.training.dynamics import Epoch, Probe
from harness.training.pace import Pace, Work, work_of
from harness.training.recipes import Recipe, find_recipe
from harness.training.scalars import Log, Logged, Table, TensorBoard, log_of, require_log, scalars
from harness.training.standing import Standing
from harness.training.trainer import Interrupted, train

SUITE, CPU = SUITES["digits"], torch.device("cpu")
JOB = ("train", "--suite", "digits", "--recipe", "trades", "--epochs", "3", "--limit", "100", "--name", "mine")


def recipe(**changes: object) -> Recipe:
    small = {"epochs": 3, "batch_size": 16, "attack_steps": 1, "validation": 0.2, **changes}
    return find_recipe("sat", SUITE).changed(small)


def images() -> ImageSet:
    return digits("train").first(60)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# ---------------------------------------------------------------- the time that is left


def timed(work: Work, step: float, evaluation: float) -> Iterator[tuple[float, Pace]]:
    """A training with steps and evaluations of so many seconds; after each of both, the time and its pace."""
    clock = Clock()
    pace = Pace(work, clock=clock)
    for epoch in range(1, work.epochs + 1):
        for number in range(work.steps):
            clock.now += step * work.step(epoch) / work.plain + (5.0 if (epoch, number) == (1, 0) else 0.0)
            pace.stepped()
            yield clock.now, pace
        clock.now += evaluation
        pace.evaluated()
        yield clock.now, pace


@pytest.mark.parametrize("awp_warm_up", [0.0, 0.5])
def test_the_time_left_is_exact_once_an_evaluation_has_been_seen(awp_warm_up: float) -> None:
    work = work_of(recipe(epochs=6, awp=0.01, awp_warm_up=awp_warm_up), 480, 20)
    assert (work.steps, work.calm) == (30, round(6 * awp_warm_up))
    moments = [(now, pace.left, pace.done) for now, pace in timed(work, 0.5, 7.0)]
    end = moments[-1][0]
    for now, left, _ in moments[31:]:
        assert left == pytest.approx(end - now)
    assert [done for _, _, done in moments] == sorted(done for _, _, done in moments)
    assert (moments[-1][1], moments[-1][2]) == (0, 1)


def test_an_evaluation_that_nobody_has_seen_counts_by_its_passes_and_the_slow_first_step_does_not_count() -> None:
    work = work_of(recipe(epochs=2), 480, 96)
    perfect = 0.5 / work.plain * work.evaluation
    moments = [(now, pace.left) for now, pace in timed(work, 0.5, perfect)]
    for now, left in moments[1:]:
        assert left == pytest.approx(moments[-1][0] - now)


def test_a_pace_that_changes_is_followed_within_minutes() -> None:
    clock, work = Clock(), Work(1, 1000, 1.0, 1.0, 0, 0.001)
    pace = Pace(work, clock=clock)
    for step in range(600):
        clock.now += 1.0 if step < 300 else 3.0
        pace.stepped()
    assert pace.left == pytest.approx(400 * 3.0, rel=0.05)


def test_the_work_of_a_training_is_what_its_trainer_does() -> None:
    chosen, seen = recipe(validation=0.3), []

    class Seen(Logged):
        def begins(self, standing: Standing) -> None:
            seen.append(standing.pace.work)

        def stepped(self, standing: Standing) -> None: ...

        def followed(self, epoch: Epoch, rows: Sequence[Any], standing: Standing) -> None:
            seen.append(epoch)

        def ends(self) -> None: ...

    train(SUITE, chosen, images(), CPU, lambda epoch: None, observers=[Seen(Log)])  # type: ignore[arg-type]
    work, epoch = seen[0], seen[-1]
    assert work == work_of(chosen, 42, epoch.train.n + epoch.validation.n)
    assert (work.epochs, work.steps) == (3, 2)


# ---------------------------------------------------------------- lines where there is no terminal


def epoch_of(number: int) -> Epoch:
    probe = Probe(10, -1.0, -1.0, 0.1, 0.1, 0.9, 0.5, 0.4)
    return Epoch(number, 2, 0.1, 1.5, 0.8, 60.0, 60.0 * number, probe, probe)


def test_without_a_terminal_there_is_a_line_a_minute_and_one_an_epoch_with_the_time_that_is_left() -> None:
    said: list[str] = []
    clock, work = Clock(), Work(2, 90, 1.0, 1.0, 0, 10.0)
    following, pace = Following(None, said.append, clock), Pace(work, clock=clock)

    def standing(epoch: int, step: int) -> Standing:
        sums = torch.tensor([3.0 * step, step], dtype=torch.float64)
        return Standing(epoch, 2, step, 90, 0.1, sums, 2 * step, 1, pace)

    following.next("mine-s1", [work])
    following.begins(standing(1, 0))
    for step in range(1, 91):
        clock.now += 1.0
        pace.stepped()
        following.stepped(standing(1, step))
    clock.now += 10.0
    pace.evaluated()
    following.followed(epoch_of(1), [], standing(2, 0))
    assert len(said) == 2
    # 30 steps, one of two evaluations and an epoch are left of it, and the training after it
    assert said[0] == "mine-s1  epoch 1/2, step 60/90  loss 1.5000, 50.0% right in training  about 6 min left"
    assert re.fullmatch(r"mine-s1  epoch 1/2  loss 1\.5000  train: .* 60\.0 s  about 5 min left", said[1])


# ---------------------------------------------------------------- scalars


def logged(log: Log, folder: Path, stops: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Train with a log, interrupted after each of these numbers of steps; the rows of the dynamics."""
    for stop in (*stops, 1000):
        left = iter([False] * stop)
        try:
            return list(
                train(
                    SUITE,
                    recipe(),
                    images(),
                    CPU,
                    lambda epoch: None,
                    checkpoint=folder / "state",
                    asked_to_stop=lambda left=left: next(left, True),
                    observers=[Logged(log)],
                ).rows
            )
        except Interrupted:
            continue
    raise AssertionError("it ends")


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_log_of_a_training_that_was_interrupted_is_that_of_a_whole_one_and_has_each_step_once(
    tmp_path: Path,
) -> None:
    rows = logged(Table(tmp_path / "whole.csv"), tmp_path / "a")
    logged(Table(tmp_path / "parts.csv"), tmp_path / "b", stops=(1, 2, 0, 1))
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "parts.csv").read_bytes()
    found = table(tmp_path / "whole.csv")
    assert [int(row["step"]) for row in found] == list(range(1, 10))
    ends = [row for row in found if row["epoch/loss"]]
    assert [int(row["step"]) for row in ends] == [3, 6, 9]
    for row, dynamics in zip(ends, rows, strict=True):
        assert {name: float(row[name]) for name in scalars(dynamics)} == scalars(dynamics)
        batches = [float(one["batch/loss"]) for one in found if one["epoch"] == row["epoch"]]
        assert sum(batches) / 3 == pytest.approx(dynamics["loss"])
        assert float(row["lr"]) == dynamics["lr"]


def test_what_a_crash_left_behind_the_checkpoint_is_taken_out_of_the_log(tmp_path: Path) -> None:
    log = Table(tmp_path / "log.csv")
    log.open(0)
    for step in range(1, 6):
        log.write(step, 1, {"lr": 0.1 * step})
    log.close()
    with log.path.open("a") as file:
        file.write("6,1,0.5")  # cut off
    log.open(3)
    log.write(4, 1, {"lr": 7.0})
    log.close()
    assert [(row["step"], row["lr"][:3]) for row in table(log.path)] == [
        ("1", "0.1"),
        ("2", "0.2"),
        ("3", "0.3"),
        ("4", "7.0"),
    ]
    log.open(0)
    log.close()
    assert table(log.path) == [], "a training from the start has a log of its own"


def test_tensorboard_reads_the_scalars_that_the_table_has(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logged(Table(tmp_path / "log.csv"), tmp_path / "a")
    logged(TensorBoard(tmp_path / "board"), tmp_path / "b", stops=(2, 3))
    board = reader.EventAccumulator(str(tmp_path / "board")).Reload()
    rows = table(tmp_path / "log.csv")
    for name in board.Tags()["scalars"]:
        found = {event.step: event.value for event in board.Scalars(name)}
        assert len(found) == len(board.Scalars(name)), "no step is there twice"
        expected = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        assert found == pytest.approx(expected, rel=1e-6)
    assert set(board.Tags()["scalars"]) == {name for row in rows for name in row if row[name]} - {"step", "epoch"}


def test_a_log_without_its_package_is_one_line_before_data_are_read(
    harness_here, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr("harness.training.scalars.importlib", nothing)
    for more in ((), ("--seeds", "1,2")):
        result = harness_here(*JOB, "--dataset", "nowhere", "--log", "tensorboard", *more)
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()
        assert "expected the package tensorboard" in line
        assert "pip install tensorboard" in line
    with pytest.raises(BadInput, match="expected --log csv or tensorboard, got 'wandb'"):
        require_log("wandb")
    assert isinstance(log_of("csv", Path("mine")), Table)


# ---------------------------------------------------------------- the page


def test_harness_train_writes_a_log_and_a_page_beside_the_entrant(harness_here) -> None:
    result = harness_here(*JOB, "--log", "csv")
    assert result.returncode == 0, result.stderr
    place = Path("entrants/digits")
    rows = [json.loads(line) for line in (place / "mine.dynamics.jsonl").read_text().splitlines()]
    assert [row["epoch/loss"] for row in table(place / "mine.log.csv") if row["epoch/loss"]] == [
        str(row["loss"]) for row in rows
    ]
    page = (place / "mine.training.html").read_text()
    assert f"its course: {(place / 'mine.training.html').resolve()}" in result.stderr
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", markup), "it opens offline"
    assert "Training has ended after 3 epochs." in page
    assert "PGD-20 on held-out images" in page
    data = re.findall(r'<script type="application/json" id="data-(dynamics-[a-z-]+)">(.*?)</script>', page)
    shown = {key: json.loads(text)["rows"] for key, text in data}
    assert set(shown) == {
        f"dynamics-{key}"
        for key in ["loss", "standard", "accuracy", "energy", "joint-delta", "marginal", "joint", "weight", "rate"]
    }  # fmt: skip
    losses = [row["y"] for row in shown["dynamics-loss"] if "y" in row]
    assert losses == pytest.approx([row["loss"] for row in rows], rel=1e-4)
    weights = {row["kind"] for row in shown["dynamics-weight"] if "y" in row}
    assert weights == {"train", "held out"}


def test_the_page_of_a_training_that_goes_on_says_so_and_is_written_again(tmp_path: Path) -> None:
    from harness.training.page import EVERY, Page, page_of

    clock = Clock()
    page = Page(tmp_path / "<b>", "Digits", 2, {"recipe": {"lr": 0.1}}, clock)
    standing: Any = None
    page.followed(epoch_of(1), [epoch_of(1).row()], standing)
    assert not page_of(tmp_path / "<b>").exists(), "an epoch may be shorter than a page takes"
    clock.now = EVERY
    page.followed(epoch_of(1), [epoch_of(1).row()], standing)
    text = page_of(tmp_path / "<b>").read_text()
    assert "Epoch 1 of 2 has ended. Training goes on" in text
    assert "<bdi><b></bdi>" not in text
