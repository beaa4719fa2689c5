"""Compare the memory format that is chosen with both formats, for the eight networks of the course.

    python benchmarks/chosen_memory_format.py [--rounds 5] [NETWORKS]

Chosen is what a training of the default length chooses, with an empty cache. Then each network is trained in both
formats in turn, in one process, with the `train` task. Needs Fashion-MNIST in data/ or in the directory that
CNN_EXPERIMENTS_DATA names.
"""

import argparse
import json
import logging
import os
import statistics
import tempfile
from pathlib import Path

import torch

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.runs.directory import RunDirectory
from cnn_experiments.runtime.environment import device_name
from cnn_experiments.runtime.third_party_warnings import filter_third_party_warnings
from cnn_experiments.tasks.train import train
from cnn_experiments.training.execution import choose_execution

NETWORKS = {
    "LeNet@28": (["model=lenet"], 200),
    "LeNet-BN@28": (["model=lenet_bn"], 200),
    "AlexNet@224": (["model=alexnet", "data.resize=224", "data.batch_size=32"], 10),
    "VGG-11@224": (["model=vgg11", "data.resize=224", "data.batch_size=16"], 4),
    "NiN@224": (["model=nin", "data.resize=224", "data.batch_size=32"], 10),
    "GoogLeNet@96": (["model=googlenet", "data.resize=96", "data.batch_size=64"], 10),
    "ResNet-18@96": (["model=resnet18", "data.resize=96", "data.batch_size=64"], 10),
    "DenseNet@96": (["model=densenet", "data.resize=96", "data.batch_size=64"], 15),
}
"""Overrides, and the number of steps of an epoch that is measured."""
FORMATS = ("contiguous", "channels_last")


def images_per_second(overrides: list[str], num_steps: int, memory_format: str) -> float:
    """Return the training speed in the second epoch of a run in a directory that is removed."""
    limits = [f"trainer.limit_train_batches={num_steps}", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
    typed = [*overrides, "trainer.max_epochs=2", *limits, f"memory_format={memory_format}", "logger=none"]
    with tempfile.TemporaryDirectory() as directory:
        train([ComposedConfig.from_overrides(*typed)], RunDirectory(Path(directory)))
        results = json.loads((Path(directory) / "results.json").read_text())
    return float(results["images_per_second"]["train"])


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    filter_third_party_warnings()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{device_name(device)}, torch {torch.__version__}, {arguments.rounds} rounds, medians [lowest, highest]")
    print("| network | batch | images/s contiguous | images/s channels_last | auto | auto / best | auto / contiguous |")
    print("|---|---:|---:|---:|---|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        for name in arguments.networks or NETWORKS:
            overrides, num_steps = NETWORKS[name]
            settings = ComposedConfig.from_overrides(*overrides).settings
            chosen = choose_execution(settings).memory_format
            speeds: dict[str, list[float]] = {memory_format: [] for memory_format in FORMATS}
            for _ in range(arguments.rounds):
                for memory_format in FORMATS:
                    speeds[memory_format].append(images_per_second(overrides, num_steps, memory_format))
            medians = {memory_format: statistics.median(speeds[memory_format]) for memory_format in FORMATS}
            best = max(medians, key=lambda memory_format: medians[memory_format])
            cells = [
                *(f"{medians[memory_format]:.0f}" for memory_format in FORMATS),
                chosen,
                format_ratio(speeds[chosen], speeds[best]),
                format_ratio(speeds[chosen], speeds["contiguous"]),
            ]
            print(f"| {name} | {settings['data']['batch_size']} | {' | '.join(cells)} |", flush=True)


def format_ratio(speeds: list[float], others: list[float]) -> str:
    """Return the median of the ratios of the rounds, and the range."""
    ratios = [speed / other for speed, other in zip(speeds, others, strict=True)]
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


if __name__ == "__main__":
    main()
