"""Keys, shards on disk, and what is left to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.attacks.engine.engine import Engine
from harness.data.datasets import digits
from harness.data.images import ImageSet
from harness.measures import MEASURES, Energies, Note, RobustAccuracy, StandardAccuracy
from harness.measures.sources import Sources
from harness.provenance import provenance
from harness.run.plan import Judged, Plan, make_plan, shards
from harness.run.store import Shard, Store, content_key
from harness.suites.suite import SUITES
from zoo.entrant import Weights
from zoo.own_entrants import own_entrants

SUITE = SUITES["digits"]


def judged(sha256: str = "a" * 64) -> Judged:
    entrant = own_entrants(SUITE.domain)[0]
    return Judged(entrant, Weights(sha256), digits("test").first(200))


def relabelled(images: ImageSet) -> ImageSet:
    return replace(images, labels=(images.labels + 1) % 10)


def plan(**changes: object) -> Plan:
    given = {"precision": "fp32", "device": "cpu", **changes}
    one = given.pop("one", judged())
    suite, measures = given.pop("suite", SUITE), given.pop("measures", (StandardAccuracy(),))
    return make_plan(suite, [one], measures, **given)  # type: ignore[list-item, arg-type]


def shard(n: int = 4) -> Shard:
    arrays = {
        "correct": np.arange(n) % 2 == 0,
        "x_adv": np.random.default_rng(0).random((n, 1, 2, 2), dtype=np.float32),
    }
    return Shard(arrays, (Note("zero-gradients", "{n} of them", 3),), 1.5, provenance(torch.device("cpu"), "fp32"), 12)


def test_a_shard_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    store, written = Store(tmp_path), shard()
    store.write("ab" * 32, written, {"suite": "digits"})
    read = store.read("ab" * 32)
    assert read is not None
    assert replace(read, arrays={}) == replace(written, arrays={})
    assert set(read.arrays) == set(written.arrays)
    assert all(np.array_equal(read.arrays[name], array) for name, array in written.arrays.items())


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_shard_counts_as_not_there(tmp_path: Path, damage: str) -> None:
    store, key = Store(tmp_path), "ab" * 32
    store.write(key, shard(), {})
    content = store.path(key).read_bytes()
    flipped = bytearray(content)
    flipped[-2] ^= 4
    bad = {"cut": content[: len(content) // 2], "flip": bytes(flipped), "empty": b"", "text": b"<html></html>"}[damage]
    store.path(key).write_bytes(bad)
    assert store.read(key) is None
    assert not store.has(key)


def test_a_shard_that_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write("ab" * 32, shard(), {})
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(
    "changes",
    [
        {"one": judged("b" * 64)},
        {"suite": replace(SUITE, eps="0.1")},
        {"suite": replace(SUITE, norm="L2")},
        {"one": replace(judged(), images=digits("train").first(200))},
        {"one": replace(judged(), images=relabelled(digits("test").first(200)))},
        {"one": replace(judged(), transform="Resize(8)")},
        {"measures": (StandardAccuracy(seed=1),)},
        {"measures": (Energies(),)},
        {"precision": "bf16"},
        {"device": "cuda"},
        {"suite": replace(SUITE, shard_size=50)},
    ],
)
def test_whatever_decides_a_number_changes_the_key(changes: dict[str, object]) -> None:
    before, after = plan(), plan(**changes)
    assert not {task.key for task in before.tasks} & {task.key for task in after.tasks}


def test_the_version_and_the_settings_of_a_measure_change_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(measure: RobustAccuracy) -> str:
        return plan(measures=(measure,)).tasks[0].key

    reference = RobustAccuracy(engine="pyautoattack")
    keys = {key(measure) for measure in (RobustAccuracy(), RobustAccuracy(search="bf16"), reference)}
    keys.add(key(replace(reference, batch_size=50)))
    monkeypatch.setattr(RobustAccuracy, "version", 99)
    keys.add(key(RobustAccuracy()))
    assert len(keys) == 5


def test_the_precision_of_a_search_is_decided_before_the_key() -> None:
    chosen, named = (plan(measures=(RobustAccuracy(search=search),)) for search in (None, "fp32"))
    assert chosen.tasks[0].content.settings["search"] == "fp32"
    assert chosen.tasks[0].key == named.tasks[0].key
    batched = plan(measures=(RobustAccuracy(batch_size=50),))
    assert batched.tasks[0].key == chosen.tasks[0].key, "the engine has no batch size"


def test_what_decides_no_number_leaves_the_key_alone() -> None:
    changed = plan(suite=replace(SUITE, title="Other words", description="", entrants=("x",), measures=()))
    assert [task.key for task in changed.tasks] == [task.key for task in plan().tasks]


def test_the_same_shards_serve_a_suite_before_and_after_a_measure_is_added_to_it(tmp_path: Path) -> None:
    store, before = Store(tmp_path), replace(SUITE, measures=("autoattack",))
    first = plan(suite=before, measures=(RobustAccuracy(),))
    for task in first.tasks:
        store.write(task.key, shard(len(task)), task.content.plain())
    after = replace(before, version=before.version + 1, measures=("autoattack", "energies"))
    second = plan(suite=after, measures=(RobustAccuracy(), Energies()))
    assert [task.measure.name for task in second.todo(store)] == ["energies", "energies"]


def test_a_suite_of_more_images_and_one_of_another_name_have_the_shards_of_the_images_that_they_share() -> None:
    more = plan(one=replace(judged(), images=digits("test")), suite=replace(SUITE, name="more", examples=400))
    assert [task.key for task in more.tasks[:2]] == [task.key for task in plan().tasks]
    assert len(more.tasks) == 4


def test_drawn_images_do_not_depend_on_the_test_images() -> None:
    bound = MEASURES["generation"].bound(Sources(train=lambda: digits("train"), held_out=lambda: digits("test")))
    other = replace(judged(), images=digits("train").first(200))
    keys = [[task.key for task in plan(one=one, measures=(bound,)).tasks] for one in (judged(), other)]
    assert keys[0] == keys[1]


def test_a_limit_shares_the_whole_shards_of_the_full_run() -> None:
    limited = {task.key for task in plan(limit=150).tasks}
    assert len(limited & {task.key for task in plan().tasks}) == 1
    assert plan(limit=150).limit == 150
    assert plan(limit=200).limit is plan(limit=10_000).limit is None


def test_only_missing_shards_are_to_do_and_equal_work_is_done_once(tmp_path: Path) -> None:
    store, both = (
        Store(tmp_path),
        make_plan(SUITE, [judged(), judged()], [StandardAccuracy()], precision="fp32", device="cpu"),
    )
    assert len(both.tasks) == 4
    assert both.todo(store) == both.tasks[:2]
    store.write(both.tasks[0].key, shard(), {})
    assert both.todo(store) == both.tasks[1:2]


@pytest.mark.parametrize(("examples", "size", "count"), [(200, 100, 2), (201, 100, 3), (5, 100, 1), (100, 1, 100)])
def test_shards_cover_every_example_once(examples: int, size: int, count: int) -> None:
    found = shards(examples, size)
    assert len(found) == count
    assert [i for start, stop in found for i in range(start, stop)] == list(range(examples))


def test_keys_do_not_depend_on_the_order_of_their_parts() -> None:
    assert content_key({"a": 1, "b": [1.5, None]}) == content_key({"b": [1.5, None], "a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_key({"a": float("nan")})


class Counting(torch.nn.Module):
    """Counts the images that pass through a network, forward and backward."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.forwards = self.backwards = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forwards += len(x)
        logits = self.model(x)
        if logits.requires_grad:
            logits.register_hook(self.count)
        return logits

    def count(self, gradient: torch.Tensor) -> None:
        self.backwards += len(gradient)


