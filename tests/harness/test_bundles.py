"""The bundle that a record of AutoAttack names: a witness for each broken example, whoever measured it and in what order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import harness
from harness.attacks.engine.engine import Engine
from harness.attacks.engine.outcome import SURVIVED
from harness.classifier.precision import Precise
from harness.data.datasets import digits
from harness.data.images import Examples
from harness.errors import BadInput
from harness.measures import Measure, RobustAccuracy, StandardAccuracy
from harness.measures import rounding as measured_rounding
from harness.run.executors.executor import InProcessExecutor
from harness.run.findings import write_findings
from harness.run.parts import Parts
from harness.run.plan import Judged, Plan, Task, make_plan
from harness.run.store import Shard, Store
from harness.suites.suite import SUITES
from harness.verify.replay import Replay, replayed
from leaderboards.records.arrays import read_arrays
from leaderboards.records.home import Home
from leaderboards.records.schema import Measurement, Record
from leaderboards.records.witnesses import WHOLE, Packed, read_witnesses
from zoo.entrant import Weights
from zoo.own_entrants import own_entrants

CPU, SUITE = torch.device("cpu"), SUITES["digits"]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(self: RobustAccuracy, examples: Examples) -> Engine:
        return Engine(self.seed, "fp32", steps=6, queries=40, targets=2, rows=16, every=0.0)

    monkeypatch.setattr(RobustAccuracy, "_engine", engine)


def plan(measure: Measure | None = None, size: int = 24, examples: int = 24, name: str = "sat") -> Plan:
    entrant = next(one for one in own_entrants(SUITE.domain) if one.card.name == name)
    judged = Judged(entrant, entrant.weights(), digits("test").first(200))
    suite = replace(SUITE, shard_size=size)
    return make_plan(suite, [judged], [measure or RobustAccuracy()], precision="fp32", device="cpu", limit=examples)


def recorded(asked: Plan, out: Path) -> Record:
    store = Store(out / "shards")
    InProcessExecutor(CPU)(asked, asked.todo(store), store, lambda done: None)
    (record,) = write_findings(asked, store, out)
    return record


def attack(record: Record) -> Measurement:
    return record.measurements["autoattack"]


def witnesses(record: Record, out: Path) -> Packed:
    bundle = attack(record).witnesses
    assert bundle is not None
    return read_witnesses(Home(out).witnesses, bundle)


def stages(record: Record, out: Path) -> np.ndarray:
    arrays = attack(record).arrays
    assert arrays is not None
    return read_arrays(Home(out).arrays, arrays)["stage"]


def shown(record: Record, out: Path) -> Replay:
    model = harness.load(record.entrant.name)
    return replayed(model, digits("test"), witnesses(record, out), SUITE.threat, CPU)


def files(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("harness", "standard"),
        ("harness", "sat"),
        ("pyautoattack", "standard"),
        pytest.param("pyautoattack", "sat", marks=pytest.mark.slow),
    ],
)
def test_the_bundle_shown_again_gives_exactly_the_records_flags(engine, name: str, tmp_path: Path) -> None:
    examples = 24 if engine == "harness" else 3
    record = recorded(plan(RobustAccuracy(engine=engine), 24, examples, name), tmp_path)
    stage, again = stages(record, tmp_path), shown(record, tmp_path)
    broken = (stage >= 0) & (stage < SURVIVED)
    assert again.examples.tolist() == np.flatnonzero(broken).tolist()
    assert again.broken.all()
    assert attack(record).arrays.names == ("reached", "stage")  # type: ignore[union-attr]
    bundle = attack(record).witnesses
    assert bundle is not None
    assert bundle.n == broken.sum()
    assert (Home(tmp_path).witnesses / bundle.file).stat().st_size == bundle.size
    if name == "standard":
        assert bundle.n > 0
        assert (witnesses(record, tmp_path).bits == 2).mean() > 0.5


def test_where_nothing_breaks_the_bundle_is_empty_and_other_measures_have_none(tmp_path: Path) -> None:
    asked = plan(size=2, examples=2)
    store = Store(tmp_path / "shards")
    (task,) = asked.tasks
    x = task.measure.examples(asked.judged[0].images, 0, 2).x.numpy()
    survived = {"stage": np.full(2, 4, np.int8), "reached": np.full(2, 4, np.int8), "x_adv": x}
    first = recorded(plan(StandardAccuracy(), 2, 2), tmp_path)
    assert first.bundles == {}
    store.write(task.key, Shard(survived, (), 0.1, first.measurements["standard"].provenance, 7), {})
    record = recorded(asked, tmp_path)
    assert set(record.bundles) == {"autoattack"}
    assert len(witnesses(record, tmp_path)) == 0
    assert len(shown(record, tmp_path).broken) == 0


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("moment", [2, pytest.param(25, marks=pytest.mark.slow)])
def test_shards_of_any_size_and_a_run_that_was_killed_give_the_same_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    wanted = attack(recorded(plan(), tmp_path / "24")).witnesses
    assert attack(recorded(plan(size=7), tmp_path / "7")).witnesses == wanted
    keep, count = Parts.keep, [0]

    def killed(self: Parts, task: Task, part: Shard) -> None:
        count[0] += 1
        if count[0] > moment:
            raise Killed
        keep(self, task, part)

    monkeypatch.setattr(Parts, "keep", killed)
    with pytest.raises(Killed):
        recorded(plan(), tmp_path / "killed")
    monkeypatch.setattr(Parts, "keep", keep)
    assert attack(recorded(plan(), tmp_path / "killed")).witnesses == wanted


def test_a_bounded_answer_has_the_witnesses_of_what_it_broke_and_its_completion_adds_to_them(tmp_path: Path) -> None:
    bounded = recorded(plan(RobustAccuracy(bounded=True)), tmp_path)
    assert attack(bounded).bounded
    few = witnesses(bounded, tmp_path)
    assert len(few)
    assert shown(bounded, tmp_path).broken.all()
    complete = recorded(plan(), tmp_path)
    assert attack(complete).witnesses == attack(recorded(plan(), tmp_path / "afresh")).witnesses
    assert set(few.examples) <= set(witnesses(complete, tmp_path).examples)
    assert files(Home(tmp_path).witnesses) == {attack(complete).witnesses.sha256}, (  # type: ignore[union-attr]
        "the bounded answer's bundle is named by no record any more"
    )
    again = recorded(plan(RobustAccuracy(bounded=True)), tmp_path)
    assert attack(again) == attack(complete)
    assert files(Home(tmp_path).witnesses) == {attack(complete).witnesses.sha256}  # type: ignore[union-attr]
    assert files(Home(tmp_path).arrays) == {arrays.sha256 for arrays in complete.arrays.values()}


def _without_rounding(store: Store, tasks: Sequence[Task]) -> None:
    """Make shards such as there were before anything was rounded."""
    for task in tasks:
        shard = store.read(task.key)
        assert shard is not None
        old = {name: array for name, array in shard.arrays.items() if name not in ("bits", "step")}
        store.write(task.key, replace(shard, arrays=old), {})


def test_shards_of_a_time_when_nothing_was_rounded_give_whole_images_and_can_be_gone_on_from(tmp_path: Path) -> None:
    asked, store = plan(RobustAccuracy(bounded=True), size=12), Store(tmp_path / "shards")
    witnesses_of_new = witnesses(recorded(asked, tmp_path), tmp_path).examples.tolist()
    _without_rounding(store, asked.tasks)
    old = recorded(asked, tmp_path)
    assert set(witnesses(old, tmp_path).bits) == {WHOLE}
    assert witnesses(old, tmp_path).examples.tolist() == witnesses_of_new
    assert shown(old, tmp_path).broken.all()
    complete = recorded(plan(size=12), tmp_path)
    assert shown(complete, tmp_path).broken.all()
    assert 2 in witnesses(complete, tmp_path).bits
    assert attack(complete).values == attack(recorded(plan(size=12), tmp_path / "afresh")).values


@pytest.mark.slow
def test_old_and_new_shards_go_on_together(tmp_path: Path) -> None:
    asked, store = plan(RobustAccuracy(bounded=True), size=12), Store(tmp_path / "shards")
    recorded(asked, tmp_path)
    _without_rounding(store, asked.tasks[1:])
    assert shown(recorded(plan(size=12), tmp_path), tmp_path).broken.all()


def test_a_shard_whose_images_are_damaged_gives_its_numbers_and_no_bundle(tmp_path: Path) -> None:
    asked, store = plan(), Store(tmp_path / "shards")
    before = recorded(asked, tmp_path)
    path = store.path(asked.tasks[0].key)
    with safe_open(path, framework="numpy") as file:
        x_adv = file.get_tensor("x_adv")
    content = bytearray(path.read_bytes())
    at = bytes(content).index(x_adv.tobytes())
    content[at + 2] ^= 255
    path.write_bytes(content)
    assert json.loads(recorded(asked, tmp_path).to_json())["measurements"]["autoattack"].get("witnesses") is None
    assert attack(before).witnesses is not None
    assert files(Home(tmp_path).witnesses) == set()


def test_a_bundle_of_other_weights_goes_with_their_record(tmp_path: Path) -> None:
    asked, store = plan(), Store(tmp_path / "shards")
    before = recorded(asked, tmp_path)
    (judged,) = asked.judged
    other = make_plan(
        asked.suite, [replace(judged, weights=Weights("b" * 64))], [RobustAccuracy()], precision="fp32", device="cpu", limit=24
    )  # fmt: skip
    shard = store.read(asked.tasks[0].key)
    assert shard is not None
    stage = shard.arrays["stage"].copy()
    first = int(np.flatnonzero(stage == 0)[0])
    stage[first] = SURVIVED
    store.write(other.tasks[0].key, replace(shard, arrays={**shard.arrays, "stage": stage}), {})
    (after,) = write_findings(other, store, tmp_path)
    assert files(Home(tmp_path).witnesses) == {attack(after).witnesses.sha256}  # type: ignore[union-attr]
    assert attack(after).witnesses != attack(before).witnesses
    assert first not in witnesses(after, tmp_path).examples


def test_judging_from_python_gives_the_images(tmp_path: Path) -> None:
    found = harness.judge("sat", measures=["autoattack", "standard"], limit=24)
    examples, x_adv = found.witnesses()
    stage = found.arrays("autoattack")["stage"]
    assert examples.tolist() == np.flatnonzero((stage >= 0) & (stage < SURVIVED)).tolist()
    x, y = digits("test").images[examples].float(), digits("test").labels[examples]
    assert (harness.load("sat")(torch.from_numpy(x_adv)).argmax(1) != y).all()
    x = digits("test").examples(0, 24).x[torch.from_numpy(examples).long()]
    assert SUITE.threat.verify(x, torch.from_numpy(x_adv)).legal.all()
    with pytest.raises(BadInput, match="got 'standard'; autoattack does"):
        found.witnesses("standard")


def test_a_network_that_is_judged_in_bfloat16_is_asked_for_a_larger_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    rounded = measured_rounding.rounded

    def noted(*given: object, margin: float, network: object):
        asked.append(margin)
        return rounded(*given, margin=margin, network=network)  # type: ignore[arg-type]

    monkeypatch.setattr(measured_rounding, "rounded", noted)
    for precision in ("fp32", "bf16"):
        model = Precise(harness.load("standard"), precision)
        RobustAccuracy()(model, digits("test").examples(0, 4), SUITE.threat)
    assert asked == [1e-3, 2e-2]
