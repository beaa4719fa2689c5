"""What the framework adds to a training epoch: `python benchmarks/training_overhead.py [OVERRIDES]`.

Trains the configured network twice in turn, in one process: by a bare PyTorch loop over batches made beforehand, and by the
project's own `train` task, with its validation left out. Prints seconds per training epoch, their ratio and the peak
resident memory of both. The bare loop profits from the allocator setting too.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch.nn import functional as F

from cnn_experiments.allocator import keep_freed_memory
from cnn_experiments.experiment import build_data
from cnn_experiments.gate import CONF
from cnn_experiments.provenance import device_name, peak_memory, restart_peak_memory
from cnn_experiments.run_folder import RunFolder
from cnn_experiments.tasks.train import train

ROUNDS = 3
EPOCHS = 4
CPU = torch.device("cpu")


def bare(config: DictConfig) -> tuple[list[float], int]:
    """Seconds of each epoch but the first, and peak memory in bytes."""
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


def ours(config: DictConfig) -> tuple[list[float], int]:
    """The same figures from the results of a run."""
    with tempfile.TemporaryDirectory() as folder:
        train(config, RunFolder(Path(folder)), {"model": "", "data": "", "overrides": []})
        results = json.loads((Path(folder) / "results.json").read_text())
        header, *rows = (line.split(",") for line in (Path(folder) / "metrics.csv").read_text().splitlines())
    column = header.index("train/images_per_second")
    images = build_data(config).train_images - config.data.val_size
    return [images / float(row[column]) for row in rows[1:]], results["peak_memory_bytes"]


def main() -> None:
    """Prints the table."""
    given = ["data.val_size=0", "trainer=cpu", f"trainer.max_epochs={EPOCHS}", *sys.argv[1:]]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", given)
    keep_freed_memory()
    print(" ".join(given), "on", device_name(CPU), "with", torch.get_num_threads(), "threads, torch", torch.__version__)
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for number in range(ROUNDS):
        for name, measure in (("bare", bare), ("ours", ours)):
            seconds, memory = measure(config)
            times[name] += seconds
            print(f"round {number + 1}  {name}  {statistics.median(seconds):.3f} s/epoch  peak {memory / 2**20:.0f} MiB")
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    print(f"median  bare {medians['bare']:.3f}  ours {medians['ours']:.3f}  ratio {medians['ours'] / medians['bare']:.3f}")


if __name__ == "__main__":
    main()
