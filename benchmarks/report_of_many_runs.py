"""Seconds and memory that the report of 2,000 runs takes; one of them is damaged.

The runs are made up on disk: `python benchmarks/report_of_many_runs.py`.
"""

import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

MODELS = [f"network{number}" for number in range(20)]
OPTIMIZERS = ("adam", "sgd")
RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
SEEDS = range(10)
EPOCHS = 10


def make_up(folder: Path) -> int:
    """Writes runs as training does, with settings and metrics of the same number, and damages the last."""
    drawn = random.Random(0)  # noqa: S311
    runs = list(product(MODELS, OPTIMIZERS, RATES, SEEDS))
    for model, optimizer, rate, seed in runs:
        run = folder / f"{model}-{optimizer}-lr{rate}-seed{seed}"
        run.mkdir(parents=True)
        accuracy = 0.7 + 0.01 * MODELS.index(model) + drawn.gauss(0, 0.005)
        options = {"model": model, "optimizer": optimizer, "data": "fashion_mnist", "scheduler": "constant"}
        settings = {f"some.setting{number}": number for number in range(40)}
        results = {
            "status": "completed",
            "started": "2026-11-22T10:00:00+00:00",
            "model": model,
            "data": "fashion_mnist",
            "protocol": "holdout",
            "image_size": 28,
            "seed": seed,
            "options": options,
            "overrides": [f"model={model}", f"optimizer={optimizer}", f"optimizer.lr={rate}", f"seed={seed}"],
            "settings": settings | {"optimizer.lr": rate, "seed": seed, "data.seed": seed},
            "configuration": f"{model}-{optimizer}-{rate}",
            "metrics": {"val/acc": accuracy, "test/acc": accuracy - 0.01} | {f"test/acc/{c}": 0.8 for c in range(10)},
            "epochs": EPOCHS,
            "parameters": 10_000 * (MODELS.index(model) + 1),
            "multiply_adds": 1_000_000 * (MODELS.index(model) + 1),
            "seconds": {"fit": 10.0 + drawn.random(), "test": 1.0},
            "images_per_second": {"train": 9000.0, "test": 20000.0},
            "peak_memory_bytes": 2**29,
            "device": "cpu (AMD EPYC)",
            "precision": "32-true",
            "error": None,
        }
        (run / "results.json").write_text(json.dumps(results, indent=1))
        rows = [f"{epoch},{accuracy - 0.1 / epoch},{1 / epoch}" for epoch in range(1, EPOCHS + 1)]
        (run / "metrics.csv").write_text("\n".join(["epoch,val/acc,train/loss", *rows, ""]))
        for name in ("config.yaml", "run.log"):
            (run / name).write_text("x\n")
        (run / "checkpoints").mkdir()
    (run / "results.json").write_text('{"status": "compl')
    return len(runs)


def main() -> None:
    """Prints the figures, and what the report said of the damaged run."""
    with tempfile.TemporaryDirectory() as folder:
        runs = make_up(Path(folder) / "many")
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "cnn_experiments.report", "many"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # MiB of what Linux has in KiB
        page = (Path(folder) / "many" / "leaderboard.html").stat().st_size / 2**20
    print(f"{runs} runs: {seconds:.1f} s, {memory:.0f} MiB at the peak, a page of {page:.1f} MiB")
    print(*re.findall(r"^(?:damaged|best).*", done.stdout, re.MULTILINE), sep="\n")


if __name__ == "__main__":
    main()
