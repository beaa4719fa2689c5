"""Run many command lines drawn at random, and report each that breaks a promise of the program.

    python -m tests.attacks.fuzz --seed 0 --count 1000 --jobs 2
    python -m tests.attacks.fuzz --seed 0 --replay 17

It tests the package that the interpreter imports. Every command is a process of its own, forked from one that has
imported the package, in a directory of its own. What is promised:

- the exit status is 0, 1, 2, 130 or 143, and it comes within the time limit; a run that is still training then must end
  with 143 after SIGTERM;
- no traceback, and no control character that was in a name, reaches the output;
- bad input (2) is rejected in one line on standard error, and leaves nothing behind;
- nothing senseless is accepted, and a run that is accepted is completed in its results.json;
- nothing is written outside of the working directory.
"""

import argparse
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.attacks.grammar import CommandLine, draw
from tests.commands import CommandServer, command_server

STATUSES = (0, 1, 2, 130, 143)
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]")
_SECONDS_TO_STOP = 60.0
_MAX_SHOWN = 1500
"""Characters of a command line that are printed."""


@dataclass(frozen=True)
class Problem:
    """A promise that a command line breaks, and how it does."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass
class Case:
    """A command line that runs, in `work` below a directory that nothing else uses."""

    number: int
    line: CommandLine
    directory: Path
    pid: int = 0
    start: float = 0.0
    before: frozenset[str] = frozenset()
    is_stopping: bool = False
    problems: list["Problem"] = field(default_factory=list)

    @property
    def work(self) -> Path:
        return self.directory / "work"

    def read(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8", errors="surrogateescape")

    def command(self) -> str:
        """Return the command line in a form that can be pasted into a shell."""
        variables = [f"{name}={_quote(value)}" for name, value in self.line.environment.items() if value is not None]
        removed = [f"-u {name}" for name, value in self.line.environment.items() if value is None]
        environment = ["env", *removed, *variables] if removed or variables else []
        words = [*environment, "python -m cnn_experiments", *map(_quote, self.line.words)]
        return f"cd {self.work} && {' '.join(words)}"


class Fuzzer:
    """Runs command lines, a few at a time.

    Args:
        directory: of all cases.
        timeout: seconds after which a command must have ended, or be training.
        memory: bytes of address space that a command may have.
    """

    def __init__(self, directory: Path, timeout: float, memory: int) -> None:
        self.directory = directory
        self.timeout = timeout
        self.memory = memory
        self.server: CommandServer = command_server(os.environ.get("PYTHONPATH", ""))
        self.stored_run = self._train()

    def _train(self) -> Path:
        """Train the run that some command lines continue, and return its directory."""
        words = ["data=digits", "trainer=smoke", "hydra.run.dir=run"]
        case = self.start(0, CommandLine(words, {}))
        while (status := self.server.wait(case.pid, timeout=1)) is None:
            pass
        if status != 0:
            raise RuntimeError(f"{case.command()}: status {status}\n{case.read('stdout')}{case.read('stderr')}")
        return case.work / "run"

    def start(self, number: int, line: CommandLine) -> Case:
        case = Case(number, line, self.directory / f"case-{number:04}")
        for name in ("work", "home", "tmp"):
            (case.directory / name).mkdir(parents=True)
        for set_up in line.set_ups:
            set_up(case.work, self.stored_run)
        case.before = _listing(case.work)
        environment = os.environ | {"HOME": str(case.directory / "home"), "TMPDIR": str(case.directory / "tmp")}
        environment |= {"OMP_NUM_THREADS": "1", "SEED": "3", "MPLCONFIGDIR": str(self.directory / "matplotlib")}
        environment |= {"TORCHINDUCTOR_CACHE_DIR": str(self.directory / "inductor")}
        for name, value in line.environment.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        request = {
            "module": "cnn_experiments",
            "arguments": line.words,
            "cwd": str(case.work),
            "environment": environment,
        }
        flags = os.O_CREAT | os.O_WRONLY
        descriptors = [os.open(case.directory / name, flags) for name in ("stdout", "stderr")]
        case.start = time.monotonic()
        case.pid = self.server.fork(request, descriptors)
        with suppress(ProcessLookupError):
            resource.prlimit(case.pid, resource.RLIMIT_AS, (self.memory, self.memory))
        for descriptor in descriptors:
            os.close(descriptor)
        return case

    def poll(self, case: Case) -> int | None:
        """Return the exit status of a case, or None while it runs; a case that takes too long is ended."""
        status = self.server.wait(case.pid, timeout=0)
        seconds = time.monotonic() - case.start
        if status is None and case.is_stopping and seconds > self.timeout + _SECONDS_TO_STOP:
            case.problems.append(Problem("does not end", f"{_SECONDS_TO_STOP:.0f} s after SIGTERM"))
        elif status is None and not case.is_stopping and seconds > self.timeout:
            case.is_stopping = True
            if _is_training(case.work):
                os.kill(case.pid, signal.SIGTERM)
                return None
            case.problems.append(Problem("no answer", f"in {self.timeout:.0f} s"))
        elif status is None:
            return None
        _kill_group(case.pid)
        return self.server.wait(case.pid, timeout=None) if status is None else status

    def check(self, case: Case, status: int) -> None:
        """Add the problems of a case that has ended."""
        problems, line = case.problems, case.line
        stdout, stderr = case.read("stdout"), case.read("stderr")
        output = stdout + stderr
        if status not in STATUSES and not problems:
            problems.append(Problem("another exit status", str(status)))
        if "Traceback (most recent call last)" in output:
            problems.append(Problem("traceback"))
        elif status == 2 and len(stderr.splitlines()) != 1:
            problems.append(Problem("bad input is not rejected in one line", f"{len(stderr.splitlines())} lines"))
        if status == 2 and stdout:
            problems.append(Problem("standard output for bad input"))
        if (match := _CONTROL_CHARACTERS.search(output)) and "FORCE_COLOR" not in line.environment:
            problems.append(Problem("control characters in the output", repr(match[0])))
        after = _listing(case.work)
        written = sorted(after - case.before)
        if status == 2 and written:
            problems.append(Problem("bad input leaves files", ", ".join(written[:5])))
        put_aside = {Path(path).name for path in after if "/attempt-" in path}
        if removed := sorted(path for path in case.before - after if Path(path).name not in put_aside):
            problems.append(Problem("files are removed", ", ".join(removed[:5])))
        if status == 0 and line.senseless:
            problems.append(Problem("something senseless is accepted", _shorten("; ".join(line.senseless))))
        if status == 0 and line.trains and not _has_completed_runs_only(case.work):
            problems.append(Problem("exit status 0 without a completed run"))
        if status == 1 and not output.strip():
            problems.append(Problem("exit status 1 without a word"))
        outside = [case.directory / name for name in ("home", "tmp")]
        written = [f"{path.name}/{name}" for path in outside for name in sorted(_listing(path))]
        beside = {path.name for path in case.directory.iterdir()} - {"work", "home", "tmp", "stdout", "stderr"}
        if written or beside:
            problems.append(Problem("writes outside of its directory", ", ".join([*sorted(beside), *written][:5])))

    def run(self, numbered_lines: Iterator[tuple[int, CommandLine]], jobs: int) -> Iterator[tuple[Case, int]]:
        """Run command lines, and yield each with its exit status when it has ended."""
        running: list[Case] = []
        while True:
            while len(running) < jobs and (following := next(numbered_lines, None)):
                running.append(self.start(*following))
            if not running:
                return
            time.sleep(0.02)
            for case in list(running):
                if (status := self.poll(case)) is not None:
                    running.remove(case)
                    self.check(case, status)
                    yield case, status


def _quote(word: str) -> str:
    """Quote a word for bash, with escapes for what a terminal would not show."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(_escape(letter) for letter in word) + "'"


