"""Ctrl-C, SIGTERM, SIGHUP and a batch system's SIGUSR2 end a run in the same way, after its directory is in order."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
"""The signals that ask a run to stop. SIGHUP comes when the terminal is closed; `nohup` lets a program ignore it."""

GRACE_PERIOD = 120.0
"""Seconds between a signal and the forced end of the process."""


_IMPORT_PATIENCE = 10.0
"""Seconds that a signal waits for the end of an import."""

_IMPORT_FILES = {"<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>"}


class Interrupted(BaseException):
    """A signal asked the program to end. No handler of errors or of `sys.exit` catches it by mistake."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signal = signal.Signals(signum).name
        self.status = 128 + signum
        """The exit status of the program, as in a shell."""


class _SignalState:
    """How this process handles signals at the moment."""

    def __init__(self) -> None:
        self.active = False  # inside interruptible()
        self.grace_period = GRACE_PERIOD
        self.deferred = False
        self.start_grace_period_on_signal = False
        self.pending: int | None = None
        self.watchdog: threading.Timer | None = None
        self.handled: tuple[signal.Signals, ...] = ()
        self.first_in_import: float | None = None

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if _is_importing(frame) and self.waits_for_import():
            # Half-way through, the import of a compiled module turns Interrupted into an error of its own.
            again = threading.Timer(0.05, os.kill, (os.getpid(), signum))
            again.daemon = True
            again.start()
            return
        self.first_in_import = None
        is_second_ctrl_c = self.pending is not None and signum == signal.SIGINT
        if not self.deferred or is_second_ctrl_c:
            self.interrupt(signum)
        if self.pending is None:
            self.pending = signum
            if self.start_grace_period_on_signal:
                self.start_watchdog(signum)

    def waits_for_import(self) -> bool:
        now = time.monotonic()
        if self.first_in_import is None:
            self.first_in_import = now
        return now - self.first_in_import < _IMPORT_PATIENCE

    def interrupt(self, signum: int) -> NoReturn:
        self.start_watchdog(signum)
        raise Interrupted(signum)

    def start_watchdog(self, signum: int) -> None:
        if self.watchdog is None and self.active:
            self.watchdog = threading.Timer(self.grace_period, os._exit, (128 + signum,))
            self.watchdog.daemon = True
            self.watchdog.start()

    def cancel_watchdog(self) -> None:
        if self.watchdog is not None:
            self.watchdog.cancel()
        self.watchdog = None


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename in _IMPORT_FILES:
            return True
        frame = frame.f_back
    return False


_state = _SignalState()


@contextmanager
def interruptible(grace_period: float = GRACE_PERIOD) -> Iterator[None]:
    """Raise Interrupted in this context when a signal arrives. Lightning would exit with 1 on Ctrl-C, 0 on SIGTERM.

    Processes that train together can wait for each other forever while they end. A watchdog therefore ends this process
    `grace_period` seconds after Interrupted was raised, if it is still in this context.
    """
    _state.active, _state.grace_period = True, grace_period
    ignores_hangup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    _state.handled = tuple(signum for signum in SIGNALS if not (signum == signal.SIGHUP and ignores_hangup))
    previous_handlers = {signum: signal.signal(signum, _state.handle) for signum in _state.handled}
    try:
        yield
    finally:
        _state.active = False
        stop_deferring()
        _state.cancel_watchdog()
        for signum, handler in previous_handlers.items():
            signal.signal(signum, handler)


def defer_signals(*, start_grace_period_on_signal: bool = False) -> None:
    """Only record signals from now on, so that a training step is not interrupted; a later Ctrl-C still raises.

    Handlers that were installed in the meantime are replaced, such as Lightning's, which communicates with other
    processes within the handler and can wait for them forever. Outside `interruptible` this does nothing.

    Args:
        start_grace_period_on_signal: whether the grace period starts when a signal arrives, not when it is raised.
    """
    if not _state.active:
        return
    _state.deferred, _state.start_grace_period_on_signal = True, start_grace_period_on_signal
    for signum in _state.handled:
        signal.signal(signum, _state.handle)


def pending_signal() -> int | None:
    """Return the number of the first signal that arrived since `defer_signals`, or None."""
    return _state.pending


def stop_deferring() -> int | None:
    """Raise on signals at once again, and return the number of the signal that arrived in the meantime, or None.

    The caller has to pass the signal to `raise_interrupted`. No signal is lost: one that arrives during this call is
    either returned or raised.
    """
    _state.deferred = False  # first: from here on a signal raises, and nothing can become pending
    signum, _state.pending = _state.pending, None
    return signum


def raise_interrupted(signum: int) -> NoReturn:
    """Raise Interrupted for a signal that was deferred, in this process or in another one of the same run.

    Raises:
        Interrupted: always.
    """
    _state.interrupt(signum)


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Keep signals from interrupting the block, and raise Interrupted after it if one arrived.

    An exception of the block takes precedence over the signal.
    """
    defer_signals()
    try:
        yield
    finally:
        signum = stop_deferring()
    if signum is not None:
        raise_interrupted(signum)


def disable_watchdog() -> None:
    """Let this process end without a time limit, because whatever it waits for has a limit of its own."""
    _state.cancel_watchdog()
    _state.grace_period = threading.TIMEOUT_MAX
