"""What one more run of a sweep costs beside its training and test.

    python benchmarks/cost_of_a_run.py

Needs Fashion-MNIST in data/, or where CNN_EXPERIMENTS_DATA says.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = ("model=lenet", "trainer.max_epochs=1", "trainer.limit_train_batches=100", "sweep=cost")
RUNS = (1, 8)


def measured(runs: int, data: str) -> tuple[float, float]:
    """Wall time of a sweep, and the seconds of training and test in all its runs."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cnn_experiments", "-m", *SWEEP, f"seed=range({runs})"]
        started = time.perf_counter()
        subprocess.run(  # noqa: S603
            command, cwd=folder, env=os.environ | {"CNN_EXPERIMENTS_DATA": data}, check=True, stdout=subprocess.DEVNULL
        )
        wall = time.perf_counter() - started
        results = [json.loads(path.read_text()) for path in Path(folder).glob("outputs/cost/*/results.json")]
        return wall, sum(sum(each["seconds"].values()) for each in results)


def main() -> None:
    """Prints a sweep of one run, one of several, and what each further run adds beside its own seconds."""
    data = str(Path(os.environ.get("CNN_EXPERIMENTS_DATA", "data")).absolute())
    measured(1, data)  # what is read for the first time comes from the disk
    (one, alone), (all_of_them, training) = (measured(runs, data) for runs in RUNS)
    extra = ((all_of_them - training) - (one - alone)) / (RUNS[1] - RUNS[0])
    print(f"{RUNS[0]} run {one:.1f} s, {alone:.1f} s of it training and test")
    print(f"{RUNS[1]} runs {all_of_them:.1f} s, {training:.1f} s of it training and test")
    print(f"each further run {extra:.2f} s beside its training and test")


if __name__ == "__main__":
    main()