def _escape(letter: str) -> str:
    if letter.isprintable():
        return f"\\{letter}" if letter in "'\\" else letter
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))


def _shorten(text: str) -> str:
    """Return a text without its middle if it is long; `--replay` runs a command line as it is."""
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN // 2]} ... {text[-_MAX_SHOWN // 2 :]}"


def _listing(directory: Path) -> frozenset[str]:
    """Return everything below a directory."""
    names = []
    for parent, directories, files in os.walk(directory):
        names += [os.path.relpath(os.path.join(parent, name), directory) for name in (*directories, *files)]  # noqa: PTH118
    return frozenset(names)


def _is_training(work: Path) -> bool:
    """Return whether a run below a directory has trained its first epoch."""
    return any(len(path.read_text().splitlines()) > 1 for path in work.rglob("metrics.csv") if path.is_file())


def _has_completed_runs_only(work: Path) -> bool:
    statuses = [json.loads(path.read_text())["status"] for path in _results_files(work)]
    return bool(statuses) and set(statuses) == {"completed"}


def _results_files(work: Path) -> list[Path]:
    return [path for path in work.rglob("results.json") if path.is_file()]


def _kill_group(pid: int) -> None:
    """Kill what a command has left running."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def fuzz(
    numbers: Sequence[int], *, seed: int, jobs: int, directory: Path, timeout: float = 60, memory: int = 12 * 2**30
) -> list[tuple[Case, int]]:
    """Run the command lines with some numbers, print those with problems, and return them with their statuses."""
    fuzzer = Fuzzer(directory, timeout, memory)
    violations = []
    statuses: Counter[int] = Counter()
    kinds: Counter[str] = Counter()
    slowest = 0.0
    for case, status in fuzzer.run(((number, draw(seed, number)) for number in numbers), jobs):
        statuses[status] += 1
        slowest = max(slowest, time.monotonic() - case.start)
        if case.problems:
            violations.append((case, status))
            kinds.update(problem.kind for problem in case.problems)
            print(f"{case.number}: status {status}: {'; '.join(map(str, case.problems))}\n  {_shorten(case.command())}")
            for line in (case.read("stderr") or case.read("stdout")).splitlines()[-2:]:
                print(f"  | {line[:300]!r}")
            sys.stdout.flush()
        else:
            shutil.rmtree(case.directory)
    print(f"{len(numbers)} command lines, seed {seed}: {len(violations)} with problems; slowest {slowest:.0f} s")
    print("exit statuses: " + ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())))
    for kind, count in kinds.most_common():
        print(f"  {count} {kind}")
    return violations


def _checkout_state() -> str:
    import cnn_experiments

    checkout = Path(cnn_experiments.__file__).parents[2]
    command = ["git", "-C", str(checkout), "status", "--porcelain", "--untracked-files=all"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000, help="number of command lines")
    parser.add_argument("--first", type=int, default=1, help="number of the first one")
    parser.add_argument("--replay", type=int, action="append", help="run this one alone; can be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="command lines at a time")
    parser.add_argument("--timeout", type=float, default=60, help="seconds in which a command must answer")
    parser.add_argument("--memory", type=float, default=12, help="GiB of address space of a command")
    arguments = parser.parse_args()
    numbers = arguments.replay or range(arguments.first, arguments.first + arguments.count)
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
    checkout_before = _checkout_state()
    violations = fuzz(
        numbers, seed=arguments.seed, jobs=arguments.jobs, directory=directory, timeout=arguments.timeout,
        memory=int(arguments.memory * 2**30),
    )  # fmt: skip
    changed = _checkout_state() != checkout_before
    if changed:
        print("the program has written into its own checkout")
    if violations:
        print(f"the directories of these are in {directory}")
    else:
        shutil.rmtree(directory)
    sys.exit(1 if violations or changed else 0)


if __name__ == "__main__":
    main()
