"""Checkpoints on disk: reading one, and finding out whether a run can continue from it before anything is changed.

Nothing is assumed of a file that somebody names. What Lightning would restore is compared with the parts that the run
itself would save: a value that has another type or shape there is found here, and not after an hour of training.
"""

import json
import math
import pickle
import random
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from packaging.version import InvalidVersion, Version
from torch import Tensor, nn

from cnn_experiments.errors import describe_error
from cnn_experiments.runs.regular_file import open_to_read
from cnn_experiments.training.build import (
    Settings,
    build_callbacks,
    build_classifier,
    build_data,
    without_source,
)
from cnn_experiments.training.callbacks import History, RNGState, StopReason, WeightAverage
from cnn_experiments.training.callbacks.weight_average import WEIGHT_AVERAGE_KEY
from cnn_experiments.training.classifier import TRAIN_METRICS_KEY
from cnn_experiments.training.optimization import build_optimizer, build_scheduler

_PROGRESS_KEYS = ("epoch_progress", "epoch_loop.batch_progress")
_COUNTERS = ("ready", "started", "processed", "completed")


class CheckpointError(ValueError):
    """A file from which no run can continue; the message says why."""


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint that was read, with what this program needs of it."""

    content: Mapping[str, Any]
    settings: Mapping[str, Any]
    """The settings of the run that wrote it, nested."""
    epochs: Sequence[Mapping[str, float]]
    """The row of metrics.csv of every epoch."""
    fit_seconds: float | None
    """The wall time of the training up to it; None in a checkpoint of an earlier version."""

    @property
    def num_epochs(self) -> int:
        """Return the number of epochs that were completed."""
        return len(self.epochs)

    @property
    def data_facts(self) -> Any:
        """Return what the data set stated of itself, unchecked; None in a checkpoint of an earlier version."""
        states = (state for state in self.content.values() if isinstance(state, dict))
        return next((state["facts"] for state in states if "facts" in state), None)

    @property
    def stopped_by(self) -> str | None:
        """Return what a callback ended the training for, so that it can't continue; None if it can."""
        state = self.content["callbacks"].get(StopReason.state_key, {})
        return state["reason"] if state.get("is_by_callback") else None

    @property
    def num_steps(self) -> int:
        """Return the number of optimizer steps that were made."""
        return int(self.content["global_step"])


def read_checkpoint(path: Path) -> StoredCheckpoint:
    """Read a checkpoint, every byte of which is compared with its checksum.

    Raises:
        OSError: it cannot be read.
        CheckpointError: it is damaged, or another program wrote it.
    """
    with open_to_read(path) as file:
        content = _load(file)
    callbacks = _require(content, "callbacks", dict)
    if History.state_key not in callbacks:
        raise CheckpointError("another program wrote it")
    history = _require(callbacks, History.state_key, dict)
    settings, epochs = _require(history, "settings", dict), _require(history, "epochs", list)
    try:
        json.dumps(settings)
    except (TypeError, ValueError, RecursionError):
        raise CheckpointError("its settings are damaged") from None
    for number, row in enumerate(epochs, start=1):
        if not isinstance(row, dict) or row.get("epoch") != number or not all(map(_is_number, row.values())):
            raise CheckpointError(f"its metrics of epoch {number} are damaged")
    seconds = history.get("fit_seconds")
    if seconds is not None and not (_is_number(seconds) and 0 <= seconds < math.inf):
        raise CheckpointError("its fit_seconds are damaged")
    return StoredCheckpoint(content, settings, epochs, seconds)


