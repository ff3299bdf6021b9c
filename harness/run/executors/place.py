"""Where work is done: an entrant loaded on a device, and jobs that are done with it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn

from harness.classifier.across import beside
from harness.errors import BadInput, one_line
from harness.run.plan import Judged, Plan
from harness.run.progress import Heard, unheard
from harness.run.shard import prepared
from harness.suites.suite import Suite
from zoo.entrant import EntrantError


@dataclass(frozen=True)
class Place:
    """An entrant as measures see it, the device that its images are on, and the plan that it is judged by. `tell` takes how far
    a job is."""

    model: nn.Module
    judged: Judged
    plan: Plan
    device: torch.device
    tell: Heard = unheard

    @property
    def suite(self) -> Suite:
        return self.plan.suite


class Job(Protocol):
    """A piece of work that is sent to a worker. It gives numpy arrays and plain values, no tensors."""

    def __call__(self, place: Place) -> Any: ...


@dataclass(frozen=True)
class Assignment:
    """A job for one entrant, by its number in the plan."""

    judged: int
    job: Job


@dataclass(frozen=True)
class Fault:
    """Why a job has no result, in one line. `bad_input`: the user can mend it; `loading`: the entrant does not load at all."""

    message: str
    bad_input: bool = False
    loading: bool = False
    lost: bool = False
    """The worker process died."""
    trace: str = ""

    @property
    def whole_entrant(self) -> bool:
        """No other job of this entrant would do better."""
        return self.loading or self.bad_input


@dataclass(frozen=True)
class Answer:
    """What became of a job, by its number among those that were handed over."""

    number: int
    seconds: float
    result: Any = None
    fault: Fault | None = None


class JobFailed(RuntimeError):
    """A job failed, and not by what the user gave: an entrant's code raised, or a worker process died."""


class Workers(Protocol):
    """Who does jobs: this process, or processes of their own."""

    @property
    def count(self) -> int:
        """How many jobs are done at once."""
        ...

    def __call__(self, jobs: Sequence[Assignment]) -> Iterator[Answer]:
        """The answers as they come. After a fault of a whole entrant its other jobs are dropped without an answer."""
        ...


def results(workers: Workers, jobs: Sequence[Job]) -> Iterator[tuple[Job, Any]]:
    """Jobs for the one entrant of a plan, with their results as they are done.

    Raises BadInput for a fault that the user can mend and JobFailed for any other.
    """
    for answer in workers([Assignment(0, job) for job in jobs]):
        if answer.fault is not None:
            raise (BadInput if answer.fault.bad_input else JobFailed)(answer.fault.message)
        yield jobs[answer.number], answer.result


class Bench:
    """A worker's place: it keeps one entrant loaded, and turns whatever a job raises into a fault."""

    def __init__(self, plan: Plan, device: torch.device, tell: Heard = unheard) -> None:
        self._plan = plan
        self._device = device
        self._tell = tell
        self._loaded: tuple[int, Place] | None = None

    def __call__(self, number: int, assignment: Assignment) -> Answer:
        """Do a job; nothing but KeyboardInterrupt and the like is raised."""
        begun = time.perf_counter()
        answer = Answer(number, 0.0)
        loading = True
        try:
            place = self._place(assignment.judged)
            loading = False
            answer = replace(answer, result=assignment.job(place))
        except (BadInput, EntrantError) as error:
            answer = replace(answer, fault=Fault(one_line(error), True, loading, trace=traceback.format_exc()))
        except Exception as error:  # noqa: BLE001  whatever an entrant's code raises is that entrant's failure alone
            text = f"{type(error).__name__}: {one_line(error)}"
            answer = replace(answer, fault=Fault(text, loading=loading, trace=traceback.format_exc()))
        return replace(answer, seconds=time.perf_counter() - begun)

    def _place(self, judged: int) -> Place:
        if self._loaded is None or self._loaded[0] != judged:
            self._loaded = None  # the old model goes before the new one comes
            one, plan = self._plan.judged[judged], self._plan
            model = prepared(one, plan.suite, plan.precision, self._device)
            self._loaded = judged, Place(model, one, plan, beside(self._device), self._tell)
        return self._loaded[1]
