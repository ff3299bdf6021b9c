"""The entrant that a check examines: its flags, measured batch by batch in worker processes.

Every flag is the one that `harness run` finds for the example: same shards, same seeds, same random starts. A shard that the
store has is not measured again. Whole shards are kept there, also between two stages of AutoAttack: a check that was
interrupted, and a later run, go on from them. PGD on a part of a shard is not kept: it costs seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from harness.attacks.engine.outcome import STAGES, SURVIVED
from harness.attacks.named import MAIN
from harness.attacks.pgd import PGD
from harness.attacks.verification import attacked
from harness.measures import Energies, RobustAccuracy, Summary
from harness.measures.calibration import Scaled, calibrated_on
from harness.measures.energies import correct_array
from harness.measures.measure import generator_of
from harness.run.executors.place import Place, Workers, results
from harness.run.group import Group, groups, queued
from harness.run.parts import Parts
from harness.run.plan import Plan, Task, shards
from harness.run.progress import Ended, Heard, Queue, unheard
from harness.run.store import Shard, Store


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
    heard: Heard = unheard
    """Takes how far the work is; what is queued is what the next look needs."""

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
        missing = [task for task in tasks if found[task.start] is None]
        waiting = groups(missing, self.workers.count, self.plan.suite.shape)
        self._announce(waiting)
        for job, made in results(self.workers, [Group(group, self.store) for group in waiting]):
            assert isinstance(job, Group)
            self._end(job.tasks)
            for task, shard in zip(job.tasks, made, strict=True):
                Parts(self.store).complete(task, shard)
                found[task.start] = shard
        return [shard for shard in found.values() if shard is not None]

    def _announce(self, waiting: Sequence[Sequence[Task]]) -> None:
        """Say what is measured now, for this look."""
        judged = self.plan.judged[0]
        self.heard(Queue(tuple(queued(judged, group) for group in waiting), self.workers.count))

    def _end(self, tasks: Sequence[Task]) -> None:
        self.heard(Ended(self.plan.judged[0].name, tasks[0].measure.name, tasks[0].start))

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
        measure = tasks[0].measure
        assert isinstance(measure, RobustAccuracy)
        state = {task.start: self._known(task) for task in tasks}
        examples = np.concatenate([np.arange(task.start, task.stop) for task in tasks])

        def least() -> int:
            return min(_reached(measure, shard) for shard in state.values())

        def survived() -> np.ndarray:
            return np.concatenate([_survived(state[task.start]) for task in tasks])

        if least() == SURVIVED:
            yield "autoattack", examples, survived(), True
            return
        suite = self.plan.suite
        stages = measure.stages(suite.classes, suite.norm, min(suite.shape[1:]))
        for stage, ahead in zip(stages, (*stages[1:], None), strict=True):
            through = SURVIVED if ahead is None else STAGES.index(ahead)
            left = [task for task in tasks if _reached(measure, state[task.start]) < through]
            waiting = groups(left, self.workers.count, suite.shape)
            self._announce(waiting)
            for job, made in results(self.workers, [Group(group, self.store, through) for group in waiting]):
                assert isinstance(job, Group)
                self._end(job.tasks)
                for task, shard in zip(job.tasks, made, strict=True):
                    self._keep(task, shard, whole=_reached(measure, shard) == SURVIVED)
                    state[task.start] = shard
            final = least() == SURVIVED
            yield stage, examples, survived(), final
            if final:
                return

    def _known(self, task: Task) -> Shard | None:
        """What the store has of a shard: all, or what there was when it was last kept."""
        whole = self.store.read(task.key, task.measure.heavy_arrays)
        return whole if whole is not None else Parts(self.store).furthest(task)

    def _keep(self, task: Task, shard: Shard, *, whole: bool) -> None:
        (Parts(self.store).complete if whole else Parts(self.store).keep)(task, shard)


def _joined(found: Sequence[Shard]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([shard.arrays[name] for shard in found]) for name in found[0].arrays}


def _reached(measure: RobustAccuracy, shard: Shard | None) -> int:
    """How many stages have been run on a shard."""
    return 0 if shard is None else measure.reached(shard.arrays)


def _survived(shard: Shard | None) -> np.ndarray:
    assert shard is not None
    return shard.arrays["stage"] == SURVIVED
