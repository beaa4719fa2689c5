"""Everything about an experiment that can be checked before it trains."""

import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnn_experiments.analysis.probe import ImageSpec, forward_error, smallest_size, training_error
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import ConfigError, format_value
from cnn_experiments.runs.directory import resolve_checkpoint
from cnn_experiments.runs.fingerprint import (
    LIMIT_DEFAULTS,
    PERFORMANCE_KEYS,
    effective_settings,
    normalize_value,
    upgrade_settings,
)
from cnn_experiments.runs.regular_file import is_regular_file
from cnn_experiments.training.build import build_data, build_model, build_optimizer, build_scheduler, build_trainer
from cnn_experiments.training.schedules import is_open_ended
from cnn_experiments.training.stored_checkpoint import (
    CheckpointError,
    StoredCheckpoint,
    check_restorable,
    check_weights,
    read_checkpoint,
)

Settings = Mapping[str, Any]


def check_training(settings: Settings) -> None:
    """Check everything that training needs.

    Raises:
        ConfigError: a part does not accept its settings, the images do not suit the network, or a run can't continue
            from `ckpt_path`.
    """
    _check_parts(settings)
    if settings["ckpt_path"] is not None:
        _check_resumable(settings)


def check_parts(settings: Settings) -> None:
    """Check everything that a look at the network needs.

    Raises:
        ConfigError: a part does not accept its settings, or the images do not suit the network.
    """
    _check_parts(settings)
    if settings["ckpt_path"] is not None:
        raise ConfigError("ckpt_path", settings["ckpt_path"], problem="must be null for a task that trains nothing")


def _check_parts(settings: Settings) -> None:
    data = build_data(settings)
    model = build_and_probe(settings, data)
    optimizer = build_optimizer(settings, model)
    build_scheduler(settings, optimizer, total_steps=1000)
    with _quiet_lightning():
        build_trainer(settings, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    if settings["compile"] and shutil.which(compiler := _cpp_compiler()) is None:
        raise ConfigError("compile", True, problem=f"must be false without {compiler}; CXX names another C++ compiler")


def build_and_probe(settings: Settings, data: ImageDataModule) -> nn.Module:
    """Return the network after it has processed images of the data's size, if possible on `meta`, without memory.

    Raises:
        ConfigError: it does not accept its settings or the images.
    """
    problem: str | None = None
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                model = build_model(settings)
        except ConfigError:
            if device == "meta":  # it may need values while it is built
                continue
            raise
        image = ImageSpec(data.channels, data.size, device)
        problem = forward_error(model, image, data.classes)
        if problem is None:
            error = _training_error(model, image, data.batch_size)
            if error is None:
                return model
            if device == "meta":  # it may need values in training
                continue
            raise error
        smallest = smallest_size(model, data.channels, max(512, data.size), device)
        if smallest is not None and smallest > data.size:
            raise ConfigError(
                "data.resize",
                settings["data"]["resize"],
                problem=f"this network needs images of at least {smallest} pixels, these have {data.size}",
                suggestion=f"data.resize={smallest}",
            )
    images = f"images of {data.channels} x {data.size} x {data.size} in {data.classes} classes"
    raise ConfigError("model", problem=f"does not fit {images}: {problem}")


def _training_error(model: nn.Module, image: ImageSpec, batch_size: int) -> ConfigError | None:
    batch_size = min(batch_size, 2)  # what two images show holds for more
    problem = training_error(model, image, batch_size)
    if problem is None:
        return None
    if batch_size == 1 and training_error(model, image, batch_size=2) is None:
        return ConfigError("data.batch_size", 1, problem=f"must be >= 2 for this network: {problem}")
    return ConfigError("model", problem=f"does not train: {problem}")


def _cpp_compiler() -> str:
    """Return the C++ compiler that torch.compile calls."""
    default = "clang++" if sys.platform == "darwin" else "g++"
    return shlex.split(os.environ.get("CXX", default))[0]


def _check_resumable(settings: Settings) -> None:
    """Check that the run of `ckpt_path` can continue: with its own settings and its best checkpoint so far."""
    ckpt_path = settings["ckpt_path"]
    checkpoint = resolve_checkpoint(Path(ckpt_path))
    stored = _read_checkpoint(ckpt_path, checkpoint)
    _check_same_settings(upgrade_settings(stored.settings), effective_settings(settings))
    max_epochs = settings["trainer"]["max_epochs"]
    if max_epochs <= stored.num_epochs:
        raise ConfigError(
            "trainer.max_epochs",
            max_epochs,
            problem=f"must be > {stored.num_epochs}, the epochs already trained in {ckpt_path}",
        )
    best = checkpoint.with_name("best.ckpt")
    try:
        check_restorable(stored, settings)
        if stored.num_epochs and not is_regular_file(best):
            raise ConfigError("ckpt_path", ckpt_path, problem="best.ckpt not found next to the checkpoint")
    except (CheckpointError, OSError) as error:
        raise ConfigError("ckpt_path", ckpt_path, problem=f"{checkpoint}: {error}") from error
    if stored.num_epochs:
        try:
            check_weights(_read_checkpoint(ckpt_path, best), settings)
        except CheckpointError as error:
            raise ConfigError("ckpt_path", ckpt_path, problem=f"{best}: {error}") from error


def _read_checkpoint(ckpt_path: str, checkpoint: Path) -> StoredCheckpoint:
    try:
        return read_checkpoint(checkpoint)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        if isinstance(error, CheckpointError):
            problem = f"must be a checkpoint of this program; {checkpoint}: {error}"
        else:  # ValueError: a NUL in the path
            problem = "must be a checkpoint, or a run's directory with checkpoints/last.ckpt"
        raise ConfigError("ckpt_path", ckpt_path, problem=problem) from error
    except OSError as error:
        raise ConfigError("ckpt_path", ckpt_path, problem=f"could not be read: {error.strerror or error}") from error


def _check_same_settings(stored: Settings, current: Settings) -> None:
    may_change = set(PERFORMANCE_KEYS)
    if is_open_ended(str(stored.get("scheduler._target_"))):  # a schedule spans the epochs that were planned
        may_change.add("trainer.max_epochs")
    keys = (stored.keys() | current.keys()) - may_change
    for key in sorted(keys, key=lambda key: (key.count("."), key)):  # top-level keys first: others refer to them
        if normalize_value(key, stored.get(key)) != normalize_value(key, current.get(key)):
            allowed = format_value(stored.get(key, LIMIT_DEFAULTS.get(key)))
            raise ConfigError(
                key, current.get(key), problem=f"must be {allowed}, as in the run that ckpt_path continues"
            )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning, which prints the devices of every Trainer that is built."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
