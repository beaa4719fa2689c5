"""Ctrl-C and SIGTERM end a run in one way, with its folder put in order first."""

import os
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


@contextmanager
def interruptible(patience: float = 30.0) -> Iterator[None]:
    """Raises Interrupted where a signal comes in. Lightning's own answers are status 1 to Ctrl-C and 0 to SIGTERM.

    Processes that train together can wait for each other for ever on their way out; after `patience` seconds this one
    ends all the same.
    """
    watchdogs: list[threading.Timer] = []

    def interrupt(signum: int, _frame: FrameType | None) -> None:
        watchdog = threading.Timer(patience, os._exit, (128 + signum,))
        watchdog.daemon = True
        watchdog.start()
        watchdogs.append(watchdog)
        raise Interrupted(signum)

    before = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for watchdog in watchdogs:
            watchdog.cancel()
        for signum, handler in before.items():
            signal.signal(signum, handler)
