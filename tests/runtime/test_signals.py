"""Tests of handling Ctrl-C, SIGTERM, SIGHUP and SIGUSR2: raising, deferring, and exiting after the grace period."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnn_experiments.runtime import signals
from cnn_experiments.runtime.signals import (
    Interrupted,
    defer_signals,
    interruptible,
    pending_signal,
    signals_deferred,
    stop_deferring,
)
from tests.signal_sender import SignalBeforeLine, lines_that_raise


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], check=False, timeout=600, capture_output=True, text=True)


@pytest.mark.usefixtures("default_hangup")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_raises_interrupted_and_handlers_are_restored(number: signal.Signals, status: int) -> None:
    handler = signal.getsignal(number)

    def run() -> None:
        with interruptible():
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(Interrupted) as interrupted:
        run()
    assert (interrupted.value.status, interrupted.value.signal) == (status, number.name)
    assert signal.getsignal(number) == handler


def test_hangup_that_nohup_ignores_stays_ignored() -> None:
    program = """
import os, signal
from cnn_experiments.runtime.signals import interruptible, signals_deferred
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with interruptible(), signals_deferred():
    os.kill(os.getpid(), signal.SIGHUP)
print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
"""
    completed = run_program(program)
    assert (completed.returncode, completed.stdout) == (0, "True\n")


def test_process_that_hangs_after_a_signal_is_ended_after_the_grace_period() -> None:
    program = """
import os, signal, time
from cnn_experiments.runtime.signals import Interrupted, interruptible
with interruptible(grace_period=0.5):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except Interrupted:
        time.sleep(60)
"""
    assert run_program(program).returncode == 143


@pytest.mark.parametrize(("seconds", "patience", "is_imported"), [(0, 600, True), (600, 0.1, False)])
def test_signal_waits_for_the_end_of_an_import_but_not_forever(
    tmp_path: Path, seconds: int, patience: float, is_imported: bool
) -> None:
    (tmp_path / "imported.py").write_text(
        f"import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep({seconds})\n"
    )
    program = f"""
import sys, time
from cnn_experiments.runtime import signals
sys.path.insert(0, {str(tmp_path)!r})
signals._IMPORT_PATIENCE = {patience}
with signals.interruptible():
    try:
        import imported
        time.sleep(600)
    except signals.Interrupted:
        print("imported" in sys.modules)
"""
    assert run_program(program).stdout == f"{is_imported}\n"


def test_deferred_signal_is_pending_and_a_later_ctrl_c_raises() -> None:
    with interruptible():
        defer_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert pending_signal() == signal.SIGTERM
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop_deferring() == signal.SIGTERM
        assert pending_signal() is None
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGUSR2)


def test_deferred_signal_is_raised_after_the_block() -> None:
    completed_steps = []

    def run() -> None:
        with interruptible(), signals_deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            completed_steps.append(1)

    with pytest.raises(Interrupted) as interrupted:
        run()
    assert (completed_steps, interrupted.value.signal) == ([1], "SIGTERM")


def test_signal_is_not_lost_at_any_line_of_a_deferral() -> None:
    def run(line_of_signal: int) -> SignalBeforeLine:
        with SignalBeforeLine(signals, line_of_signal) as sender, signals_deferred():
            pass
        return sender

    assert lines_that_raise(run) > 4


def test_exception_takes_precedence_over_a_deferred_signal() -> None:
    def run() -> None:
        with signals_deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ZeroDivisionError

    with interruptible():
        with pytest.raises(ZeroDivisionError):
            run()
        assert pending_signal() is None


WATCHDOG = """
import os, signal, threading
from cnn_experiments.runtime.signals import (
    Interrupted, defer_signals, disable_watchdog, interruptible, raise_interrupted, stop_deferring
)
class Watchdog:
    running = None
    def __init__(self, seconds, end, arguments):
        self.end, self.arguments = end, arguments
    def start(self):
        print("the grace period starts", flush=True)
        Watchdog.running = self
    def cancel(self):
        Watchdog.running = None
    @staticmethod
    def let_grace_period_pass():
        if Watchdog.running is not None:
            Watchdog.running.end(*Watchdog.running.arguments)
threading.Timer = Watchdog
"""


def test_grace_period_starts_when_a_deferred_signal_is_raised() -> None:
    program = """
with interruptible():
    defer_signals()
    os.kill(os.getpid(), signal.SIGTERM)
    Watchdog.let_grace_period_pass()
    print("the step is completed", flush=True)
    try:
        raise_interrupted(stop_deferring())
    finally:
        Watchdog.let_grace_period_pass()
        print("the process was not ended", flush=True)
"""
    completed = run_program(WATCHDOG + program)
    assert (completed.returncode, completed.stdout) == (143, "the step is completed\nthe grace period starts\n")


def test_grace_period_can_start_when_a_signal_arrives() -> None:
    program = """
with interruptible():
    defer_signals(start_grace_period_on_signal=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("deferred", flush=True)
    Watchdog.let_grace_period_pass()
    print("the process was not ended", flush=True)
"""
    completed = run_program(WATCHDOG + program)
    assert (completed.returncode, completed.stdout) == (143, "the grace period starts\ndeferred\n")


def test_disabled_watchdog_ends_no_process() -> None:
    program = """
with interruptible():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except Interrupted:
        disable_watchdog()
        Watchdog.let_grace_period_pass()
        print("the process was not ended", flush=True)
        raise SystemExit(3)
"""
    completed = run_program(WATCHDOG + program)
    assert (completed.returncode, completed.stdout) == (3, "the grace period starts\nthe process was not ended\n")


def test_handlers_are_not_replaced_outside_interruptible() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    defer_signals()
    assert signal.getsignal(signal.SIGTERM) == handler
