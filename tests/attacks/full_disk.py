"""Fill the disk at chosen moments of a small run, make room, and let the same command complete it.

    python -m tests.attacks.full_disk --seed 0

The disk is a tmpfs of a few megabytes, which root can mount. When it is full, the command must end without a traceback and
with few lines, keep the checkpoint that it had, and record that it failed. With room again, the same command must
complete the run from that checkpoint, bit by bit like an undisturbed run.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status
from tests.attacks.faulty_program import Fault, fill_disk
from tests.attacks.small_run import VARIANTS, Outcome, reference, run

MEGABYTES = 24
_MAX_LINES = 25
"""Lines that a command prints that fails on a full disk; each epoch and each warning is one."""
_RESULTS_BYTES = 8_192
"""What results.json needs at most: without that room, the status cannot be recorded, and the run counts as killed."""
_BYTES_LEFT = (0, 0, 4_096, 20_000, 300_000, 700_000)


@dataclass
class Trial:
    """What happened when the disk was full from a file operation on; 0 is before the start."""

    operation: int
    description: str
    bytes_left: int
    statuses: list[int] = field(default_factory=list)
    epochs_kept: int = 0
    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@contextmanager
def small_disk(parent: Path) -> Iterator[Path]:
    """Mount a small file system, and yield a directory on it.

    Raises:
        PermissionError: this user may not mount one.
    """
    disk = Path(tempfile.mkdtemp(prefix="disk-", dir=parent))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(disk)]
    completed = subprocess.run(mount, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        raise PermissionError(completed.stderr.strip())
    try:
        (disk / "work").mkdir()
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        disk.rmdir()


def try_full_disk(trial: Trial, words: tuple[str, ...], expected: Outcome, disk: Path) -> None:
    """Fill the disk at a moment of a run, complete it when there is room, and note what is wrong."""
    filler = disk / "filler"
    if trial.operation == 0:
        fill_disk(filler, trial.bytes_left)
    fault = Fault(operation=trial.operation, filler=str(filler), bytes_left=trial.bytes_left)
    try_fault(trial, words, expected, disk / "work", fault, make_room=filler.unlink)


def try_fault(
    trial: Trial,
    words: tuple[str, ...],
    expected: Outcome,
    work: Path,
    fault: Fault,
    make_room: Callable[[], object] = lambda: None,
) -> None:
    """Run with a fault that keeps files from being written, complete the run, and note what is wrong."""
    failed = run(work, words, fault)
    output = failed.stdout + failed.stderr
    trial.statuses.append(failed.returncode)
    trial.lines = output.splitlines()
    if "Traceback (most recent call last)" in output:
        trial.problems.append("traceback")
    if len(trial.lines) > _MAX_LINES:
        trial.problems.append(f"{len(trial.lines)} lines")
    _check_state(trial, work / "run", failed.returncode)
    make_room()
    if failed.returncode != 0:
        completed = run(work, words)
        trial.statuses.append(completed.returncode)
        if completed.returncode != 0:
            trial.problems.append(f"does not continue: {(completed.stdout + completed.stderr).splitlines()[-1:]}")
            return
        if trial.epochs_kept and f"after epoch {trial.epochs_kept}" not in completed.stdout:
            trial.problems.append(f"lost epochs: {completed.stdout.splitlines()[:3]}")
    if differences := Outcome.read(work / "run").differences(expected):
        trial.problems.append(f"differs in {differences}")
    leftovers = [path.name for path in (work / "run").rglob("*") if path.name.endswith((".writing", ".tmp", ".best"))]
    if leftovers:
        trial.problems.append(f"leftovers {leftovers}")


def _check_state(trial: Trial, directory: Path, status: int) -> None:
    """Check what a command has left behind on the full disk."""
    last = directory / "checkpoints" / "last.ckpt"
    if last.exists():
        trial.epochs_kept = torch.load(last, map_location="cpu", weights_only=True)["epoch"] + 1
    if status == 0:
        return
    if status not in (1, 2):
        trial.problems.append(f"exit status {status}")
    if not any("No space left on device" in line or "File too large" in line for line in trial.lines):
        trial.problems.append("does not say why")
    recorded = RunState.read(directory).status
    has_room = trial.operation == 0 or trial.bytes_left > _RESULTS_BYTES
    if recorded not in (Status.FAILED, Status.NEW, *([] if has_room else [Status.INTERRUPTED])):
        trial.problems.append(f"status {recorded}")


def moments(operations: list[str], num: int, generator: random.Random) -> list[Trial]:
    """Return trials: one before the start, the others at operations from the first to the last."""
    places = [0, *(round(1 + i * (len(operations) - 1) / max(1, num - 2)) for i in range(num - 1))]
    descriptions = ["before the start", *operations]
    return [Trial(place, descriptions[place], generator.choice(_BYTES_LEFT)) for place in places]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--moments", type=int, default=10)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)  # noqa: S311
    words = VARIANTS["adam"]
    num_good = 0
    with tempfile.TemporaryDirectory(prefix="full-disk-") as directory:
        expected, operations, _ = reference(Path(directory) / "undisturbed", words)
        trials = moments(operations, arguments.moments, generator)
        for trial in trials:
            with small_disk(Path(directory)) as disk:
                try_full_disk(trial, words, expected, disk)
            num_good += not trial.problems
            verdict = "; ".join(trial.problems) or f"nothing lost, {trial.epochs_kept} epochs kept"
            print(
                f"operation {trial.operation}, {trial.bytes_left} bytes left ({trial.description}): {trial.statuses} {verdict}"
            )
            for line in trial.lines[-2:]:
                print(f"  | {line[:200]}", flush=True)
    print(f"{num_good} of {len(trials)} moments: one line, nothing lost, continued bit-identically")
    sys.exit(0 if num_good == len(trials) else 1)


if __name__ == "__main__":
    main()
