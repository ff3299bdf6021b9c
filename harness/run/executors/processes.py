"""Work done in processes of this machine: one a GPU, or as many as asked for on the CPU with one thread each.

A worker that dies takes only its job with it, and another takes its place. A run that is killed loses only the jobs in
flight, and its workers notice within a second that nobody waits for them any more.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess, parent_process

import torch
import torch.multiprocessing as multiprocessing

from harness.classifier.allocation import keep_freed_memory
from harness.classifier.determinism import deterministic
from harness.errors import BadInput, one_line
from harness.run.executors.place import Answer, Assignment, Bench, Fault
from harness.run.plan import Plan
from harness.run.progress import Heard, News, unheard
from harness.run.signals import left_to_the_parent
from zoo.own_code import working_directory_importable

_OUT_OF_MEMORY = -9
"""The exit code of a process that was killed: the usual reason is memory."""


def watch_parent(parent: int) -> None:
    """End this process when the one that started it is gone: a killed run must not keep computing."""

    def watch() -> None:
        if sys.platform == "win32" and (started_by := parent_process()) is not None:
            started_by.join()  # there a process keeps the number of a parent that is gone
        while os.getppid() == parent and sys.platform != "win32":
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(plan: Plan, device: torch.device, pipe: Connection, parent: int) -> None:
    """A worker: takes jobs from the pipe until it closes, and answers each with what became of it."""
    watch_parent(parent)
    keep_freed_memory()

    def tell(news: News) -> None:
        # where nobody reads any more, the answer will say so
        with contextlib.suppress(OSError):
            pipe.send(news)

    bench = Bench(plan, device, tell)
    with deterministic(device):
        while True:
            try:
                number, assignment = pipe.recv()
                answer = bench(number, assignment)
                pipe.send(answer)
            except (EOFError, ConnectionError):  # nobody waits for it any more; the bench itself raises neither
                return
            if _spoilt(answer, device):
                return


def _spoilt(answer: Answer, device: torch.device) -> bool:
    """A failed kernel may leave a GPU's context unusable: the next job gets a new process."""
    return device.type == "cuda" and answer.fault is not None and not answer.fault.bad_input


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    device: torch.device
    number: int | None = None
    judged: int | None = None
    since: float = 0.0
    ended: bool = False


class Processes:
    """Worker processes. They are started with the first jobs and stay, each with the entrant that it has loaded."""

    def __init__(self, plan: Plan, devices: Sequence[torch.device], heard: Heard = unheard) -> None:
        self._plan = plan
        self._heard = heard
        self._devices = tuple(devices)
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        for images in {id(one.images): one.images for one in plan.judged}.values():
            images.images.share_memory_()
            images.labels.share_memory_()

    @property
    def count(self) -> int:
        return len(self._devices)

    def __call__(self, jobs: Sequence[Assignment]) -> Iterator[Answer]:
        queue = deque(range(len(jobs)))
        try:
            while queue or any(worker.number is not None for worker in self._workers):
                self._fill(queue, jobs)
                for worker in self._ready():
                    answer = self._collect(worker)
                    if answer is None:
                        continue
                    if worker.ended:
                        self._workers.remove(worker)
                    if answer.fault is not None and answer.fault.whole_entrant:
                        # it will not do better for the next job either: its others are dropped, and told of once
                        judged = jobs[answer.number].judged
                        for other in [number for number in queue if jobs[number].judged == judged]:
                            queue.remove(other)
                    yield answer
        except BaseException:
            self.close(at_once=True)
            raise

    def _fill(self, queue: deque[int], jobs: Sequence[Assignment]) -> None:
        """Give every free worker a job: of the entrant that it has loaded, if there is one, else the first in line."""
        busy = sum(worker.number is not None for worker in self._workers)
        waiting = list(self._devices)
        for worker in self._workers:
            waiting.remove(worker.device)
        for device in waiting[: max(0, busy + len(queue) - len(self._workers))]:
            self._workers.append(self._start(device))
        for worker in self._workers:
            if worker.number is None and queue:
                number = next((n for n in queue if jobs[n].judged == worker.judged), queue[0])
                queue.remove(number)
                worker.number, worker.judged, worker.since = number, jobs[number].judged, time.perf_counter()
                # where it has died meanwhile, its sentinel says so, and the job is answered as lost with it
                with contextlib.suppress(OSError):
                    worker.pipe.send((number, jobs[number]))

    def _ready(self) -> list[_Worker]:
        """Busy workers that have answered or died; waits for the first."""
        busy = [worker for worker in self._workers if worker.number is not None]
        found = wait([w.pipe for w in busy] + [w.process.sentinel for w in busy], timeout=5)
        return [worker for worker in busy if worker.pipe in found or worker.process.sentinel in found]

    def _start(self, device: torch.device) -> _Worker:
        ours, theirs = self._context.Pipe()
        arguments = (self._plan, device, theirs, os.getpid())
        process = self._context.Process(target=_work, args=arguments, daemon=True)
        own = any(not type(measure).__module__.startswith("harness.") for measure in self._plan.measures)
        try:
            # a measure from the user's own module must be found there, too
            with left_to_the_parent(), working_directory_importable() if own else contextlib.nullcontext():
                process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise BadInput(
                f"expected entrants that can be sent to worker processes, got {one_line(error)};"
                " judge them in this process (workers 0)"
            ) from error
        theirs.close()
        return _Worker(process, ours, device)

    def _collect(self, worker: _Worker) -> Answer | None:
        """Take a worker's answer, or see that it has died without one; `worker.ended` says that it takes no more.

        None where it only tells how far it is.
        """
        assert worker.number is not None
        try:
            if not worker.pipe.poll():
                raise EOFError
            answer: Answer | News = worker.pipe.recv()
            if not isinstance(answer, Answer):
                self._heard(answer)
                return None
        except (EOFError, OSError):
            worker.process.join(timeout=5)
            code = worker.process.exitcode
            hint = "out of memory?" if code == _OUT_OF_MEMORY else "see above"
            fault = Fault(f"the worker process ended with status {code} ({hint})", lost=True)
            answer = Answer(worker.number, time.perf_counter() - worker.since, fault=fault)
            worker.ended = True
        else:
            worker.number = None
            worker.ended = _spoilt(answer, worker.device)
        return answer

    def close(self, *, at_once: bool = False) -> None:
        """End the workers: when they are done, or at once."""
        for worker in self._workers:
            worker.pipe.close()
            if not at_once:
                worker.process.join(timeout=10)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()


@contextmanager
def processes(plan: Plan, devices: Sequence[torch.device], heard: Heard = unheard) -> Iterator[Processes]:
    """Workers, one a device; they end with the block, at once where an exception leaves it. `heard` takes how far they are."""
    found = Processes(plan, devices, heard)
    try:
        yield found
    except BaseException:
        found.close(at_once=True)
        raise
    else:
        found.close()
