"""Measure time and memory of the report of 2,000 runs, one of which is damaged.

    python benchmarks/report_of_many_runs.py

The runs are not trained: their results are generated. Runs of an optimizer and a learning rate share one file of
predictions, so that the best runs, which are compared image by image, have different ones.
"""

import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np

from cnn_experiments.predictions.file import Predictions, SplitPredictions, num_stored_mistakes

MODELS = [f"network{number}" for number in range(20)]
OPTIMIZERS = ("adam", "sgd")
LEARNING_RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
SEEDS = range(10)
EPOCHS = 10
CLASSES, SPLIT_SIZES, IMAGE_SHAPE = 10, {"val": 5_000, "test": 10_000}, (1, 28, 28)
"""As in a run on Fashion-MNIST."""


def write_predictions(path: Path, generator: np.random.Generator) -> None:
    """Write predictions of the size of real ones, of which 96 % are right."""
    splits = {}
    for split, num_images in SPLIT_SIZES.items():
        label = np.arange(num_images) % CLASSES
        logits = generator.normal(size=(num_images, CLASSES)).astype(np.float32)
        logits[np.arange(num_images), label] += 3.5
        splits[split] = SplitPredictions(np.arange(num_images), label, logits)
    mistakes = splits["test"].mistakes()
    num_stored = num_stored_mistakes(len(mistakes), np.prod(IMAGE_SHAPE).item())
    images = generator.integers(0, 128, (num_stored, *IMAGE_SHAPE), dtype=np.uint8)
    class_names = tuple(f"class{number}" for number in range(CLASSES))
    Predictions(class_names, splits, mistakes[:num_stored], images).save(path)


def write_runs(directory: Path) -> int:
    """Write run directories of the size of real ones, damage the last, and return their number."""
    generator = random.Random(0)  # noqa: S311
    predictions = {}
    for number, names in enumerate(product(OPTIMIZERS, LEARNING_RATES)):
        predictions[names] = directory.with_name(f"predictions{number}.npz")
        write_predictions(predictions[names], np.random.default_rng(number))
    runs = list(product(MODELS, OPTIMIZERS, LEARNING_RATES, SEEDS))
    for model, optimizer, learning_rate, seed in runs:
        run = directory / f"{model}-{optimizer}-lr{learning_rate}-seed{seed}"
        run.mkdir(parents=True)
        accuracy = 0.7 + 0.01 * MODELS.index(model) + generator.gauss(0, 0.005)
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
            "overrides": [f"model={model}", f"optimizer={optimizer}", f"optimizer.lr={learning_rate}", f"seed={seed}"],
            "settings": settings | {"optimizer.lr": learning_rate, "seed": seed, "data.seed": seed},
            "configuration": f"{model}-{optimizer}-{learning_rate}",
            "metrics": {"val/acc": accuracy, "test/acc": accuracy - 0.01} | {f"test/acc/{c}": 0.8 for c in range(10)},
            "epochs": EPOCHS,
            "parameters": 10_000 * (MODELS.index(model) + 1),
            "multiply_adds": 1_000_000 * (MODELS.index(model) + 1),
            "seconds": {"fit": 10.0 + generator.random(), "test": 1.0},
            "images_per_second": {"train": 9000.0, "test": 20000.0},
            "peak_memory_bytes": 2**29,
            "device": "cpu (AMD EPYC)",
            "precision": "32-true",
            "error": None,
        }
        (run / "results.json").write_text(json.dumps(results, indent=1))
        rows = [f"{epoch},{accuracy - 0.1 / epoch},{1 / epoch}" for epoch in range(1, EPOCHS + 1)]
        (run / "metrics.csv").write_text("\n".join(["epoch,val/acc,train/loss", *rows, ""]))
        os.link(predictions[optimizer, learning_rate], run / "predictions.npz")
        for name in ("config.yaml", "run.log"):
            (run / name).write_text("x\n")
        (run / "checkpoints").mkdir()
    (run / "results.json").write_text('{"status": "compl')
    return len(runs)


def main() -> None:
    """Print time, memory and page size, and the lines of the report about the best and the damaged run."""
    with tempfile.TemporaryDirectory() as directory:
        num_runs = write_runs(Path(directory) / "many")
        started = time.perf_counter()
        completed = subprocess.run(
            [sys.executable, "-m", "cnn_experiments.report", "many"],
            cwd=directory,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - started
        memory_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # MiB; Linux reports KiB
        page_mib = (Path(directory) / "many" / "leaderboard.html").stat().st_size / 2**20
    print(f"{num_runs} runs: {seconds:.1f} s, peak memory {memory_mib:.0f} MiB, page {page_mib:.1f} MiB")
    print(*re.findall(r"^(?:damaged|best).*", completed.stdout, re.MULTILINE), sep="\n")


if __name__ == "__main__":
    main()
