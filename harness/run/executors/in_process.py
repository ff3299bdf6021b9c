"""Work done in this process: for a script, a notebook or a test, and for a classifier that lives in memory only.

On the CPU it uses one thread, as every worker does, so the numbers are those of any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from harness.classifier.determinism import deterministic
from harness.run.executors.place import Answer, Assignment, Bench
from harness.run.plan import Plan
from harness.run.progress import Heard, unheard


@dataclass(frozen=True)
class InProcess:
    """One job after another, entrant by entrant."""

    bench: Bench
    device: torch.device
    count: int = 1

    def __call__(self, jobs: Sequence[Assignment]) -> Iterator[Answer]:
        given_up: set[int] = set()
        for number, assignment in sorted(enumerate(jobs), key=lambda item: item[1].judged):
            if assignment.judged in given_up:
                continue
            with deterministic(self.device):  # not while the caller has the answer: its threads are its own
                answer = self.bench(number, assignment)
            if answer.fault is not None and answer.fault.whole_entrant:
                given_up.add(assignment.judged)
            yield answer


@contextmanager
def in_process(plan: Plan, device: torch.device, heard: Heard = unheard) -> Iterator[InProcess]:
    """A worker that is this process; the entrant that it holds goes with the block. `heard` takes how far its jobs are."""
    yield InProcess(Bench(plan, device, heard), device)
