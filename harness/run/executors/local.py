"""One machine: worker processes, one a GPU, or as many as asked for on the CPU with one thread each.

A worker that dies takes only its task with it; a run that is killed loses only the shards in flight, and its workers
notice within a second that nobody waits for them any more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from typing import Literal

import torch
import torch.multiprocessing as multiprocessing

from harness.classifier.determinism import deterministic
from harness.errors import BadInput, one_line
from harness.run.plan import Plan, Task
from harness.run.shard import measure_shard, prepared
from harness.run.store import Store
from zoo.entrant import EntrantError


@dataclass(frozen=True)
class Done:
    """A task ended: well (error is empty), or with an error of one line; `bad_input` where the user can mend it."""

    task: Task
    seconds: float
    error: str = ""
    bad_input: bool = False
    trace: str = ""
    whole_entrant: bool = False


def watch_parent(parent: int) -> None:
    """End this process when the one that started it is gone: a killed run must not keep computing."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(plan: Plan, store: Store, device: torch.device, threads: int | None, pipe: Connection, parent: int) -> None:
    """A worker: takes task numbers from the pipe until it closes, and answers each with what became of it."""
    watch_parent(parent)
    deterministic(threads)
    loaded: tuple[int, torch.nn.Module] | None = None
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        task = plan.tasks[number]
        judged = plan.judged[task.judged]
        begun = time.perf_counter()
        loading = True
        try:
            if loaded is None or loaded[0] != task.judged:
                loaded = None  # the old model goes before the new one comes
                loaded = task.judged, prepared(judged, plan.suite, plan.precision, device)
            loading = False
            shard = measure_shard(task, loaded[1], plan.suite, judged.images, plan.precision, device)
            store.write(task.key, shard, dict(task.parts))
            pipe.send((number, time.perf_counter() - begun, "", False, "", False))
        except (BadInput, EntrantError) as error:
            pipe.send((number, time.perf_counter() - begun, one_line(error), True, traceback.format_exc(), loading))
        except Exception as error:  # noqa: BLE001  whatever an entrant's code raises is that entrant's failure alone
            text = f"{type(error).__name__}: {one_line(error)}"
            pipe.send((number, time.perf_counter() - begun, text, False, traceback.format_exc(), loading))
            if device.type == "cuda":
                return  # a failed kernel may leave the device's context unusable: the next task gets a new process


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    device: torch.device
    number: int | None = None
    judged: int | None = None
    since: float = 0.0
    ended: bool = False


@dataclass(frozen=True)
class LocalExecutor:
    """Runs tasks on worker processes of this machine.

    `devices` has one entry a worker. On the CPU each worker uses one thread, however many there are, so that one worker
    and many give the same numbers.
    """

    devices: tuple[torch.device, ...]
    kind: Literal["local"] = "local"

    def __call__(self, plan: Plan, tasks: Sequence[Task], store: Store, report: Callable[[Done], None]) -> None:
        """Measure the tasks into the store; `report` is called in this process as each one ends."""
        wanted = {(task.judged, task.key) for task in tasks}
        queue = deque(number for number, task in enumerate(plan.tasks) if (task.judged, task.key) in wanted)
        if not queue:
            return
        context = multiprocessing.get_context("spawn")
        for images in {id(one.images): one.images for one in plan.judged}.values():
            images.images.share_memory_()
            images.labels.share_memory_()
        workers: list[_Worker] = []
        try:
            for device in self.devices[: len(queue)]:
                workers.append(self._start(context, plan, store, device))
            while workers:
                for worker in workers:
                    if worker.number is None:
                        self._hand_over(worker, queue, plan)
                workers = [worker for worker in workers if worker.number is not None or self._close(worker)]
                ready = wait([w.pipe for w in workers] + [w.process.sentinel for w in workers], timeout=5)
                for worker in list(workers):
                    if worker.pipe in ready or worker.process.sentinel in ready:
                        self._collect(worker, plan, queue, report)
                        if worker.ended:  # its task has been reported
                            workers.remove(worker)
                            if queue:
                                workers.append(self._start(context, plan, store, worker.device))
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()

    def _start(self, context: SpawnContext, plan: Plan, store: Store, device: torch.device) -> _Worker:
        ours, theirs = context.Pipe()
        threads = 1 if device.type == "cpu" else None
        arguments = (plan, store, device, threads, theirs, os.getpid())
        process = context.Process(target=_work, args=arguments, daemon=True)
        # Ctrl-C reaches the whole process group; only this process answers it, and it ends its workers itself
        here = threading.current_thread() is threading.main_thread()
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if here else None
        try:
            process.start()
        finally:
            if here:
                signal.signal(signal.SIGINT, handler)
        theirs.close()
        return _Worker(process, ours, device)

    @staticmethod
    def _hand_over(worker: _Worker, queue: deque[int], plan: Plan) -> None:
        """Give a worker its next task: of the entrant that it has loaded, if there is one, else the first in line."""
        if not queue:
            return
        number = next((n for n in queue if plan.tasks[n].judged == worker.judged), queue[0])
        queue.remove(number)
        worker.number, worker.judged, worker.since = number, plan.tasks[number].judged, time.perf_counter()
        # where it has died meanwhile, its sentinel says so, and the task is reported as lost with it
        with contextlib.suppress(OSError):
            worker.pipe.send(number)

    @staticmethod
    def _close(worker: _Worker) -> bool:
        """No work is left for a worker: closing its pipe ends it. Always False, to drop it from the list."""
        worker.pipe.close()
        worker.process.join(timeout=10)
        if worker.process.is_alive():
            worker.process.kill()
        return False

    @staticmethod
    def _collect(worker: _Worker, plan: Plan, queue: deque[int], report: Callable[[Done], None]) -> None:
        """Take a worker's answer, or see that it has died without one; `worker.ended` says that it takes no more."""
        try:
            if not worker.pipe.poll():
                raise EOFError
            number, seconds, error, bad_input, trace, loading = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(timeout=5)
            assert worker.number is not None
            seconds = time.perf_counter() - worker.since
            code = worker.process.exitcode
            hint = "out of memory?" if code == -9 else "see above"
            worker.ended = True
            report(Done(plan.tasks[worker.number], seconds, f"the worker process ended with status {code} ({hint})"))
            return
        worker.number = None
        worker.ended = bool(error) and not bad_input and worker.device.type == "cuda"
        task = plan.tasks[number]
        report(Done(task, seconds, error, bad_input, trace, loading))
        if error and (loading or bad_input):
            # it will not load for the next shard either: its other tasks are dropped, and told of once
            for other in [n for n in queue if plan.tasks[n].judged == task.judged]:
                queue.remove(other)
