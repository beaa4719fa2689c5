"""Compare the wall times of a sweep of small networks with the runs at once that are chosen, and with fixed numbers.

    python benchmarks/parallel_sweep.py [ROUNDS] [OVERRIDES]

What is timed for the choice is kept in a cache, which is empty in the first round.

Needs Fashion-MNIST in data/ or in the directory that CNN_EXPERIMENTS_DATA names.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

SWEEP = ("model=lenet,lenet_bn", "seed=range(4)", "trainer.max_epochs=1")
JOBS = ("auto", "1", "2")


def measure_sweep(jobs: str, overrides: list[str], environment: dict[str, str]) -> float:
    """Return the wall time of one sweep in an empty directory in seconds, from the start of the command to its end."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "cnn_experiments", "-m", *SWEEP, f"hydra.launcher.jobs={jobs}", *overrides]
        started = time.perf_counter()
        subprocess.run(command, cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        return time.perf_counter() - started


def main() -> None:
    """Print the times of every round, and the medians of their ratios."""
    num_rounds, overrides = int((sys.argv[1:] or ["3"])[0]), sys.argv[2:]
    print(" ".join([*SWEEP, *overrides]), f"with {torch.get_num_threads()} threads, torch {torch.__version__}")
    seconds: list[list[float]] = []
    with tempfile.TemporaryDirectory() as cache:
        data_root = str(Path(os.environ.get("CNN_EXPERIMENTS_DATA", "data")).absolute())
        environment = os.environ | {"CNN_EXPERIMENTS_DATA": data_root, "XDG_CACHE_HOME": cache}
        for _ in range(num_rounds):
            seconds.append([measure_sweep(jobs, overrides, environment) for jobs in JOBS])
            times = (f"jobs={jobs} {duration:.1f} s" for jobs, duration in zip(JOBS, seconds[-1], strict=True))
            print("  ".join(times), flush=True)
    over_one = statistics.median(one / auto for auto, one, _ in seconds)
    over_best = statistics.median(min(fixed) / auto for auto, *fixed in seconds)
    print(
        f"speed of auto: {over_one:.2f} times that of jobs=1, {over_best:.2f} times that of the best of both (medians)"
    )


if __name__ == "__main__":
    main()
