"""Measure what the framework adds to a training epoch of a bare PyTorch loop.

    python benchmarks/training_overhead.py [OVERRIDES]

Trains the configured network alternately, in one process, in a bare PyTorch loop over precomputed batches and with the
`train` task. Prints the seconds per training epoch and their ratio. The allocator is tuned for both. Then each trains
once more in a process of its own, which measures peak resident memory.
"""

import json
import logging
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch.nn import functional as F

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.runs.directory import RunDirectory
from cnn_experiments.runtime.environment import device_name
from cnn_experiments.runtime.memory import disable_malloc_trim, peak_memory, reset_peak_memory
from cnn_experiments.tasks.train import train
from cnn_experiments.training.build import build_data, build_model
from cnn_experiments.training.optimization import build_optimizer

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

NUM_ROUNDS = 5
NUM_EPOCHS = 4
CPU = torch.device("cpu")

Measurement = tuple[list[float], int]
"""Seconds of each epoch but the first, and peak memory in bytes."""


def train_bare(config: ComposedConfig) -> Measurement:
    """Train the network in a bare loop."""
    data = build_data(config.settings)
    data.prepare_data()
    data.setup("fit")
    batches = [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]
    torch.manual_seed(config.settings["seed"])
    model = build_model(config.settings).train()
    optimizer = build_optimizer(config.settings, model)
    reset_peak_memory(CPU)
    seconds = []
    for _ in range(NUM_EPOCHS):
        started = time.perf_counter()
        for images, labels in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - started)
    return seconds[1:], peak_memory(CPU)


def train_with_framework(config: ComposedConfig) -> Measurement:
    """Train the network with the `train` task, and read the measurements from its run directory."""
    with tempfile.TemporaryDirectory() as directory:
        train([config], RunDirectory(Path(directory)))
        results = json.loads((Path(directory) / "results.json").read_text())
        header, *rows = (line.split(",") for line in (Path(directory) / "metrics.csv").read_text().splitlines())
    column = header.index("train/images_per_second")
    num_images = build_data(config.settings).num_images_per_epoch
    return [num_images / float(row[column]) for row in rows[1:]], results["peak_memory_bytes"]


def run_in_subprocess(measure: Callable[[ComposedConfig], Measurement], config: ComposedConfig) -> Measurement:
    """Return the measurement of a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, config).result()


def main() -> None:
    """Print the times of every round, their medians and minima, and the peak memory."""
    overrides = ["data.val_size=0", "trainer=cpu", f"trainer.max_epochs={NUM_EPOCHS}", *sys.argv[1:]]
    config = ComposedConfig.from_overrides(*overrides)
    disable_malloc_trim()
    print(
        " ".join(overrides),
        "on",
        device_name(CPU),
        "with",
        torch.get_num_threads(),
        "threads, torch",
        torch.__version__,
    )
    loops = {"bare": train_bare, "framework": train_with_framework}
    epoch_seconds: dict[str, list[float]] = {name: [] for name in loops}
    for round_index in range(NUM_ROUNDS):
        for name, measure in loops.items():
            seconds, _ = measure(config)
            epoch_seconds[name] += seconds
            print(f"round {round_index + 1}  {name}  {statistics.median(seconds):.3f} s/epoch")
    print_comparison("median s/epoch", *(statistics.median(epoch_seconds[name]) for name in loops))
    print_comparison("fastest s/epoch", *(min(epoch_seconds[name]) for name in loops))
    print_comparison("peak MiB", *(run_in_subprocess(measure, config)[1] / 2**20 for measure in loops.values()))


def print_comparison(quantity: str, bare: float, framework: float) -> None:
    """Print one quantity of both loops, and the ratio."""
    print(f"{quantity}  bare {bare:.4g}  framework {framework:.4g}  ratio {framework / bare:.3f}")


if __name__ == "__main__":
    main()
