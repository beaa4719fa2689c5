"""What the framework adds to a training epoch: `python benchmarks/training_overhead.py [OVERRIDES]`.

Trains the configured network in turn, in one process, by a bare PyTorch loop over batches made beforehand and by the
project's own `train` task. Prints seconds per training epoch and their ratio. The bare loop profits from the allocator
setting too. Then each trains once in a process of its own, for its peak resident memory.
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
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch.nn import functional as F

from cnn_experiments.config.hydra_errors import CONF
from cnn_experiments.runs.directory import RunFolder
from cnn_experiments.runtime.environment import device_name, peak_memory, restart_peak_memory
from cnn_experiments.runtime.memory import keep_freed_memory
from cnn_experiments.tasks.train import train
from cnn_experiments.training.build import build_data

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

ROUNDS = 5
EPOCHS = 4
CPU = torch.device("cpu")

Measured = tuple[list[float], int]
"""Seconds of each epoch but the first, and peak memory in bytes."""


def bare(config: DictConfig) -> Measured:
    """The network in a loop of its own."""
    data = build_data(config)
    data.prepare_data()
    data.setup("fit")
    batches = [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]
    torch.manual_seed(config.seed)
    model = instantiate(config.model, _convert_="all").train()
    optimizer = instantiate(config.optimizer, _convert_="all")(model.parameters())
    restart_peak_memory(CPU)
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        for images, labels in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - started)
    return seconds[1:], peak_memory(CPU)


def ours(config: DictConfig) -> Measured:
    """The network in a run, from its results."""
    with tempfile.TemporaryDirectory() as folder:
        train(config, RunFolder(Path(folder)), {"model": "", "data": ""}, [])
        results = json.loads((Path(folder) / "results.json").read_text())
        header, *rows = (line.split(",") for line in (Path(folder) / "metrics.csv").read_text().splitlines())
    column = header.index("train/images_per_second")
    images = build_data(config).train_images - config.data.val_size
    return [images / float(row[column]) for row in rows[1:]], results["peak_memory_bytes"]


def in_own_process(measure: Callable[[DictConfig], Measured], config: DictConfig) -> Measured:
    """What a fresh process measures."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, config).result()


def main() -> None:
    """Prints the table."""
    given = ["data.val_size=0", "trainer=cpu", f"trainer.max_epochs={EPOCHS}", *sys.argv[1:]]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", given)
    keep_freed_memory()
    print(" ".join(given), "on", device_name(CPU), "with", torch.get_num_threads(), "threads, torch", torch.__version__)
    loops = {"bare": bare, "ours": ours}
    times: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(ROUNDS):
        for name, measure in loops.items():
            seconds, _ = measure(config)
            times[name] += seconds
            print(f"round {number + 1}  {name}  {statistics.median(seconds):.3f} s/epoch")
    for word, of in (("median", statistics.median), ("fastest", min)):
        bare_seconds, our_seconds = of(times["bare"]), of(times["ours"])
        ratio = our_seconds / bare_seconds
        print(f"{word} s/epoch  bare {bare_seconds:.3f}  ours {our_seconds:.3f}  ratio {ratio:.3f}")
    peaks = {name: in_own_process(measure, config)[1] / 2**20 for name, measure in loops.items()}
    print(f"peak MiB  bare {peaks['bare']:.0f}  ours {peaks['ours']:.0f}  ratio {peaks['ours'] / peaks['bare']:.3f}")


if __name__ == "__main__":
    main()
