"""How far a run is: told from inside a shard, shown without a terminal, and of no consequence for what is measured."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.attacks.engine.square import passes_by_query
from harness.classifier.meter import Meter, Reading, metered
from harness.cli import progress as shown
from harness.run.executors.executor import InProcessExecutor, LocalExecutor
from harness.run.progress import Heard, News, Pace, Progress, Queue
from harness.run.selection import Faults, chosen_entrants, chosen_measures
from harness.run.session import Request, Session, begin
from harness.suites.files import find_suite

CPU = torch.device("cpu")


def session(out: Path, measures: str, limit: int, shard_size: int | None = None) -> Session:
    suite = find_suite("digits")
    found = begin(
        Request(
            suite=suite,
            measures=tuple(chosen_measures(measures.split(","), suite)),
            entrants=tuple(chosen_entrants(["standard"], suite, model_dir=out, own_folders=(), allow_pickle=())),
            named=True, out=out, device=CPU, data_dir=out, limit=limit, shard_size=shard_size,
        ),
        Faults(print),
    )  # fmt: skip
    assert found is not None
    return found


def test_a_job_in_a_worker_tells_who_works_at_what_and_how_much_of_its_bound_is_done(tmp_path: Path) -> None:
    heard: list[News] = []
    one = session(tmp_path, "autoattack", 4)
    one(LocalExecutor((CPU,)), lambda done: None, heard.append)
    told = [news for news in heard if isinstance(news, Progress)]
    assert any(isinstance(news, Queue) for news in heard)
    assert {(news.entrant, news.measure, news.start, news.examples) for news in told} == {
        ("standard", "autoattack", 0, 4)
    }
    last = told[-1]
    assert last.done == last.total > 0
    assert [spent.stage for spent in last.spent] == ["apgd-ce", "apgd-t", "fab-t", "square"][: len(last.spent)]
    assert json.loads(json.dumps(last.plain()))["robust"] == last.robust


def test_a_bound_falls_as_examples_break_and_ends_at_what_was_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Told as often as it can be: every reading of the whole is at most the one before it."""
    monkeypatch.setattr("harness.run.group.Meter", lambda plan, tell: Meter(plan, tell, every=0.0))
    heard: list[Progress] = []
    one = session(tmp_path, "autoattack", 8)
    one(
        InProcessExecutor(CPU),
        lambda done: None,
        lambda news: heard.append(news) if isinstance(news, Progress) else None,
    )
    totals = [news.total for news in heard]
    assert len(totals) > 50
    # what is passed before the first stage begins is no part of its bound
    assert all(after <= 1.01 * before for before, after in pairwise(totals))
    assert totals[-1] == heard[-1].done < 0.9 * totals[0]
    done = [news.done for news in heard]
    assert done == sorted(done)


def test_who_listens_changes_no_number(tmp_path: Path) -> None:
    def measured(folder: str, heard: Heard | None) -> dict[str, np.ndarray]:
        one = session(tmp_path / folder, "autoattack,standard", 6)
        one(InProcessExecutor(CPU), lambda done: None, *([heard] if heard else []))
        found = {}
        for task in one.plan.tasks:
            shard = one.store.read(task.key)
            assert shard is not None
            found |= {f"{task.measure.name} {name}": array for name, array in shard.arrays.items()}
        return found

    alone, followed = measured("alone", None), measured("followed", lambda news: None)
    assert alone.keys() == followed.keys()
    assert all(np.array_equal(alone[name], followed[name]) for name in alone)


def test_a_dry_run_says_a_range_from_a_look_at_the_entrant(tmp_path: Path) -> None:
    left = session(tmp_path, "autoattack", 200).estimate([CPU], Faults(print))
    assert 0 < left.low < left.likely < left.high < 3600
    assert not (tmp_path / "shards").exists(), "nothing was measured"


def test_without_a_terminal_a_line_says_how_far_it_is_and_moves_no_cursor(
    harness_here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shown, "EVERY", 0.05)
    done = harness_here(
        "run", "--suite", "digits", "--entrants", "standard", "--measures", "autoattack", "--limit", "8", "--workers", "0",
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "samples" in line]
    form = r"digits: \d+/8 samples \(\d+ %\), \d+ s gone, .*(left|known yet)(, now standard autoattack .*)?"
    assert lines, done.stderr
    assert all(re.fullmatch(form, line) for line in lines), done.stderr
    assert any("robust so far" in line for line in lines)
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", done.stderr)


def test_readings_are_seldom_however_often_work_is_counted() -> None:
    now, told = [0.0], list[Reading]()
    with metered(Meter({"a": 1000.0}, told.append, every=0.5, clock=lambda: now[0])) as meter:
        for _ in range(1000):
            now[0] += 0.01
            meter.passed(1)
    assert len(told) == pytest.approx(20, abs=2)
    assert told[-1].done == told[-1].total == 1000
    assert told[0].total == 1000, "the bound was right all along"


def test_work_that_fails_is_not_told_to_be_done() -> None:
    told: list[Reading] = []

    def work() -> None:
        with metered(Meter({"a": 10.0}, told.append)) as meter:
            meter.passed(1, backward=True)
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        work()
    assert told == []


@pytest.mark.parametrize(
    ("shape", "least", "most"), [((1, 8, 8), 400, 1500), ((1, 28, 28), 3000, 4500), ((3, 32, 32), 4300, 5000)]
)
def test_square_needs_fewer_passes_on_small_images(shape: tuple[int, int, int], least: int, most: int) -> None:
    """Measured on robust examples: about 490 on digits, 3,700 to 4,840 on MNIST."""
    passes = passes_by_query(5000, shape)
    assert least < float(passes[-1]) < most
    assert bool((passes.diff() > 0).all())


def test_a_look_times_passes_and_says_how_many_examples_a_short_attack_leaves(tmp_path: Path) -> None:
    heard: list[News] = []
    one = session(tmp_path, "autoattack", 200)
    with pytest.raises(KeyboardInterrupt):
        one(InProcessExecutor(CPU), lambda done: None, lambda news: heard.append(news) or _stop(news))
    (pace,) = [news for news in heard if isinstance(news, Pace)]
    assert 0 < pace.forward < pace.both
    assert pace.robust is not None
    assert 0 <= pace.robust < pace.correct <= pace.tried


def _stop(news: News) -> None:
    if isinstance(news, Pace):
        raise KeyboardInterrupt