BY_REFERENCE = {**MEASURES, "autoattack": RobustAccuracy(engine="pyautoattack")}


@pytest.mark.parametrize(
    "name",
    # all 5,000 queries of Square, one by one; what the own engine takes is held below
    [pytest.param(name, marks=pytest.mark.slow) if name == "autoattack" else name for name in BY_REFERENCE],
)
def test_the_cost_of_a_measure_is_what_it_takes_where_nothing_breaks(name: str) -> None:
    model = Counting(own_entrants(SUITE.domain)[0].load())
    examples = digits("test").examples(0, 3)
    y = model(examples.x).argmax(1)
    model.forwards = 0
    measure = BY_REFERENCE[name].bound(Sources(train=lambda: digits("train"), held_out=lambda: digits("test")))
    # with eps 0 nothing breaks, so every stage runs to its end
    measure(model, replace(examples, y=y), replace(SUITE, eps="0").threat)
    cost = measure.cost(10)
    # once a shard: one image shows what a network keeps of it, and FAB counts the classes by one
    tried = {"energies": 2, "smoothness": 1}.get(name, 0)
    assert (model.forwards, model.backwards) == (3 * cost.forward + tried, 3 * cost.backward)


def test_autoattack_by_the_own_engine_takes_at_most_what_its_cost_says() -> None:
    model = own_entrants(SUITE.domain)[0].load()
    examples = digits("test").examples(0, 3)
    still, cost = replace(SUITE, eps="0").threat, RobustAccuracy().cost(10)
    given = model, examples.x, model(examples.x).argmax(1), still
    both, report = Engine()(*given, through=2)
    assert (report.forward, report.gradient) == (0, 3 * 10 * 101), "APGD takes exactly what is said of it"
    _, rest = Engine()(*given, before=both)
    assert report.gradient + rest.gradient <= 3 * cost.backward
    assert report.gradient + rest.gradient + rest.forward <= 3 * cost.forward
