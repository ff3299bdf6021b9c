"""Worker processes that stay: each loads the one entrant once and then does small jobs, whose results decide the next ones.

The executor of a run hands out a plan's tasks and ends; a check asks for a batch, looks at it, and asks for the next.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from typing import Any, Protocol

import torch
from torch import nn

from harness.classifier.determinism import deterministic
from harness.run.executors.local import watch_parent
from harness.run.plan import Judged
from harness.run.shard import prepared
from harness.suites.suite import Suite


class WorkerLost(RuntimeError):
    """A worker process died: out of memory, or killed."""


@dataclass(frozen=True)
class Place:
    """Where a job is done: the entrant as measures see it, on its device, with the suite and its images."""

    model: nn.Module
    judged: Judged
    suite: Suite
    precision: str
    device: torch.device


class Job(Protocol):
    """A piece of work that is sent to a worker. It gives numpy arrays and plain values, no tensors."""

    def __call__(self, place: Place) -> Any: ...


_given: tuple[Judged, Suite, str, torch.device] | None = None
_place: Place | None = None


def _start(judged: Judged, suite: Suite, precision: str, devices: SimpleQueue[torch.device], parent: int) -> None:
    """What a worker does first. The entrant is loaded with the first job, whose error then says what is wrong with it."""
    global _given
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is answered by the process that started the workers
    watch_parent(parent)
    device = devices.get()
    deterministic(1 if device.type == "cpu" else None)
    _given = judged, suite, precision, device


def _do(job: Job) -> Any:
    global _place
    if _place is None:
        assert _given is not None
        judged, suite, precision, device = _given
        _place = Place(prepared(judged, suite, precision, device), judged, suite, precision, device)
    return job(_place)


@dataclass(frozen=True)
class Workers:
    """Processes with the entrant loaded, one a device (one thread each on the CPU)."""

    pool: ProcessPoolExecutor
    count: int

    def __call__(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Any]]:
        """The jobs with their results, as they are done. An exception of a job is raised here.

        Raises WorkerLost where a process died.
        """
        waiting = {self.pool.submit(_do, job): job for job in jobs}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BrokenProcessPool as error:
            raise WorkerLost("a worker process ended (out of memory?); what it had finished is kept") from error
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def workers(judged: Judged, suite: Suite, precision: str, devices: Sequence[torch.device]) -> Iterator[Workers]:
    """Start workers; they end with the block, at once where an exception leaves it."""
    context = multiprocessing.get_context("spawn")
    judged.images.images.share_memory_()
    judged.images.labels.share_memory_()
    others = set(multiprocessing.active_children())
    free = context.SimpleQueue()
    for device in devices:
        free.put(device)
    arguments = (judged, suite, precision, free, os.getpid())
    pool = ProcessPoolExecutor(len(devices), context, initializer=_start, initargs=arguments)
    try:
        yield Workers(pool, len(devices))
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
