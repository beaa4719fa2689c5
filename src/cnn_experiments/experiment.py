"""The parts of an experiment, built from its configuration."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig

from cnn_experiments.classifier import Classifier
from cnn_experiments.complexity import smallest_size
from cnn_experiments.data.module import ImageDataModule
from cnn_experiments.errors import Refusal
from cnn_experiments.run_folder import checkpoint_of


def build_data(config: DictConfig) -> ImageDataModule:
    """The data module; nothing is read or downloaded yet."""
    data: ImageDataModule = instantiate(config.data, _convert_="all")
    return data


def build_classifier(config: DictConfig, data: ImageDataModule) -> Classifier:
    """The network with its loss, metrics, optimizer and schedule."""
    return Classifier(
        model=instantiate(config.model, _convert_="all"),
        optimizer=instantiate(config.optimizer, _convert_="all"),
        scheduler=instantiate(config.scheduler, _convert_="all"),
        class_names=data.class_names,
        label_smoothing=config.label_smoothing,
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
    with _refusing("model", config), torch.device("meta"):
        model: torch.nn.Module = instantiate(config.model, _convert_="all")
    with _refusing("optimizer", config):
        optimizer = instantiate(config.optimizer, _convert_="all")(model.parameters())
    with _refusing("scheduler", config):
        instantiate(config.scheduler, _convert_="all")(optimizer, 1000)
    with _refusing("trainer", config), _quiet():
        build_trainer(config, logger=False, enable_checkpointing=False, enable_progress_bar=False)

    smallest = smallest_size(model, data.channels, largest=max(512, data.size))
    if smallest is None or data.size < smallest:
        raise Refusal(
            f"data.resize={config.data.resize or 'null'}: this network takes images of {smallest or 'over 512'} pixels "
            f"or more, these have {data.size}; the nearest is data.resize={smallest}"
        )
    if config.ckpt_path is not None and not checkpoint_of(Path(config.ckpt_path)).is_file():
        raise Refusal(
            f"ckpt_path={config.ckpt_path}: must be a checkpoint, or a run's folder with checkpoints/last.ckpt"
        )


@contextmanager
def _refusing(group: str, config: DictConfig) -> Iterator[None]:
    """Puts the setting in front of what a constructor says of its value."""
    try:
        yield
    except (InstantiationException, MisconfigurationException, ValueError, TypeError) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        said = " ".join(str(cause).split())
        if re.match(r"\w+=", said):
            raise Refusal(f"{group}.{said}") from error
        named = [
            f"{group}.{key}={value}"
            for key, value in config[group].items()
            if isinstance(value, str) and re.search(rf"\b{re.escape(value)}\b", said)
        ]
        raise Refusal(f"{named[0] if len(named) == 1 else group}: {said}") from error


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