def _load(file: IO[bytes]) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(file) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise CheckpointError("another program wrote it")  # torch compresses nothing
            if (damaged := archive.testzip()) is not None:
                raise CheckpointError(f"damaged: wrong checksum of {damaged}")
        file.seek(0)
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (CheckpointError, OSError):
        raise
    except zipfile.BadZipFile:
        raise CheckpointError("damaged, or another program wrote it") from None
    except pickle.UnpicklingError as error:
        raise CheckpointError("another program wrote it, with objects that are not loaded") from error
    except Exception as error:  # torch raises anything for a file that it did not write
        raise CheckpointError(f"damaged, or another program wrote it ({describe_error(error)[:200]})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"another program wrote it: it holds a {type(content).__name__}")
    return content


def check_weights(checkpoint: StoredCheckpoint, settings: Settings) -> None:
    """Check that the network of these settings can take the weights, and that its last epoch has metrics.

    Raises:
        CheckpointError: it can't.
    """
    _check_weights(checkpoint, _expected_state(settings))
    if not checkpoint.epochs:
        raise CheckpointError("it was written before the first epoch ended")


def load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network or a loss the state that a checkpoint has of it.

    Raises:
        CheckpointError: it is that of another one.
    """
    _check_like(state, module.state_dict(), "state_dict")
    module.load_state_dict(state)


def network_weights(checkpoint: StoredCheckpoint) -> dict[str, Tensor]:
    """Return the weights of the network in a checkpoint, by name.

    Raises:
        CheckpointError: they are damaged, or it was written before the first epoch ended.
    """
    return _state_of(checkpoint, "model")


def loss_state(checkpoint: StoredCheckpoint) -> dict[str, Tensor]:
    """Return the parameters and buffers of the loss in a checkpoint, by name; most losses have none.

    Raises:
        CheckpointError: as in `network_weights`.
    """
    return _state_of(checkpoint, "loss")


def _state_of(checkpoint: StoredCheckpoint, part: str) -> dict[str, Tensor]:
    prefix = f"{part}."
    stored = _require(checkpoint.content, "state_dict", dict)
    weights = {key.removeprefix(prefix): value for key, value in stored.items() if str(key).startswith(prefix)}
    if not checkpoint.epochs:
        raise CheckpointError("it was written before the first epoch ended")
    if not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError("its state_dict is damaged")
    if not _all_finite(weights):
        raise CheckpointError("its weights are NaN or infinite")
    return weights


def check_restorable(checkpoint: StoredCheckpoint, settings: Settings) -> None:
    """Check that a run with these settings can continue exactly from a checkpoint.

    Raises:
        CheckpointError: a part of its state is missing, or belongs to another run.
    """
    expected = _expected_state(settings)
    _check_weights(checkpoint, expected)
    content = checkpoint.content
    for key in ("epoch", "global_step"):
        if _require(content, key, int) < 0:
            raise CheckpointError(f"its {key} is negative")
    try:
        Version(_require(content, "pytorch-lightning_version", str))
    except InvalidVersion:
        raise CheckpointError("its pytorch-lightning_version is damaged") from None
    _check_progress(checkpoint)
    _check_optimizer(_require_only(content, "optimizer_states"), expected["optimizer"])
    schedule = _require_only(content, "lr_schedulers")
    _require(schedule, "last_epoch", int)
    # Keys may be missing: other versions of torch save others.
    _check_like(schedule, expected["schedule"], "lr_schedulers", keys_may_differ=True)
    _check_like(
        content.get(TRAIN_METRICS_KEY, {}), expected[TRAIN_METRICS_KEY], TRAIN_METRICS_KEY, keys_may_differ=True
    )
    _check_callbacks(content["callbacks"])
    if any(isinstance(callback, WeightAverage) for callback in build_callbacks(settings).values()):
        _check_weight_average(content, expected["state_dict"])
    _check_position(content, expected["data"])


def _expected_state(settings: Settings) -> dict[str, Any]:
    """Return what a run with these settings saves after a step, if possible with tensors that need no memory."""
    try:
        return _state_after_a_step(settings, "meta")
    except Exception:  # a part needs values; errors of the settings were found before
        return _state_after_a_step(settings, "cpu")


def _state_after_a_step(settings: Settings, device: str) -> dict[str, Any]:
    data = build_data(settings)
    with torch.device(device):
        classifier = build_classifier(without_source(settings), data)
    optimizer = build_optimizer(settings, classifier)
    schedule = build_scheduler(settings, optimizer, total_steps=1000, steps_per_epoch=100)
    for parameter in classifier.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with warnings.catch_warnings(action="ignore"):
        optimizer.step(lambda: 0.0)
    return {
        "state_dict": classifier.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        TRAIN_METRICS_KEY: classifier.train_metric_states(),
        "data": type(data).__qualname__,
    }


def _check_weights(checkpoint: StoredCheckpoint, expected: Mapping[str, Any]) -> None:
    state = _require(checkpoint.content, "state_dict", dict)
    _check_like(state, expected["state_dict"], "state_dict")
    if not _all_finite(state):
        raise CheckpointError("its weights are NaN or infinite")


def _check_optimizer(state: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    groups, expected_groups = _require(state, "param_groups", list), expected["param_groups"]
    _check_like(groups, expected_groups, "param_groups", keys_may_differ=True)
    for group, expected_group in zip(groups, expected_groups, strict=True):
        if not isinstance(group, dict) or group.get("params") != expected_group["params"] or "lr" not in group:
            raise CheckpointError("its param_groups are damaged")
    tensors = _require(state, "state", dict)
    if bool(tensors) != bool(expected["state"]):
        raise CheckpointError("its state of the optimizer is missing, or that of another one")
    for number, entries in tensors.items():  # a parameter that is not trained has none
        if number not in expected["state"]:
            raise CheckpointError(f"its optimizer has a parameter {number}, which this network does not have")
        expected_entries = expected["state"][number]
        if not isinstance(entries, dict):
            raise CheckpointError(f"optimizer.{number} is a {type(entries).__name__}, not a dictionary")
        # Further entries are those that an optimizer makes in a later step than its first one.
        known = {key: entry for key, entry in entries.items() if key in expected_entries}
        _check_like(known, expected_entries, f"optimizer.{number}")
    if not _all_finite(tensors):
        raise CheckpointError("its state of the optimizer has NaN or infinite values")


def _check_progress(checkpoint: StoredCheckpoint) -> None:
    fit_loop = _require(_require(checkpoint.content, "loops", dict), "fit_loop", dict)
    for key in _PROGRESS_KEYS:
        progress = _require(fit_loop, key, dict)
        for part in ("total", "current"):
            counters = _require(progress, part, dict)
            if any(not _is_count(counters.get(name)) for name in _COUNTERS):
                raise CheckpointError(f"its {key} is damaged")
    _check_counters(fit_loop, "its progress")
    if fit_loop["epoch_progress"]["current"]["processed"] != checkpoint.num_epochs:
        raise CheckpointError("its epochs are not those of its progress")


def _check_counters(progress: Mapping[str, Any], name: str) -> None:
    """Check that all numbers in the progress of Lightning's loops are counts."""
    for key, value in progress.items():
        if isinstance(value, dict):
            _check_counters(value, name)
        elif key in _COUNTERS and not _is_count(value):
            raise CheckpointError(f"{name} is damaged")


def _check_callbacks(callbacks: Mapping[str, Any]) -> None:
    best = _require(callbacks, "BestAndLast", dict)
    if not _is_number(best.get("best_score")) or math.isnan(best["best_score"]):
        raise CheckpointError("its best_score is damaged")
    speeds = _require(_require(callbacks, "Throughput", dict), "train", list)
    if not all(map(_is_number, speeds)):
        raise CheckpointError("its speeds are damaged")
    stop = callbacks.get(StopReason.state_key, {"reason": "", "is_by_callback": False})
    if not isinstance(stop, dict) or not isinstance(stop.get("reason"), str):
        raise CheckpointError("its reason to stop is damaged")
    if not isinstance(stop.get("is_by_callback"), bool):
        raise CheckpointError("its reason to stop is damaged")
    state = _require(callbacks, RNGState.state_key, dict)
    try:
        torch.Generator().set_state(state["torch"])
        np.random.RandomState().set_state(state["numpy"])
        random.Random().setstate(state["python"])  # noqa: S311
        is_valid = isinstance(state["cuda"], list) and all(isinstance(item, Tensor) for item in state["cuda"])
    except Exception:  # each library raises something else
        is_valid = False
    if not is_valid:
        raise CheckpointError("its states of random number generators are damaged")


def _check_weight_average(content: Mapping[str, Any], expected_weights: Mapping[str, Any]) -> None:
    stored = _require(content, WEIGHT_AVERAGE_KEY, dict)
    if not _is_count(stored.get("num_averaged")):
        raise CheckpointError("its number of averaged weights is damaged")
    _check_like(_require(stored, "trained", dict), expected_weights, f"{WEIGHT_AVERAGE_KEY}.trained")
    if not _all_finite(stored["trained"]):
        raise CheckpointError("its weights are NaN or infinite")


def _check_position(content: Mapping[str, Any], data_name: str) -> None:
    positions = [_require(_require(content, data_name, dict), "training", dict)]
    loop_state = content["loops"]["fit_loop"].get("state_dict", {})
    loaders = loop_state.get("combined_loader", []) if isinstance(loop_state, dict) else [None]
    positions += loaders if isinstance(loaders, list) else [None]
    for position in positions:
        if not isinstance(position, dict) or not all(_is_count(position.get(key)) for key in ("epoch", "position")):
            raise CheckpointError("its position in the data is damaged")


def _check_like(value: Any, expected: Any, name: str, *, keys_may_differ: bool = False) -> None:
    """Check that a value has the type, the keys and the shapes of the expected one.

    Args:
        value: what the checkpoint holds.
        expected: what the run itself would save.
        name: of the value in error messages.
        keys_may_differ: whether only keys that both have are compared.
    """
    if isinstance(expected, Tensor):
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{name} is a {type(value).__name__}, not a tensor")
        if value.shape != expected.shape or value.dtype.is_floating_point != expected.dtype.is_floating_point:
            shapes = f"{tuple(value.shape)}, not {tuple(expected.shape)}"
            raise CheckpointError(f"{name} belongs to another network: its shape is {shapes}")
    elif isinstance(expected, Mapping):
        if not isinstance(value, Mapping):
            raise CheckpointError(f"{name} is a {type(value).__name__}, not a dictionary")
        unknown, missing = value.keys() - expected.keys(), expected.keys() - value.keys()
        if (unknown or missing) and not keys_may_differ:
            keys = ", ".join(sorted(map(str, missing or unknown))[:3])
            raise CheckpointError(f"{name} {'lacks' if missing else 'also has'} {keys}")
        for key in value.keys() & expected.keys():
            _check_like(value[key], expected[key], f"{name}.{key}", keys_may_differ=keys_may_differ)
    elif isinstance(expected, list | tuple):
        if not isinstance(value, list | tuple) or len(value) != len(expected):
            raise CheckpointError(f"{name} must have {len(expected)} entries")
        for number, (item, expected_item) in enumerate(zip(value, expected, strict=True)):
            _check_like(item, expected_item, f"{name}.{number}", keys_may_differ=keys_may_differ)
    elif _is_number(expected):
        if not _is_number(value):
            raise CheckpointError(f"{name} is a {type(value).__name__}, not a number")
    elif isinstance(expected, bool | str) and not isinstance(value, type(expected)):
        raise CheckpointError(f"{name} is a {type(value).__name__}, not a {type(expected).__name__}")


def _all_finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.dtype.is_floating_point or bool(torch.isfinite(value).all())
    if isinstance(value, Mapping):
        return all(map(_all_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_all_finite, value))


def _require_only(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the one dictionary of a list: a run has one optimizer and one schedule."""
    entries = _require(content, key, list)
    if len(entries) != 1 or not isinstance(entries[0], dict):
        raise CheckpointError(f"its {key} must be one dictionary")
    return dict(entries[0])


def _require(content: Mapping[str, Any], key: str, kind: type) -> Any:
    if key not in content:
        raise CheckpointError(f"it has no {key}")
    value = content[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise CheckpointError(f"its {key} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
