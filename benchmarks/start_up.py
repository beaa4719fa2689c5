"""Measure how long commands need to start, beside `import torch` and `import lightning.pytorch`.

    python benchmarks/start_up.py [ROUNDS]

In each round, every command runs once, in a process of its own. Needs Fashion-MNIST in data/ or in the directory that
CNN_EXPERIMENTS_DATA names. Linux only.
"""

import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMER = ROOT / "benchmarks" / "against_others"
PROGRAM = [sys.executable, "-m", "cnn_experiments"]
RUN = [*PROGRAM, "--config-dir", str(TIMER / "conf")]
SHORT = [
    *("model=lenet", "callbacks=step_timer", "callbacks.step_timer.num_warmup_steps=1"),
    *("callbacks.step_timer.num_steps=2", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"),
]


def seconds_of(command: list[str]) -> float:
    """Return the wall time of a command in an empty directory."""
    started = time.perf_counter()
    run(command)
    return time.perf_counter() - started


def run(command: list[str]) -> str:
    """Run a command in an empty directory, and return what it prints."""
    paths = os.pathsep.join([str(TIMER), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    data_root = os.environ.get("CNN_EXPERIMENTS_DATA", str(ROOT / "data"))
    with tempfile.TemporaryDirectory() as directory:
        own = {"PYTHONPATH": paths, "CNN_EXPERIMENTS_DATA": data_root, "XDG_CACHE_HOME": f"{directory}/cache"}
        completed = subprocess.run(  # noqa: S603
            command, cwd=directory, env=os.environ | own, check=True, stdout=subprocess.PIPE, text=True
        )
    return completed.stdout


def first_line_seconds() -> float:
    """Return the time from the start of a run to the first character on its terminal."""
    ours, terminal = pty.openpty()
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603
            [*PROGRAM, "data=digits", "trainer=smoke"], cwd=directory, env=environment, stdout=terminal, stderr=terminal
        )
        os.read(ours, 1)
        seconds = time.perf_counter() - started
        process.kill()
        process.wait()
    os.close(ours)
    os.close(terminal)
    return seconds


def first_steps(command: list[str]) -> list[float]:
    """Return the time from the start of the process of each run to the end of its first step."""
    lines = [line for line in run(command).splitlines() if line.startswith("{")]
    return [float(json.loads(line)["first_step_seconds"]) for line in lines]


MEASUREMENTS: dict[str, Callable[[], float]] = {
    "import torch": lambda: seconds_of([sys.executable, "-c", "import torch"]),
    "import lightning.pytorch": lambda: seconds_of([sys.executable, "-c", "import lightning.pytorch"]),
    "first line of a run": first_line_seconds,
    "task=inspect model=vgg11 data.resize=224": lambda: seconds_of(
        [*PROGRAM, "task=inspect", "model=vgg11", "data.resize=224"]
    ),
    "report of two directories": lambda: seconds_of(
        [
            sys.executable,
            "-m",
            "cnn_experiments.report",
            str(ROOT / "docs" / "example_sweep"),
            str(ROOT / "docs" / "runs"),
        ]
    ),
    "first step of a run": lambda: first_steps([*RUN, *SHORT])[0],
    "first step of the second run of a sweep": lambda: first_steps(
        [*RUN, "-m", *SHORT, "seed=0,1", "hydra.launcher.jobs=1"]
    )[1],
}
REFERENCES = ("import torch", "import lightning.pytorch")


def main() -> None:
    """Print the times of every round, and a table of their medians."""
    num_rounds = int((sys.argv[1:] or ["3"])[0])
    seconds: dict[str, list[float]] = {name: [] for name in MEASUREMENTS}
    for number in range(num_rounds):
        for name, measure in MEASUREMENTS.items():
            seconds[name].append(measure())
            print(f"round {number + 1}  {name}  {seconds[name][-1]:.2f} s", flush=True)
    print("| | seconds | times `import torch` | times `import lightning.pytorch` |")
    print("|---|---:|---:|---:|")
    for name, durations in seconds.items():
        ratios = [
            statistics.median(own / other for own, other in zip(durations, seconds[reference], strict=True))
            for reference in REFERENCES
        ]
        print(f"| {name} | {statistics.median(durations):.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()
