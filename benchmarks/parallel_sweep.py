"""A sweep of LeNet runs one after the other, and two at once: wall times in turn, and their ratio.

    python benchmarks/parallel_sweep.py [ROUNDS] [OVERRIDES]

Needs Fashion-MNIST in data/, or where CNN_EXPERIMENTS_DATA says.
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


def seconds(jobs: int, overrides: list[str], data: str) -> float:
    """Wall time of one sweep in an empty folder, from the command to its end."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cnn_experiments", "-m", *SWEEP, f"hydra.launcher.jobs={jobs}", *overrides]
        started = time.perf_counter()
        subprocess.run(  # noqa: S603
            command, cwd=folder, env=os.environ | {"CNN_EXPERIMENTS_DATA": data}, check=True, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - started


def main() -> None:
    """Prints every round, and the median of the ratios."""
    rounds, overrides = int((sys.argv[1:] or ["3"])[0]), sys.argv[2:]
    data = str(Path(os.environ.get("CNN_EXPERIMENTS_DATA", "data")).absolute())
    print(" ".join([*SWEEP, *overrides]), f"with {torch.get_num_threads()} threads, torch {torch.__version__}")
    ratios = []
    for _ in range(rounds):
        serial, parallel = (seconds(jobs, overrides, data) for jobs in JOBS)
        ratios.append(serial / parallel)
        print(f"one at a time {serial:.1f} s  two at once {parallel:.1f} s  ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
