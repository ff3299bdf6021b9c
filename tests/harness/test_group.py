"""Shards that are measured together, killed and gone on with: every example comes to what it comes to alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from harness.attacks.engine.engine import Engine
from harness.data.datasets import digits
from harness.data.images import Examples
from harness.errors import BadInput
from harness.measures import Measure, RobustAccuracy, StandardAccuracy
from harness.measures.measure import ShardResult
from harness.run.executors.executor import Done, InProcessExecutor, LocalExecutor
from harness.run.group import MOST_BYTES, MOST_EXAMPLES, groups
from harness.run.parts import Parts
from harness.run.plan import Judged, Plan, Task, make_plan
from harness.run.selection import attacked_by
from harness.run.store import Shard, Store
from harness.suites.suite import SUITES
from harness.threat import ThreatModel
from zoo.own_entrants import own_entrants

CPU = torch.device("cpu")
DIGIT = (1, 8, 8)


class Killed(BaseException):
    """The process is gone: nothing that the harness expects."""


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoAttack with a budget that a test can wait for, telling what it has found after every step."""

    def engine(self: RobustAccuracy, examples: Examples) -> Engine:
        return Engine(self.seed, "fp32", steps=6, queries=40, targets=2, rows=16, every=0.0)

    monkeypatch.setattr(RobustAccuracy, "_engine", engine)


def sat(size: int, examples: int = 24, *measures: Measure) -> Plan:
    """The plan of AutoAttack, or of other measures, on the first digits in shards of a size."""
    entrant = next(one for one in own_entrants(SUITES["digits"].domain) if one.card.name == "sat")
    judged = Judged(entrant, entrant.weights(), digits("test").first(200))
    suite = replace(SUITES["digits"], shard_size=size)
    return make_plan(suite, [judged], measures or (RobustAccuracy(),), precision="fp32", device="cpu", limit=examples)


