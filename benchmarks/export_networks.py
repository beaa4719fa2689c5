"""Export every network to ONNX and pt2, load the files, and compare them with the network on real images.

    python -m benchmarks.export_networks [--images 64] [model=resnet18 "model=vgg11 model.norm=batch" ...]

Each argument is a network with its overrides. Without arguments, these are all networks and variants of the tests, and
those that have no batch normalization though they can have it, with it. The weights are random, with `init=kaiming`, so
that the logits of deep networks do not vanish; the statistics of batch normalization are those of a batch. The images
are those of Fashion-MNIST, of 28 pixels for LeNet, of 96 for networks that accept no smaller ones, or else of 64.

Prints a table in Markdown, a row as soon as a network is done: the standard deviation of its logits over the images,
and for each format the seconds of the CPU until the file was written, loaded and compared, its size, and the largest
difference of a logit, or why the network can't be exported.
"""

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.fingerprint import run_id
from cnn_experiments.training.build import build_data, build_model
from cnn_experiments.training.export.network_export import export_network
from cnn_experiments.training.trained_network import TrainedNetwork
from tests.models.networks import NETWORKS, Facts

FORMATS = ("onnx", "pt2")
BATCH_NORM = "model.norm=batch"


def all_networks() -> dict[str, int]:
    """Return the pixels a side for the overrides of every network and variant."""
    sizes = {facts.overrides: image_size(facts) for facts in NETWORKS}
    models = [ComposedConfig.from_overrides(*overrides.split()).settings["model"] for overrides in sizes]
    for overrides, size in list(sizes.items()):
        model = ComposedConfig.from_overrides(*overrides.split()).settings["model"]
        if model.get("norm") == "none" and model | {"norm": "batch"} not in models:
            sizes[f"{overrides} {BATCH_NORM}"] = size
    return sizes


def image_size(facts: Facts) -> int:
    """Return the pixels a side at which a network is exported."""
    return 28 if facts.training_size == 28 else 64 if facts.smallest_size <= 64 else 96


def trained_network(overrides: str, size: int, directory: Path) -> TrainedNetwork:
    """Return a network with random weights and realistic statistics."""
    settings = ComposedConfig.from_overrides(*overrides.split(), "init=kaiming", f"data.resize={size}").settings
    if root := os.environ.get("CNN_EXPERIMENTS_DATA"):
        settings["data"]["root"] = root
    torch.manual_seed(0)
    data, network = build_data(settings), build_model(settings)
    set_statistics(network, data.preprocessing(data.stored_split("test").images[-64:]))
    return TrainedNetwork(
        checkpoint=directory,
        directory=directory,
        settings=settings,
        run_id=run_id(settings),
        epoch=0,
        data=data,
        network=network.eval(),
        loss_state={},
    )


def set_statistics(network: nn.Module, inputs: Tensor) -> None:
    """Let the running statistics of batch normalization be those of a batch."""
    for module in network.modules():
        if hasattr(module, "running_mean"):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(inputs)


def row(overrides: str, size: int, num_images: int, directory: Path) -> str:
    """Export a network to all formats and return its row of the table."""
    trained = trained_network(overrides, size, directory)
    images = trained.data.stored_split("test").images[:num_images]
    spread, cells = "", []
    for name in FORMATS:
        path = directory / f"network.{name}"
        started = time.process_time()
        try:
            comparison = export_network(trained, name, path, images)
        except RunFailedError as error:
            cells += ["", "", str(error)]
            continue
        seconds = time.process_time() - started
        spread = f"{comparison.spread:.2g}"
        cells += [f"{seconds:.0f}", f"{path.stat().st_size / 2**20:.1f}", f"{comparison.largest_difference:.1e}"]
        path.unlink()
    return " | ".join([f"| {overrides}", str(size), spread, *cells]) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--images", type=int, default=64)
    arguments = parser.parse_args()
    sizes = all_networks()
    columns = [f"{name} {column}" for name in FORMATS for column in ("s", "MiB", "difference")]
    print(f"| network | pixels | spread | {' | '.join(columns)} |")
    print("|---" * (3 + len(columns)) + "|", flush=True)
    with TemporaryDirectory() as directory:
        for overrides in arguments.networks or sizes:
            print(row(overrides, sizes.get(overrides, 64), arguments.images, Path(directory)), flush=True)


if __name__ == "__main__":
    main()
