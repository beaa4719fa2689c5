"""A signal sent before every line of some code in turn, for tests that none is lost."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from types import FrameType, ModuleType
from typing import Any

from cnn_experiments.runtime.signals import Interrupted, interruptible


class SignalBeforeLine(AbstractContextManager["SignalBeforeLine"]):
    """Send SIGTERM before the line of a module that is executed as the given one, counted from 1."""

    def __init__(self, module: ModuleType, line: int) -> None:
        self.file = module.__file__
        self.lines_left = line

    @property
    def was_sent(self) -> bool:
        return self.lines_left <= 0

    def __enter__(self) -> "SignalBeforeLine":
        self.tracer = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.tracer)

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename == self.file and event == "line":
            self.lines_left -= 1
            if self.lines_left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
        return self.trace


def lines_that_raise(run: Callable[[int], SignalBeforeLine]) -> int:
    """Run the code again and again, with the signal one line later each time, until it ends before the signal is sent.

    Returns:
        The number of lines at which the signal was sent; at each, it was raised.
    """
    with interruptible():
        for line in count(1):
            try:
                sender = run(line)
            except Interrupted:
                continue
            assert not sender.was_sent, f"the signal sent before line {line} was lost"
            return line - 1
    raise AssertionError
