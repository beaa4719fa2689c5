"""Take away the standard output, the standard error or the terminal of small runs, and compare what they trained.

    python -m tests.attacks.output
    python -m tests.attacks.output --sweep

A run must complete, bit by bit like an undisturbed run, whatever happens to its output. A terminal that is closed also
sends SIGHUP: then the run must be interrupted (129), unless nohup lets it ignore the signal, and the same command must
complete it.
"""

import argparse
import fcntl
import os
import pty
import shlex
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.small_run import PLAIN, Outcome, read_outcomes

RUN = (*PLAIN, "trainer.max_epochs=6", "hydra.run.dir=run")
SWEEP = ("-m", *PLAIN, "seed=0,1", "sweep=both")
_ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@dataclass(frozen=True)
class Command:
    """A command of the program in a directory."""

    cwd: Path
    words: Sequence[str]

    def shell(self, redirection: str = "") -> str:
        """Return the command for a shell."""
        return f"{shlex.join([sys.executable, '-m', 'cnn_experiments', *self.words])} {redirection}"

    def bash(self, script: str) -> "subprocess.Popen[bytes]":
        """Start a script in the directory."""
        return subprocess.Popen(
            ["bash", "-c", script], cwd=self.cwd, env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def has_two_epochs(self) -> bool:
        """Return whether a run has ended its second epoch."""
        return any(len(path.read_text().splitlines()) > 2 for path in self.cwd.rglob("metrics.csv"))


Situation = Callable[[Command], int]
"""Runs a command, and returns its exit status."""


def redirected(redirection: str) -> Situation:
    """Return the situation of a shell's redirection or pipe; the status is that of the program."""

    def run(command: Command) -> int:
        return command.bash(f"{command.shell(redirection)}; exit ${{PIPESTATUS[0]}}").wait()

    return run


def dead_tee(command: Command) -> int:
    """Kill the tee that writes the output of a run, after two epochs."""
    script = f"{command.shell('2>&1')} | (tee log & echo $! > tee.pid; wait); exit ${{PIPESTATUS[0]}}"
    process = command.bash(script)
    while process.poll() is None and not command.has_two_epochs():
        time.sleep(0.01)
    if process.poll() is None:
        os.kill(int((command.cwd / "tee.pid").read_text()), signal.SIGKILL)
    return process.wait()


def closed_terminal(*, ignore_hangup: bool) -> Situation:
    """Return the situation of a terminal that is closed after two epochs."""

    def run(command: Command) -> int:
        with Terminal(command, ignore_hangup=ignore_hangup) as terminal:
            terminal.read_until(command.has_two_epochs)
        return terminal.process.wait()

    return run


def ascii_terminal(command: Command) -> int:
    """Run in a terminal that knows ASCII alone."""
    with Terminal(command, _ASCII) as terminal:
        terminal.read_until(lambda: False)
        return terminal.process.wait()


class Terminal(AbstractContextManager["Terminal"]):
    """A terminal in which a command runs; it is closed at the end of the context."""

    def __init__(self, command: Command, environment: Mapping[str, str] = {}, *, ignore_hangup: bool = False) -> None:
        self._screen, keyboard = pty.openpty()
        os.set_blocking(self._screen, False)

        def set_up() -> None:
            fcntl.ioctl(keyboard, termios.TIOCSCTTY, 0)
            if ignore_hangup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

        self.process = subprocess.Popen(
            [sys.executable, "-m", "cnn_experiments", *command.words],
            cwd=command.cwd, env=os.environ | {"OMP_NUM_THREADS": "1", "TERM": "xterm"} | dict(environment),
            stdin=keyboard, stdout=keyboard, stderr=keyboard, start_new_session=True, preexec_fn=set_up,
        )  # fmt: skip
        os.close(keyboard)

    def read_until(self, condition: Callable[[], bool]) -> None:
        """Read what the command prints until a condition holds or the command has ended."""
        while self.process.poll() is None and not condition():
            with suppress(OSError):
                while os.read(self._screen, 2**16):
                    pass
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        os.close(self._screen)


SITUATIONS: dict[str, tuple[Situation, int]] = {
    "| head -1": (redirected("| head -1"), 0),
    "2>&1 | head -1": (redirected("2>&1 | head -1"), 0),
    "2>&1 | true": (redirected("2>&1 | true"), 0),
    "a dead tee": (dead_tee, 0),
    ">&-": (redirected(">&-"), 0),
    "2>&-": (redirected("2>&-"), 0),
    "<&- >&- 2>&-": (redirected("<&- >&- 2>&-"), 0),
    ">/dev/full": (redirected(">/dev/full"), 0),
    "2>/dev/full": (redirected("2>/dev/full"), 0),
    ">/dev/full 2>&1": (redirected(">/dev/full 2>&1"), 0),
    "a terminal closed under nohup": (closed_terminal(ignore_hangup=True), 0),
    "a closed terminal": (closed_terminal(ignore_hangup=False), 129),
    "a terminal of ASCII": (ascii_terminal, 0),
}
"""Situations and the exit statuses that they must have."""


def try_situation(
    name: str, words: Sequence[str], cwd: Path, expected: dict[str, Outcome]
) -> tuple[list[int], list[str]]:
    """Run a command in a situation, and complete it if it must be interrupted there.

    Returns:
        The exit statuses, and what is wrong.
    """
    situation, status = SITUATIONS[name]
    cwd.mkdir()
    command = Command(cwd, words)
    statuses = [situation(command)]
    if status != 0:
        statuses.append(redirected("")(command))
    problems = [] if statuses == [status, *[0] * (status != 0)] else [f"must be {status}"]
    try:
        outcomes = read_outcomes(cwd)
    except Exception as error:  # whatever cannot be read is a problem
        return statuses, [*problems, f"{type(error).__name__}: {error}"]
    if outcomes.keys() != expected.keys():
        return statuses, [*problems, f"runs: {list(outcomes)}"]
    differences = {part for run, outcome in outcomes.items() for part in outcome.differences(expected[run])}
    return statuses, problems + ([f"differs in {sorted(differences)}"] if differences else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", action="store_true", help="a sweep of two runs instead of a run")
    parser.add_argument("--only", action="append", choices=SITUATIONS, help="this situation; can be repeated")
    arguments = parser.parse_args()
    words = SWEEP if arguments.sweep else RUN
    names = arguments.only or list(SITUATIONS)
    num_good = 0
    with tempfile.TemporaryDirectory(prefix="output-") as directory:
        undisturbed = Command(Path(directory) / "undisturbed", words)
        undisturbed.cwd.mkdir()
        if redirected("")(undisturbed) != 0:
            sys.exit("the undisturbed command failed")
        expected = read_outcomes(undisturbed.cwd)
        for i, name in enumerate(names):
            statuses, problems = try_situation(name, words, Path(directory) / f"situation-{i}", expected)
            num_good += not problems
            print(f"{name}: {statuses} {'; '.join(problems) or 'identical'}", flush=True)
    print(f"{num_good} of {len(names)} situations end as they must, bit-identically")
    sys.exit(0 if num_good == len(names) else 1)


if __name__ == "__main__":
    main()
