"""Ctrl-C and SIGTERM."""

import os
import signal
import subprocess
import sys
import time

import pytest

from cnn_experiments.runtime.signals import (
    Interrupted,
    in_one_piece,
    interruptible,
    noted,
    postpone,
    postpone_no_longer,
)


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


def test_a_process_that_hangs_on_its_way_out_ends_all_the_same() -> None:
    program = """
import os, signal, time
from cnn_experiments.runtime.signals import Interrupted, in_one_piece, interruptible, noted, postpone, postpone_no_longer
with interruptible(patience=0.5):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except Interrupted:
        time.sleep(60)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=30).returncode == 143


def test_a_signal_can_wait_for_the_end_of_a_step() -> None:
    with interruptible():
        postpone()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert noted() == signal.SIGTERM
        with pytest.raises(Interrupted):  # somebody is impatient
            os.kill(os.getpid(), signal.SIGINT)
        postpone_no_longer()
        assert noted() is None
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGUSR2)


def test_what_is_to_stay_whole_is_ended_behind_it() -> None:
    done = []

    def run() -> None:
        with interruptible(), in_one_piece():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(1)

    with pytest.raises(Interrupted) as interrupted:
        run()
    assert (done, interrupted.value.signal) == ([1], "SIGTERM")


def test_patience_begins_where_a_signal_is_acted_on() -> None:
    program = """
import os, signal, time
from cnn_experiments.runtime.signals import end, interruptible, noted, postpone
with interruptible(patience=0.3):
    postpone()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)
    print("the step is done", flush=True)
    try:
        end(noted())
    finally:
        time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=30, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (143, "the step is done\n")


def test_signals_are_not_taken_from_a_program_that_did_not_ask() -> None:
    before = signal.getsignal(signal.SIGTERM)
    postpone()
    assert signal.getsignal(signal.SIGTERM) == before
