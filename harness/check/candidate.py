"""The entrant that a check examines: its flags, measured batch by batch in worker processes.

Every flag is the one that `harness run` finds for the example: same shards, same seeds, same random starts. A shard that the
store has is not measured again. Whole shards are kept there, also between two stages of AutoAttack: a check that was
interrupted, and a later run, go on from them. PGD on a part of a shard is not kept: it costs seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from harness.attacks.autoattack import STAGES, stages_for
from harness.attacks.named import MAIN
from harness.attacks.pgd import PGD
from harness.attacks.verification import attacked
from harness.data.images import Examples
from harness.measures import Energies, RobustAccuracy, Summary
from harness.measures.calibration import Scaled, calibrated_on
from harness.measures.energies import correct_array
from harness.measures.measure import ShardResult, generator_of
from harness.run.executors.place import Place, Workers, results
from harness.run.plan import Plan, Task, shards
from harness.run.shard import measure_shard
from harness.run.store import Shard, Store, content_key
from harness.threat import ThreatModel


@dataclass(frozen=True)
class Whole:
    """One shard of one measure."""

    task: Task

    def __call__(self, place: Place) -> Shard:
        return measure_shard(
            self.task, place.model, place.suite, place.judged.images, place.plan.precision, place.device
        )


@dataclass(frozen=True)
class Stage:
    """One stage more of AutoAttack on a shard; gives what there is then, and whether that was the last stage."""

    task: Task
    before: Shard | None

    def __call__(self, place: Place) -> tuple[Shard, bool]:
        measure = self.task.measure
        assert isinstance(measure, RobustAccuracy)
        state = None if self.before is None else ShardResult(self.before.arrays, self.before.notes)
        last: list[bool] = []

        def one(model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
            result, finished = measure.advance(model, examples, threat, state)
            last.append(finished)
            return result

        images = place.judged.images
        shard = measure_shard(self.task, place.model, place.suite, images, place.plan.precision, place.device, one)
        spent = self.before.seconds if self.before else 0.0
        return replace(shard, seconds=shard.seconds + spent), last[0]


@dataclass(frozen=True)
class PGDOn:
    """Whether PGD leaves each of some examples (indices, rising) correct, from the start that its shard draws for it."""

    attack: PGD
    seed: int
    shards: tuple[tuple[int, int], ...]
    examples: np.ndarray

    def __call__(self, place: Place) -> np.ndarray:
        threat, drawn = place.suite.threat, []
        # as the measure attacks it: at the calibrated scale of its logits
        scale = calibrated_on(place.model, place.judged.images.calibration, place.device).scale
        model = Scaled(place.model, scale)
        for first, stop in self.shards:
            mine = self.examples[(self.examples >= first) & (self.examples < stop)] - first
            if len(mine):
                shard = place.judged.images.examples(first, stop)
                start = self.attack.start(shard.x, threat, generator_of(self.seed, first, MAIN))
                chosen = torch.from_numpy(mine)
                drawn.append((shard.x[chosen], shard.y[chosen], start[chosen]))
        correct = []
        for batch in zip(
            *(torch.cat(parts).split(place.suite.shard_size) for parts in zip(*drawn, strict=True)), strict=True
        ):
            x, y, start = (tensor.to(place.device) for tensor in batch)
            found = self.attack.perturb(model, x, y, threat, torch.Generator(), start=start)  # nothing is drawn
            correct.append((~attacked(model, x, y, found, threat).broken).cpu().numpy())
        return np.concatenate(correct)


@dataclass(frozen=True)
class Candidate:
    """An entrant's flags on the examples of a plan that has it alone."""

    plan: Plan
    store: Store
    workers: Workers

    @property
    def shards(self) -> list[tuple[int, int]]:
        """[start, stop) of each shard."""
        return shards(self.plan.examples, self.plan.suite.shard_size)

    def standard(self) -> np.ndarray:
        """(n,) bool: correct on the natural image."""
        return self.arrays("standard")["correct"]

    def arrays(self, measure: str) -> dict[str, np.ndarray]:
        """A measure's per-sample arrays on all examples."""
        return _joined(self._whole(measure))

    def summary(self, measure: str) -> Summary:
        """A measure's values on all examples."""
        found = self._whole(measure)
        notes = [note for shard in found for note in shard.notes]
        return self.plan.of(0, measure)[0].measure.summarise(_joined(found), notes)

    def _whole(self, measure: str) -> list[Shard]:
        tasks = self.plan.of(0, measure)
        found = {task.start: self.store.read(task.key, task.measure.heavy_arrays) for task in tasks}
        for job, shard in results(self.workers, [Whole(task) for task in tasks if found[task.start] is None]):
            assert isinstance(job, Whole)
            self.store.write(job.task.key, shard, job.task.content.plain())
            found[job.task.start] = shard
        return [shard for shard in found.values() if shard is not None]

    def pgd(self, examples: np.ndarray) -> np.ndarray:
        """(m,) bool: left correct by PGD-20, for m examples (indices, rising)."""
        correct, unknown = np.zeros(len(examples), dtype=bool), np.ones(len(examples), dtype=bool)
        for task in self.plan.of(0, "energies"):
            mine = (examples >= task.start) & (examples < task.stop)
            if mine.any() and (shard := self.store.read(task.key)) is not None:
                correct[mine] = shard.arrays[correct_array(MAIN)][examples[mine] - task.start]
                unknown &= ~mine
        measure = next(measure for measure in self.plan.measures if isinstance(measure, Energies))
        attack = measure.attacks[MAIN]
        assert isinstance(attack, PGD)
        parts = np.array_split(examples[unknown], self.workers.count)
        jobs = [PGDOn(attack, measure.seed, tuple(self.shards), part) for part in parts if len(part)]
        for job, flags in results(self.workers, jobs):
            assert isinstance(job, PGDOn)
            correct[np.isin(examples, job.examples)] = flags
        return correct

    def autoattack(self, numbers: Sequence[int]) -> Iterator[tuple[str, np.ndarray, np.ndarray, bool]]:
        """AutoAttack on some shards (by number), stage by stage.

        Yields, after each stage, its name, the examples (indices) of these shards, whether each has survived so far (bool),
        and whether that is final.
        """
        tasks = [self.plan.of(0, "autoattack")[number] for number in numbers]
        state = {task.start: self._furthest(task) for task in tasks}
        examples = np.concatenate([np.arange(task.start, task.stop) for task in tasks])
        if all(finished for _, finished in state.values()):
            yield "autoattack", examples, np.concatenate([_survived(state[task.start][0]) for task in tasks]), True
            return
        suite = self.plan.suite
        for number, stage in enumerate(stages_for(suite.classes, suite.norm, min(suite.shape[1:]))):
            left = [task for task in tasks if not state[task.start][1] and _done(state[task.start][0]) <= number]
            for job, (shard, finished) in results(self.workers, [Stage(task, state[task.start][0]) for task in left]):
                assert isinstance(job, Stage)
                self._keep(job.task, shard, finished)
                state[job.task.start] = shard, finished
            final = all(finished for _, finished in state.values())
            yield stage, examples, np.concatenate([_survived(state[task.start][0]) for task in tasks]), final
            if final:
                return

    def _furthest(self, task: Task) -> tuple[Shard | None, bool]:
        """What the store has of a shard: all, or what there was after its last finished stage."""
        if (whole := self.store.read(task.key, task.measure.heavy_arrays)) is not None:
            return whole, True
        for done in range(len(STAGES) - 1, 0, -1):
            if (part := self.store.read(_part_key(task, done))) is not None:
                return part, False
        return None, False

    def _keep(self, task: Task, shard: Shard, finished: bool) -> None:
        parts = task.content.plain()
        if not finished:
            done = _done(shard)
            self.store.write(_part_key(task, done), shard, {**parts, "stages_done": done})
        else:
            self.store.write(task.key, shard, parts)
        for done in range(1, len(STAGES) if finished else _done(shard)):
            self.store.path(_part_key(task, done)).unlink(missing_ok=True)


def _joined(found: Sequence[Shard]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([shard.arrays[name] for shard in found]) for name in found[0].arrays}


def _part_key(task: Task, done: int) -> str:
    return content_key({**task.content.plain(), "stages_done": done})


def _done(shard: Shard | None) -> int:
    return 0 if shard is None else int(shard.arrays["done"][0])


def _survived(shard: Shard | None) -> np.ndarray:
    assert shard is not None
    return shard.arrays["stage"] == len(STAGES)
