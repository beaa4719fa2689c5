"""Writes a trained network to a file for other programs, with its preprocessing, and compares the file with it."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.stored_settings import IMAGES_KEYS
from cnn_experiments.console import print_line, relative_path
from cnn_experiments.data.missing_images import MissingImages
from cnn_experiments.errors import RunFailedError, error_message
from cnn_experiments.runs.directory import RunDirectory
from cnn_experiments.tasks.output_directory import output_directory
from cnn_experiments.training.export.formats import FORMATS
from cnn_experiments.training.export.network_export import export_network
from cnn_experiments.training.trained_network import TrainedNetwork, load_trained_networks

NUM_COMPARED = 256
"""The number of images on which a file is compared with the network."""


def export(configs: Sequence[ComposedConfig], directory: RunDirectory | None) -> None:  # noqa: ARG001
    """Write the file of each configuration, and print how far it is from the network.

    Raises:
        ConfigError: `ckpt_path` names no network, a setting that was typed contradicts its run, or a package is
            missing.
        RunFailedError: the images can't be loaded, the network can't be exported to this format, the file computes
            something else, or it can't be written.
    """
    for config in configs:
        FORMATS[config.settings["format"]].check_packages(config.settings["format"])
    for config, trained in zip(configs, load_trained_networks(configs, IMAGES_KEYS), strict=True):
        _export(config, trained)


def _export(config: ComposedConfig, trained: TrainedNetwork) -> None:
    format_name = config.settings["format"]
    images, kind = _compared_images(trained)
    name = f"{_file_stem(trained)}.{format_name}"
    with output_directory(config, trained.directory, [name]) as directory:
        path = directory / name
        try:
            comparison = export_network(trained, format_name, path, images)
        except OSError as error:
            raise RunFailedError(f"{relative_path(path)} could not be written: {error_message(error)}") from error
    print_line(f"{relative_path(path)}: {path.stat().st_size / 2**20:.1f} MiB")
    print_line(f"compared with the network on {len(images)} {kind}: {comparison}")
    if not comparison.has_same_pixels:
        print_line("this CPU resizes images with another rounding than the file: pixels are up to one gray level off")


def _compared_images(trained: TrainedNetwork) -> tuple[Tensor, str]:
    """Return images on which the file is compared with the network, and in words which ones they are."""
    data = trained.data
    if isinstance(data, MissingImages):
        shape = (NUM_COMPARED, data.channels, data.native_size, data.native_size)
        generator = torch.Generator().manual_seed(0)
        return torch.randint(256, shape, dtype=torch.uint8, generator=generator), "images of random pixels"
    images = data.stored_split("test").images
    return images[:: max(1, len(images) // NUM_COMPARED)][:NUM_COMPARED], "test images"


def _file_stem(trained: TrainedNetwork) -> str:
    """Return the option of the network, or the name of its class, in characters that a file's name may have."""
    results = trained.results
    name = results.model if results else type(trained.network).__name__.lower()
    return re.sub(r"[^\w.-]+", "-", name)
