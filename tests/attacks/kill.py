"""Kill small runs again and again until they complete, and compare each with an undisturbed run, bit by bit.

    python -m tests.attacks.kill --seed 0 --trials 100 --jobs 2

Of the trials, a third is killed at random moments, a third before random file operations, and a third half-way through
them, up to four times each. Then the same command must complete the run.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from tests.attacks.faulty_program import Fault
from tests.attacks.small_run import VARIANTS, Outcome, finish, reference, run, start

MAX_KILLS = 4
_SIZES = (1, 100, 2_000, 30_000, 200_000)
"""Bytes after which a file is cut off by a kill half-way."""


@dataclass(frozen=True)
class Trial:
    """What happened in a trial.

    Args:
        number: of the trial.
        kills: what was done to the run, in words; the last one counts for nothing if the run completed before it.
        num_kills: how many of them killed the run.
        problem: what is wrong with the run that was completed, or None.
    """

    number: int
    kills: tuple[str, ...]
    num_kills: int
    problem: str | None


def try_kills(number: int, *, seed: int, directory: Path) -> Trial:
    """Kill a run several times, complete it, and compare it."""
    generator = random.Random(f"{seed}/{number}")  # noqa: S311
    variant = list(VARIANTS)[number % len(VARIANTS)]
    words = VARIANTS[variant]
    expected, operations, seconds = _reference(variant, directory)
    cwd = directory / f"trial-{number:03}"
    cwd.mkdir()
    kills: list[str] = []
    num_kills = 0
    for _ in range(generator.randint(1, MAX_KILLS)):
        kind = ("moment", "before", "half-way")[number % 3]
        if kind == "moment":
            moment = generator.uniform(0, seconds)
            status = _kill_after(moment, cwd, words)
            while status == 0 and num_kills == 0:  # a run that was never killed shows nothing
                shutil.rmtree(cwd / "run")
                moment /= 2
                status = _kill_after(moment, cwd, words)
            kills.append(f"after {moment:.2f} s")
        else:
            operation = generator.randint(1, len(operations))
            size = None if kind == "before" else generator.choice(_SIZES)
            status = run(cwd, words, Fault(operation=operation, kill_after_bytes=size)).returncode
            kills.append(f"{kind} {operation} ({operations[operation - 1]}, {size} bytes)")
        if status == 0:
            kills[-1] += ", completed before"
            break
        num_kills += 1
        if status not in (-signal.SIGKILL, -signal.SIGXFSZ):
            return Trial(number, tuple(kills), num_kills, f"exit status {status} when it was killed")
    if status != 0:
        completed = run(cwd, words)
        if completed.returncode != 0:
            output = (completed.stdout + completed.stderr).strip().splitlines()
            return Trial(
                number, tuple(kills), num_kills, f"exit status {completed.returncode} after the kills: {output[-1:]}"
            )
    try:
        differences = Outcome.read(cwd / "run").differences(expected)
    except Exception as error:  # whatever cannot be read is a problem of the trial
        return Trial(number, tuple(kills), num_kills, f"{type(error).__name__}: {error}")
    leftovers = [path.name for path in (cwd / "run").rglob("*") if path.name.endswith((".writing", ".best"))]
    if differences or leftovers:
        return Trial(number, tuple(kills), num_kills, f"differs in {differences}, leftovers {leftovers}")
    shutil.rmtree(cwd)
    return Trial(number, tuple(kills), num_kills, None)


def _kill_after(seconds: float, cwd: Path, words: Iterable[str]) -> int:
    process = start(cwd, words)
    time.sleep(seconds)
    process.kill()
    return finish(process).returncode


@cache
def _reference(variant: str, directory: Path) -> tuple[Outcome, list[str], float]:
    parent = Path(tempfile.mkdtemp(prefix=f"{variant}-", dir=directory))
    return reference(parent / "undisturbed", VARIANTS[variant])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="kill-"))
    numbers = range(arguments.first, arguments.first + arguments.trials)
    num_identical = num_kills = 0
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for trial in pool.map(partial(try_kills, seed=arguments.seed, directory=directory), numbers):
            num_kills += trial.num_kills
            if trial.problem is None:
                num_identical += 1
            else:
                print(f"trial {trial.number}: {trial.problem}; killed {'; '.join(trial.kills)}", flush=True)
    print(f"{num_identical} of {arguments.trials} identical after {num_kills} kills, seed {arguments.seed}")
    if num_identical == arguments.trials:
        shutil.rmtree(directory)
    else:
        print(f"the directories of the others are in {directory}")
        sys.exit(1)


if __name__ == "__main__":
    main()