def measured(plan: Plan, folder: Path, report: Callable[[Done], None] = lambda done: None) -> dict[str, np.ndarray]:
    """What the shards hold, joined."""
    store = Store(folder)
    InProcessExecutor(CPU)(plan, plan.todo(store), store, report)
    shards = [store.read(task.key) for task in plan.tasks]
    assert all(shards)
    return {
        name: np.concatenate([shard.arrays[name] for shard in shards if shard is not None])
        for name in ("stage", "reached", "x_adv", "bits", "step")
    }


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_tasks_are_grouped_into_as_many_groups_as_workers_and_never_into_too_large_ones() -> None:
    tasks = sat(2).tasks
    assert [len(group) for group in groups(tasks, 1, DIGIT)] == [12]
    assert [len(group) for group in groups(tasks, 2, DIGIT)] == [6, 6]
    assert [len(group) for group in groups(tasks, 5, DIGIT)] == [3, 3, 3, 3]
    assert [task for group in groups(tasks, 5, DIGIT) for task in group] == list(tasks)
    large = [replace(task, content=replace(task.content, stop=task.content.start + MOST_EXAMPLES)) for task in tasks]
    assert [len(group) for group in groups(large, 1, DIGIT)] == [1] * 12
    shape = (MOST_BYTES // 4 // 6, 1, 1)
    assert [len(group) for group in groups(tasks, 1, shape)] == [3, 3, 3, 3], (
        "six images are as much as a group may hold"
    )


def test_a_measure_that_does_not_answer_for_any_range_is_measured_shard_by_shard() -> None:
    for measure in (StandardAccuracy(), RobustAccuracy(engine="pyautoattack")):
        tasks = sat(6, 24, measure).tasks
        assert groups(tasks, 1, DIGIT) == [(task,) for task in tasks]


def test_every_shard_is_reported_and_its_file_is_its_own(short: None, tmp_path: Path) -> None:
    asked, ended = sat(6), list[Task]()
    measured(asked, tmp_path, lambda done: ended.append(done.task))
    assert ended == list(asked.tasks)
    assert len(list(tmp_path.rglob("*.safetensors"))) == len(asked.tasks), "no part is left"
    again = list[Done]()
    measured(asked, tmp_path, again.append)
    assert not again


def test_shards_of_any_size_hold_the_same_flags_and_images(short: None, tmp_path: Path) -> None:
    whole = measured(sat(24), tmp_path / "24")
    assert same(whole, measured(sat(5), tmp_path / "5"))
    assert {0, 4} <= set(whole["stage"].tolist()), "some examples break and some survive"
    assert (whole["reached"][whole["stage"] == 4] == 4).all()


@pytest.mark.parametrize("moment", [1, 9, 40])
def test_a_run_that_was_killed_goes_on_from_what_was_kept_and_finds_the_same(
    short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    asked = sat(8)
    undisturbed = measured(asked, tmp_path / "undisturbed")
    kept, keep = list[Shard](), Parts.keep

    def killed(self: Parts, task: Task, part: Shard) -> None:
        if len(kept) == moment * len(asked.tasks):
            raise Killed
        keep(self, task, part)
        kept.append(part)

    monkeypatch.setattr(Parts, "keep", killed)
    with pytest.raises(Killed):
        measured(asked, tmp_path / "killed")
    monkeypatch.setattr(Parts, "keep", keep)
    store = Store(tmp_path / "killed")
    assert asked.todo(store) == asked.tasks
    for task, part in zip(asked.tasks, kept[-len(asked.tasks) :], strict=True):
        found = Parts(store).furthest(task)
        assert found is not None
        assert same(dict(found.arrays), dict(part.arrays))
    assert same(undisturbed, measured(asked, tmp_path / "killed"))
    assert len(list(store.root.rglob("*.safetensors"))) == len(asked.tasks)
    for task in asked.tasks:
        whole, other = store.read(task.key), Store(tmp_path / "undisturbed").read(task.key)
        assert whole is not None
        assert other is not None
        assert whole.notes == other.notes
        assert whole.seconds > kept[0].seconds


def test_a_group_that_fails_is_measured_shard_by_shard_and_what_fails_is_named(
    short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = RobustAccuracy.go_on

    def failing(self: RobustAccuracy, model: torch.nn.Module, examples: Examples, *rest: object, **named: object):
        if examples.start <= 6 < examples.start + len(examples):
            raise RuntimeError("not this one")
        return go_on(self, model, examples, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(RobustAccuracy, "go_on", failing)
    asked, ended, store = sat(6), list[Done](), Store(tmp_path)
    InProcessExecutor(CPU)(asked, asked.todo(store), store, ended.append)
    assert [(done.task.start, done.fault is not None) for done in ended] == [
        (0, False),
        (6, True),
        (12, False),
        (18, False),
    ]


def test_the_complete_attack_goes_on_from_a_bounded_one_and_the_other_way_round(short: None, tmp_path: Path) -> None:
    bounded, complete = sat(12, 24, RobustAccuracy(bounded=True)), sat(12)
    assert {task.key for task in bounded.tasks}.isdisjoint(task.key for task in complete.tasks)
    measured(bounded, tmp_path)
    for one in complete.tasks:
        assert Parts(Store(tmp_path)).furthest(one) is not None
    assert same(measured(complete, tmp_path), measured(complete, tmp_path / "afresh"))


def test_of_two_parts_of_a_shard_the_one_that_has_got_further_is_gone_on_with(short: None, tmp_path: Path) -> None:
    (task,), (other,) = sat(12, 12).tasks, sat(12, 12, RobustAccuracy(bounded=True)).tasks
    measured(sat(12, 12, RobustAccuracy(bounded=True)), tmp_path)
    parts = Parts(Store(tmp_path))
    bounded = parts.furthest(other)
    assert bounded is not None
    behind = replace(bounded, arrays={**bounded.arrays, "reached": np.zeros_like(bounded.arrays["reached"])})
    parts.keep(task, behind)  # a complete run that was killed early
    found = parts.furthest(task)
    assert found is not None
    assert np.array_equal(found.arrays["reached"], bounded.arrays["reached"])
    parts.keep(other, behind)
    parts.complete(task, bounded)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2, "the parts of both are gone, the whole shards are there"


@pytest.mark.slow
def test_one_worker_and_two_and_none_beside_this_process_find_the_same_bit_for_bit(tmp_path: Path) -> None:
    asked = sat(5, 20)
    expected = measured(asked, tmp_path / "0")
    for workers in (1, 2):
        store = Store(tmp_path / str(workers))
        LocalExecutor((CPU,) * workers)(asked, asked.tasks, store, lambda done: None)
        assert same(expected, measured(asked, store.root))


def test_records_name_the_engine_that_found_them(short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = harness.judge("sat", measures=["autoattack"], limit=4).measurement("autoattack")
    assert (found.version, found.settings["engine"], found.settings["search"]) == (2, "harness 1", "fp32")
    assert "batch_size" not in found.settings
    by_reference = RobustAccuracy(engine="pyautoattack").settings()
    assert (by_reference["engine"], by_reference["batch_size"]) == ("pyautoattack", 250)
    assert "search" not in by_reference


@pytest.mark.parametrize(
    ("engine", "search", "said"),
    [
        ("autoattack", None, "expected --engine harness, pyautoattack, got 'autoattack'"),
        (None, "fp16", "expected --search fp32, tf32, bf16, got 'fp16'"),
        ("pyautoattack", "fp32", "expected --search with --engine harness"),
    ],
)
def test_an_unknown_engine_or_search_is_refused_in_one_line(engine: str | None, search: str | None, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        attacked_by([RobustAccuracy()], engine, search)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_an_engine_without_autoattack_is_refused() -> None:
    with pytest.raises(BadInput, match="expected the measure autoattack with --engine, got standard"):
        attacked_by([StandardAccuracy()], "harness", None)
    assert attacked_by([StandardAccuracy()], None, None) == (StandardAccuracy(),)


class Thresholded(torch.nn.Module):
    """A hard threshold in front: no gradient reaches the image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x > 0.5).float() + 0 * x).flatten(1)[:, :10]


def test_notes_of_a_part_and_of_what_follows_add_up_to_those_of_an_undisturbed_attack(short: None) -> None:
    x = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    model, threat, parts = Thresholded(), ThreatModel("Linf", 0.02), list[ShardResult]()
    examples, measure = Examples(x, model(x).argmax(1)), RobustAccuracy()
    whole = measure.go_on(model, examples, threat, None, kept=parts.append)
    assert next(note.count for note in whole.notes if note.code == "zero-gradients") > 1
    assert {note.code for part in parts for note in part.notes} > {note.code for note in parts[0].notes}
    for part in parts[:: max(1, len(parts) // 12)]:
        resumed = measure.go_on(model, examples, threat, part)
        assert same(dict(resumed.arrays), dict(whole.arrays))
        assert set(resumed.notes) == set(whole.notes)


DYING = """
import os, sys
from pathlib import Path
import torch
from harness.attacks.engine.engine import Engine
from harness.measures import RobustAccuracy
from harness.run.parts import Parts
sys.path.insert(0, sys.argv[1])
from test_group import measured, sat

def dying(self, task, part, keep=Parts.keep, kept=[]):
    if len(kept) == 50:
        os._exit(9)
    keep(self, task, part)
    kept.append(task)

Parts.keep = dying
RobustAccuracy._engine = lambda self, examples: Engine(steps=6, queries=40, targets=2, rows=16, every=0.0)
torch.set_num_threads(1)
measured(sat(8), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_process_that_dies_while_it_attacks_loses_nothing_that_was_kept(short: None, tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    died = subprocess.run([sys.executable, "-c", DYING, here, str(tmp_path / "died")], capture_output=True, text=True)
    assert died.returncode == 9, died.stderr
    asked, store = sat(8), Store(tmp_path / "died")
    assert asked.todo(store) == asked.tasks
    parts = [Parts(store).furthest(task) for task in asked.tasks]
    assert any(part is not None and (part.arrays["reached"] > 0).any() for part in parts)
    assert same(measured(asked, tmp_path / "undisturbed"), measured(asked, store.root))
