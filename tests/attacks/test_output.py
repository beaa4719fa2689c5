"""A short version of the output program: what a run prints does not decide how it ends."""

import os
import pty
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.faulty_program import Fault
from tests.attacks.small_run import PLAIN, Outcome, fork, run
from tests.commands import command_server

WORDS = (*PLAIN, "trainer.max_epochs=6")
NULL = "/dev/null"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Return the outcome of an undisturbed run."""
    directory = tmp_path_factory.mktemp("undisturbed")
    assert run(directory, WORDS).returncode == 0
    return Outcome.read(directory / "run")


def open_for_writing(path: str) -> int:
    return os.open(path, os.O_WRONLY)


def wait_for_two_epochs(directory: Path) -> None:
    metrics = directory / "run" / "metrics.csv"
    while not (metrics.exists() and len(metrics.read_text().splitlines()) > 2):
        time.sleep(0.01)


def wait(pid: int) -> int | None:
    return command_server(os.environ.get("PYTHONPATH", "")).wait(pid, timeout=None)


def close_pipe_after_a_line(directory: Path) -> int | None:
    reader, writer = os.pipe()
    pid = fork(directory, WORDS, (writer, writer), Fault())
    with os.fdopen(reader) as output:
        assert output.readline().startswith("lenet on digits")
    return wait(pid)


def write_to_full_device(directory: Path) -> int | None:
    return wait(fork(directory, WORDS, (open_for_writing("/dev/full"), open_for_writing("/dev/full")), Fault()))


def close_output_at_the_start(directory: Path) -> int | None:
    return wait(fork(directory, WORDS, (open_for_writing(NULL), open_for_writing(NULL)), Fault(closed=(1, 2))))


def lose_terminal_under_nohup(directory: Path) -> int | None:
    screen, keyboard = pty.openpty()
    pid = fork(directory, WORDS, (keyboard, keyboard), Fault(ignored=(signal.SIGHUP,)))
    os.set_blocking(screen, False)
    metrics = directory / "run" / "metrics.csv"
    while not (metrics.exists() and len(metrics.read_text().splitlines()) > 2):
        try:
            os.read(screen, 2**16)
        except BlockingIOError:
            time.sleep(0.01)
    os.close(screen)
    os.kill(pid, signal.SIGHUP)
    return wait(pid)


@pytest.mark.parametrize(
    "situation",
    [close_pipe_after_a_line, write_to_full_device, close_output_at_the_start, lose_terminal_under_nohup],
)
def test_run_completes_whatever_happens_to_its_output(
    tmp_path: Path, expected: Outcome, situation: Callable[[Path], int | None]
) -> None:
    assert situation(tmp_path) == 0
    assert Outcome.read(tmp_path / "run") == expected


def test_run_that_lost_its_terminal_is_interrupted_and_continues(tmp_path: Path, expected: Outcome) -> None:
    pid = fork(tmp_path, WORDS, (open_for_writing(NULL), open_for_writing(NULL)), Fault())
    wait_for_two_epochs(tmp_path)
    os.kill(pid, signal.SIGHUP)
    assert wait(pid) == 128 + signal.SIGHUP
    continued = run(tmp_path, WORDS)
    assert continued.returncode == 0
    assert continued.stdout.startswith("lenet on digits")
    assert "resuming after epoch " in continued.stdout
    assert Outcome.read(tmp_path / "run") == expected
