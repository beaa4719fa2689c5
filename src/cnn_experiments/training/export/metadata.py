"""What an exported file says of its network: how to use it, and where it comes from."""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from cnn_experiments.runs.fingerprint import effective_settings
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runtime.environment import versions
from cnn_experiments.training.trained_network import TrainedNetwork

DESCRIPTION = (
    "images: uint8 (N, channels, height, width) in 0..255, of any size; they are resized to native_size, then to "
    "image_size, scaled to 0..1, and normalized by mean and std. Images that are not square are stretched. "
    "logits: float32 (N, number of class_names)."
)
WEIGHTS_DESCRIPTION = (
    "The weights of the network alone. Its input is float32 (N, channels, image_size, image_size): images resized to "
    "native_size, then to image_size, scaled to 0..1, and normalized by mean and std."
)


def metadata_of(trained: TrainedNetwork, *, has_preprocessing: bool) -> dict[str, str]:
    """Return the metadata of an exported network; every value but the description is JSON.

    Paths of this machine are no part of it.

    Args:
        trained: the network.
        has_preprocessing: whether the file holds the preprocessing too.
    """
    data, results = trained.data, trained.results
    values: dict[str, Any] = {
        "class_names": list(data.class_names),
        "channels": data.channels,
        "native_size": data.native_size,
        "image_size": data.preprocessing.size,
        "mean": _per_channel(data.preprocessing.mean, data.channels),
        "std": _per_channel(data.preprocessing.std, data.channels),
        "epoch": trained.epoch,
        "settings": {
            key: value for key, value in effective_settings(trained.settings).items() if not _is_absolute_path(value)
        },
        "test_metrics": _test_metrics(trained, results),
        "model": results.model if results else None,
        "git_commit": results.git_commit if results else None,
        "trained_with": results.versions if results else None,
        "exported_with": versions(),
    }
    description = DESCRIPTION if has_preprocessing else WEIGHTS_DESCRIPTION
    return {"description": description} | {key: json.dumps(value) for key, value in values.items()}


def _per_channel(value: float | Sequence[float], channels: int) -> list[float]:
    return list(value) if isinstance(value, Sequence) else [value] * channels


def _test_metrics(trained: TrainedNetwork, results: RunResults | None) -> dict[str, float | None] | None:
    """Return the test metrics of the run if they are those of this checkpoint."""
    if results is None or results.tested_epoch != trained.epoch:
        return None
    return {name: value for name, value in results.metrics.items() if name.startswith("test/")}


def _is_absolute_path(value: Any) -> bool:
    """Return whether a setting is a path that names a directory of this machine."""
    if not isinstance(value, str):
        return False
    return value.startswith("~") or PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
