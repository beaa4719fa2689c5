"""Measure the overhead of each further run of a sweep: its wall time without training and test.

    python benchmarks/cost_of_a_run.py

Needs Fashion-MNIST in data/ or in the directory that CNN_EXPERIMENTS_DATA names.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = ("model=lenet", "trainer.max_epochs=1", "trainer.limit_train_batches=100", "sweep=cost")
NUM_RUNS = (1, 8)


def measure_sweep(num_runs: int, data_root: str) -> tuple[float, float]:
    """Return the wall time of a sweep in seconds, and the seconds of training and test of all its runs."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "cnn_experiments", "-m", *SWEEP, f"seed=range({num_runs})"]
        started = time.perf_counter()
        environment = os.environ | {"CNN_EXPERIMENTS_DATA": data_root}
        subprocess.run(command, cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        wall_seconds = time.perf_counter() - started
        runs = [json.loads(path.read_text()) for path in Path(directory).glob("outputs/cost/*/results.json")]
        return wall_seconds, sum(sum(results["seconds"].values()) for results in runs)


def main() -> None:
    """Print the times of a sweep of one run and of one of several runs, and the overhead of each further run."""
    data_root = str(Path(os.environ.get("CNN_EXPERIMENTS_DATA", "data")).absolute())
    measure_sweep(1, data_root)  # fills the file cache
    overheads = []
    for num_runs in NUM_RUNS:
        wall_seconds, training_seconds = measure_sweep(num_runs, data_root)
        overheads.append(wall_seconds - training_seconds)
        print(f"runs {num_runs}: {wall_seconds:.1f} s, of which training and test {training_seconds:.1f} s")
    overhead_per_run = (overheads[1] - overheads[0]) / (NUM_RUNS[1] - NUM_RUNS[0])
    print(f"overhead of each further run: {overhead_per_run:.2f} s")


if __name__ == "__main__":
    main()
