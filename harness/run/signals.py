"""Signals that ask a run to end: SIGTERM and SIGHUP do what Ctrl-C does, and none of them tears what is being written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_FROM_OUTSIDE = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks a process to end from outside; Windows has no SIGHUP."""

ENDING = (signal.SIGINT, *_FROM_OUTSIDE)
"""What asks a process to end, and can be answered."""


class Asked(KeyboardInterrupt):
    """SIGTERM or SIGHUP came, as Ctrl-C does: past whatever catches errors."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def name(self) -> str:
        """As people write it: SIGTERM."""
        return signal.Signals(self.number).name

    @property
    def status(self) -> int:
        """The exit status of a process that the signal has ended."""
        return 128 + self.number


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def ending_raises() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise Asked in the main thread, as Ctrl-C raises KeyboardInterrupt.

    Only the first raises: what is put in order then is not disturbed. A signal that is ignored (nohup) stays ignored.
    """

    def answer(number: int, frame: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        raise Asked(number)

    heeded = [n for n in _FROM_OUTSIDE if signal.getsignal(n) == signal.SIG_DFL]
    before = {number: signal.signal(number, answer) for number in heeded} if _in_main_thread() else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that ask to end wait until the block is over. Of those that come, the first is answered then."""
    came: list[int] = []
    # None: a handler that Python did not set, and could not put back
    heeded = [n for n in ENDING if signal.getsignal(n) not in (signal.SIG_IGN, None)] if _in_main_thread() else []
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def left_to_the_parent() -> Iterator[None]:
    """A process that is started within the block leaves these signals to this one, which ends its workers itself.

    They reach a whole group of processes (Ctrl-C, a terminal that closes), and a worker that ended by itself would look like
    one that has failed. The child inherits them blocked; here they wait until it is started. Where signals cannot be blocked
    (Windows), they wait here alone.
    """
    if not hasattr(signal, "pthread_sigmask"):
        with undisturbed():
            yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it starts with the first worker, and would unblock them
    with undisturbed():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
