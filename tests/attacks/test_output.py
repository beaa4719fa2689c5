"""A short version of the output program: what a run prints does not decide how it ends."""

import os
import pty
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.faulty_program import Fault
from tests.attacks.small_run import PLAIN, Outcome, fork, reference, run
from tests.commands import command_server, wait_while_running

WORDS = (*PLAIN, "trainer.max_epochs=6")
NULL = "/dev/null"


@dataclass(frozen=True)
class Undisturbed:
    """What an undisturbed run does.

    Args:
        outcome: of the run.
        second_checkpoint: the number of the file operation that ends the second epoch.
    """

    outcome: Outcome
    second_checkpoint: int


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    outcome, operations, _ = reference(tmp_path_factory.mktemp("output") / "undisturbed", WORDS)
    renames = [number for number, line in enumerate(operations, 1) if line == "os.rename run/checkpoints/last.writing"]
    assert len(renames) == 6
    return Undisturbed(outcome, renames[1])


def open_for_writing(path: str) -> int:
    return os.open(path, os.O_WRONLY)


def wait_until_stopped(pid: int, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until a run has stopped itself at a file operation."""

    def is_stopped() -> bool:
        meanwhile()
        return poll(pid) is None and state_of(pid) == "T"

    wait_while_running(lambda: poll(pid), until=is_stopped)


def state_of(pid: int) -> str:
    """Return the letter that Linux gives for the state of a process: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def poll(pid: int) -> int | None:
    return command_server(os.environ.get("PYTHONPATH", "")).wait(pid, timeout=0)


def wait(pid: int) -> int | None:
    return command_server(os.environ.get("PYTHONPATH", "")).wait(pid, timeout=None)


def hang_up(pid: int) -> None:
    """Send SIGHUP to a run that has stopped itself, and let it go on."""
    os.kill(pid, signal.SIGHUP)
    os.kill(pid, signal.SIGCONT)


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


def read_screen(screen: int) -> None:
    """Read what a run has written to its terminal, so that it does not wait for a reader."""
    with suppress(BlockingIOError):
        os.read(screen, 2**16)


@pytest.mark.parametrize("situation", [close_pipe_after_a_line, write_to_full_device, close_output_at_the_start])
def test_run_completes_whatever_happens_to_its_output(
    tmp_path: Path, undisturbed: Undisturbed, situation: Callable[[Path], int | None]
) -> None:
    assert situation(tmp_path) == 0
    assert Outcome.read(tmp_path / "run") == undisturbed.outcome


def test_run_under_nohup_completes_without_its_terminal(tmp_path: Path, undisturbed: Undisturbed) -> None:
    screen, keyboard = pty.openpty()
    os.set_blocking(screen, False)
    fault = Fault(operation=undisturbed.second_checkpoint, signal=signal.SIGSTOP, ignored=(signal.SIGHUP,))
    pid = fork(tmp_path, WORDS, (keyboard, keyboard), fault)
    wait_until_stopped(pid, meanwhile=lambda: read_screen(screen))
    os.close(screen)
    hang_up(pid)
    assert wait(pid) == 0
    assert Outcome.read(tmp_path / "run") == undisturbed.outcome


def test_run_that_lost_its_terminal_is_interrupted_and_continues(tmp_path: Path, undisturbed: Undisturbed) -> None:
    fault = Fault(operation=undisturbed.second_checkpoint, signal=signal.SIGSTOP)
    pid = fork(tmp_path, WORDS, (open_for_writing(NULL), open_for_writing(NULL)), fault)
    wait_until_stopped(pid)
    hang_up(pid)
    assert wait(pid) == 128 + signal.SIGHUP
    continued = run(tmp_path, WORDS)
    assert continued.returncode == 0
    assert continued.stdout.startswith("lenet on digits")
    assert "resuming after epoch 2" in continued.stdout
    assert Outcome.read(tmp_path / "run") == undisturbed.outcome
