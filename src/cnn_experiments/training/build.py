"""The parts of an experiment, built from its settings."""

from collections.abc import Callable, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.config.instantiate import attribute_errors_to, instantiate, instantiate_partial
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.training.classifier import Classifier

_MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

Settings = Mapping[str, Any]
"""All settings of a run, nested and in plain values."""


def build_data(settings: Settings) -> ImageDataModule:
    """Return the data module; nothing is read or downloaded yet.

    Raises:
        ConfigError: it does not accept its settings.
    """
    with attribute_errors_to("data", settings["data"]):
        data: ImageDataModule = instantiate("data", settings["data"], pl.LightningDataModule)
    return data


def build_model(settings: Settings) -> nn.Module:
    """Return the network with its initial weights.

    Raises:
        ConfigError: the network or the initialization does not accept its settings, or the network has lazy layers,
            whose weights neither the initialization nor the optimizer would reach.
    """
    with attribute_errors_to("model", settings["model"]):
        model: nn.Module = instantiate("model", settings["model"], nn.Module)
        tensors = [*model.named_parameters(), *model.named_buffers()]
        if lazy := [name for name, tensor in tensors if is_lazy(tensor)]:
            raise ArgumentError(
                "_target_",
                settings["model"]["_target_"],
                f"must not have lazy layers ({', '.join(lazy)}), "
                "whose weights do not exist yet and can't be initialized",
            )
    with attribute_errors_to("init", settings["init"]):
        instantiate_partial("init", settings["init"], object)(model)
    return model


def build_optimizer(settings: Settings, model: nn.Module) -> Optimizer:
    """Return the optimizer of a network's parameters.

    Raises:
        ConfigError: it does not accept its settings.
    """
    with attribute_errors_to("optimizer", settings["optimizer"]):
        optimizer: Optimizer = _optimizer_factory(settings)(model.parameters())
    return optimizer


def build_scheduler(settings: Settings, optimizer: Optimizer, total_steps: int) -> LRScheduler:
    """Return the learning-rate schedule over so many steps of the optimizer.

    Raises:
        ConfigError: it does not accept its settings.
    """
    with attribute_errors_to("scheduler", settings["scheduler"]):
        scheduler: LRScheduler = _scheduler_factory(settings)(optimizer, total_steps)
    return scheduler


def _optimizer_factory(settings: Settings) -> Callable[..., Optimizer]:
    return instantiate_partial("optimizer", settings["optimizer"], Optimizer)


def _scheduler_factory(settings: Settings) -> Callable[..., LRScheduler]:
    return instantiate_partial("scheduler", settings["scheduler"], LRScheduler)


def build_classifier(settings: Settings, data: ImageDataModule) -> Classifier:
    """Return the network with its loss, metrics, optimizer and schedule."""
    return Classifier(
        model=build_model(settings),
        optimizer=_optimizer_factory(settings),
        scheduler=_scheduler_factory(settings),
        class_names=data.class_names,
        label_smoothing=settings["label_smoothing"],
        memory_format=_MEMORY_FORMATS[settings["memory_format"]],
        compile_model=settings["compile"],
        eval_split=data.protocol.eval_split or "val",
    )


def build_trainer(settings: Settings, **arguments: Any) -> pl.Trainer:
    """Return Lightning's Trainer; the data modules share images among processes themselves.

    Raises:
        ConfigError: it does not accept its settings.
    """
    with attribute_errors_to("trainer", settings["trainer"]):
        trainer: pl.Trainer = instantiate(
            "trainer",
            settings["trainer"],
            pl.Trainer,
            **arguments,
            use_distributed_sampler=False,
            enable_model_summary=False,
        )
    return trainer
