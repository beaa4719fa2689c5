"""Ctrl-C and SIGTERM end a run in one way, with its folder put in order first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(SystemExit):
    """A signal asked the program to end; the exit status is the shell's, 128 and the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signal = signal.Signals(signum).name


def _interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise Interrupted(signum)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises Interrupted where a signal comes in. Lightning's own answers are status 1 to Ctrl-C and 0 to SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.signal(signum, _interrupt) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
