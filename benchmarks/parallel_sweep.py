"""Compare the wall times of a sweep of LeNet with one run at a time and with two parallel runs.

    python benchmarks/parallel_sweep.py [ROUNDS] [OVERRIDES]

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

SWEEP = ("model=lenet", "data.batch_size=32", "seed=0,1", "trainer.max_epochs=3")
JOBS = (1, 2)


def measure_sweep(jobs: int, overrides: list[str], data_root: str) -> float:
    """Return the wall time of one sweep in an empty directory in seconds, from the start of the command to its end."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "cnn_experiments", "-m", *SWEEP, f"hydra.launcher.jobs={jobs}", *overrides]
        started = time.perf_counter()
        environment = os.environ | {"CNN_EXPERIMENTS_DATA": data_root}
        subprocess.run(command, cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        return time.perf_counter() - started


def main() -> None:
    """Print the times of every round, and the median of their ratios."""
    num_rounds, overrides = int((sys.argv[1:] or ["3"])[0]), sys.argv[2:]
    data_root = str(Path(os.environ.get("CNN_EXPERIMENTS_DATA", "data")).absolute())
    print(" ".join([*SWEEP, *overrides]), f"with {torch.get_num_threads()} threads, torch {torch.__version__}")
    ratios = []
    for _ in range(num_rounds):
        serial, parallel = (measure_sweep(jobs, overrides, data_root) for jobs in JOBS)
        ratios.append(serial / parallel)
        print(f"sequential {serial:.1f} s  parallel {parallel:.1f} s  ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
