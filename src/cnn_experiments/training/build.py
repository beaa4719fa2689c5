"""The parts of an experiment, built from its configuration."""

import logging
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn
from torch.nn.parameter import is_lazy

from cnn_experiments.analysis.probe import ImageSpec, forward_error, smallest_size, training_error
from cnn_experiments.config.schema import plain, text, with_nearest
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import Refusal, describe_error
from cnn_experiments.runs.directory import checkpoint_of
from cnn_experiments.runs.fingerprint import FOR_SPEED, effective, normalised, upgraded
from cnn_experiments.training.callbacks import Recorder
from cnn_experiments.training.classifier import Classifier

SCHEDULE_WITHOUT_END = "schedules.constant"
_MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def build_data(config: DictConfig) -> ImageDataModule:
    """The data module; nothing is read or downloaded yet."""
    data: ImageDataModule = instantiate(config.data, _convert_="all")
    return data


def build_model(config: DictConfig) -> nn.Module:
    """The network with its initial weights.

    Raises:
        Refusal: the network or the initialisation does not take its settings, or the network has lazy layers, whose
            weights neither the initialisation nor the optimizer would reach.
    """
    with _refusing("model", config):
        model: nn.Module = instantiate(config.model, _convert_="all")
        tensors = [*model.named_parameters(), *model.named_buffers()]
        if lazy := [name for name, tensor in tensors if is_lazy(tensor)]:
            raise ValueError(
                f"_target_={config.model._target_}: must not have lazy layers ({', '.join(lazy)}), "
                "whose weights are not there to be initialised"
            )
    with _refusing("init", config):
        instantiate(config.init, _convert_="all")(model)
    return model


def build_classifier(config: DictConfig, data: ImageDataModule) -> Classifier:
    """The network with its loss, metrics, optimizer and schedule."""
    return Classifier(
        model=build_model(config),
        optimizer=instantiate(config.optimizer, _convert_="all"),
        scheduler=instantiate(config.scheduler, _convert_="all"),
        class_names=data.class_names,
        label_smoothing=config.label_smoothing,
        memory_format=_MEMORY_FORMATS[config.memory_format],
        compiled=config.compile,
        after_epoch=data.protocol.eval_split or "val",
    )


def build_trainer(config: DictConfig, **parts: Any) -> pl.Trainer:
    """Lightning's Trainer; the data modules share images among processes themselves."""
    trainer: pl.Trainer = instantiate(
        config.trainer, **parts, use_distributed_sampler=False, enable_model_summary=False, _convert_="all"
    )
    return trainer


def check_parts(config: DictConfig) -> None:
    """Builds every part without memory for its tensors, to find what can't work before anything is touched.

    Raises:
        Refusal: a part does not take its settings, the images are too small for the network, or `ckpt_path` leads
            nowhere.
    """
    with _refusing("data", config):
        data = build_data(config)
    model = fitting_model(config, data)
    with _refusing("optimizer", config):
        optimizer = instantiate(config.optimizer, _convert_="all")(model.parameters())
    with _refusing("scheduler", config):
        instantiate(config.scheduler, _convert_="all")(optimizer, 1000)
    with _refusing("trainer", config), _quiet():
        build_trainer(config, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    if config.compile and shutil.which(compiler := _compiler()) is None:
        raise Refusal(f"compile=true: must be false where there is no {compiler}; CXX names another C++ compiler")
    if config.ckpt_path is not None:
        if not config.task.folder:
            raise Refusal(f"ckpt_path={config.ckpt_path}: must be null for a task that trains nothing")
        _check_resumable(config)


def fitting_model(config: DictConfig, data: ImageDataModule) -> nn.Module:
    """The network, without memory where it lets itself be built and tried so.

    Raises:
        Refusal: it does not take its settings or the images.
    """
    said: str | None = None
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                model = build_model(config)
        except Refusal:
            if device == "meta":  # it may only need values while it is built
                continue
            raise
        said = forward_error(model, ImageSpec(data.channels, data.size, device), data.classes)
        if said is None:
            unfit = _unfit_for_training(model, data, device)
            if unfit is None:
                return model
            if device == "meta":  # it may only need values in training
                continue
            raise unfit
        smallest = smallest_size(model, data.channels, max(512, data.size), device)
        if smallest is not None and smallest > data.size:
            raise Refusal(
                f"data.resize={text(config.data.resize)}: this network takes images of {smallest} pixels or more, "
                f"these have {data.size}; the nearest is data.resize={smallest}"
            )
    images = f"images of {data.channels} x {data.size} x {data.size} in {data.classes} classes"
    raise Refusal(f"model: does not fit {images}: {said}")


def _unfit_for_training(model: nn.Module, data: ImageDataModule, device: str) -> Refusal | None:
    batch_size = min(data.batch_size, 2)  # of two images, one can tell what holds for more
    image = ImageSpec(data.channels, data.size, device)
    said = training_error(model, image, batch_size)
    if said is not None and batch_size == 1 and training_error(model, image, batch_size=2) is None:
        return Refusal(f"data.batch_size=1: must be 2 or more for this network: {said}")
    return Refusal(f"model: does not train: {said}") if said is not None else None


def _compiler() -> str:
    """The C++ compiler that torch.compile calls."""
    default = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shlex.split(os.environ.get("CXX", default))[0]


def _check_resumable(config: DictConfig) -> None:
    """A run goes on with the settings it began with, and with its best checkpoint so far."""
    given = f"ckpt_path={config.ckpt_path}"
    path = checkpoint_of(Path(config.ckpt_path))
    if not path.is_file():
        raise Refusal(f"{given}: must be a checkpoint, or a run's folder with checkpoints/last.ckpt")
    try:
        written, epochs = Recorder.history_in(path)
        before = upgraded(written)
    except (KeyError, EOFError, RuntimeError, UnpicklingError) as error:
        raise Refusal(f"{given}: must be a checkpoint of this program") from error
    now = effective(plain(config))
    # A schedule spans the epochs that were planned; without one, more can be added.
    lengthened = {"trainer.max_epochs"} if str(before["scheduler._target_"]).endswith(SCHEDULE_WITHOUT_END) else set()
    fixed = (before.keys() | now.keys()) - lengthened - set(FOR_SPEED)
    for key in sorted(fixed, key=lambda key: (key.count("."), key)):  # those at the top first: others refer to them
        if normalised(key, before.get(key)) != normalised(key, now.get(key)):
            allowed = text(before.get(key))
            raise Refusal(f"{key}={text(now.get(key))}: must be {allowed}, as in the run that ckpt_path continues")
    planned = config.trainer.max_epochs
    if planned <= epochs:
        raise Refusal(f"trainer.max_epochs={planned}: must be above the {epochs} that {given} has behind it")
    if epochs and not path.with_name("best.ckpt").is_file():
        raise Refusal(f"{given}: that run's best.ckpt must stand beside it")


@contextmanager
def _refusing(group: str, config: DictConfig) -> Iterator[None]:
    """Puts the setting in front of what a constructor says of its value."""
    try:
        yield
    except Exception as error:  # a constructor may say no in any way
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        said = " ".join(str(cause).split())
        if re.match(r"\w+=", said):
            raise Refusal(with_nearest(f"{group}.{said}")) from error
        named = [
            f"{group}.{key}={value}"
            for key, value in config[group].items()
            if isinstance(value, str) and re.search(rf"\b{re.escape(value)}\b", said)
        ]
        told = said if isinstance(cause, ValueError) else describe_error(cause)
        raise Refusal(f"{named[0] if len(named) == 1 else group}: {told}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning names the devices of every Trainer; the one that trains does."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
