"""Ctrl-C and SIGTERM."""

import os
import signal
import time

import pytest

from cnn_experiments.interruption import Interrupted, interruptible


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_becomes_an_exit_and_the_handlers_come_back(number: signal.Signals, status: int) -> None:
    before = signal.getsignal(number)

    def run() -> None:
        with interruptible():
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(Interrupted) as interrupted:
        run()
    assert (interrupted.value.code, interrupted.value.signal) == (status, number.name)
    assert signal.getsignal(number) == before
