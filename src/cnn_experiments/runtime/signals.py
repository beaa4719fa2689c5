"""Ctrl-C, SIGTERM and a batch system's SIGUSR2 end a run in one way, with its folder put in order first."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGUSR2") if hasattr(signal, name)]
"""What asks a run to stop."""

PATIENCE = 120.0
"""Seconds that a run has to put its folder in order."""


class Interrupted(SystemExit):
    """A signal asked the program to end; the exit status is the shell's, 128 and the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signal = signal.Signals(signum).name


class _Signals:
    """What this process does about signals."""

    def __init__(self) -> None:
        self.handled = False
        self.patience = PATIENCE
        self.postponed = False
        self.hurry = False
        self.noted: int | None = None
        self.watchdog: threading.Timer | None = None

    def handle(self, signum: int, _frame: FrameType | None) -> None:
        impatient = self.noted is not None and signum == signal.SIGINT
        if not self.postponed or impatient:
            self.end(signum)
        if self.noted is None:
            self.noted = signum
            if self.hurry:
                self.watch(signum)

    def end(self, signum: int) -> NoReturn:
        self.watch(signum)
        raise Interrupted(signum)

    def watch(self, signum: int) -> None:
        if self.watchdog is None and self.handled:
            self.watchdog = threading.Timer(self.patience, os._exit, (128 + signum,))
            self.watchdog.daemon = True
            self.watchdog.start()

    def call_off(self) -> None:
        if self.watchdog is not None:
            self.watchdog.cancel()
        self.watchdog = None


_signals = _Signals()


@contextmanager
def interruptible(patience: float = PATIENCE) -> Iterator[None]:
    """Raises Interrupted where a signal comes in. Lightning's own answers are status 1 to Ctrl-C and 0 to SIGTERM.

    Processes that train together can wait for each other for ever on their way out; after `patience` seconds this one
    ends all the same.
    """
    _signals.handled, _signals.patience = True, patience
    before = {signum: signal.signal(signum, _signals.handle) for signum in SIGNALS}
    try:
        yield
    finally:
        _signals.handled = False
        postpone_no_longer()
        _signals.call_off()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def postpone(hurry: bool = False) -> None:
    """From now on a signal is only noted: a step of training is not to be torn apart. Ctrl-C behind another one raises.

    Takes the place of handlers that were installed since, such as Lightning's, which talks to other processes from
    within the handler and can wait for them for ever.

    Args:
        hurry: whether the patience of `interruptible` begins with the signal, and not where it is acted on.
    """
    if not _signals.handled:
        return
    _signals.postponed, _signals.hurry = True, hurry
    for signum in SIGNALS:
        signal.signal(signum, _signals.handle)


def noted() -> int | None:
    """The number of the signal that came in since `postpone`."""
    return _signals.noted


def end(signum: int) -> NoReturn:
    """Acts on a signal that was noted, here or in another process.

    Raises:
        Interrupted: always.
    """
    _signals.end(signum)


def postpone_no_longer() -> None:
    """Signals raise at once again."""
    _signals.postponed, _signals.noted = False, None


@contextmanager
def in_one_piece() -> Iterator[None]:
    """What is inside is not torn apart by a signal; behind it, the signal raises."""
    postpone()
    try:
        yield
        signum = noted()
    finally:
        postpone_no_longer()
    if signum is not None:
        end(signum)


def take_the_time() -> None:
    """Nothing ends this process by force any more: what it waits for has a limit of its own."""
    _signals.call_off()
    _signals.patience = threading.TIMEOUT_MAX
