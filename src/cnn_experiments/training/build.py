"""The parts of an experiment, built from its settings."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.config.instantiate import attribute_errors_to, instantiate, instantiate_partial
from cnn_experiments.data.augmentation import Augmentation
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import ConfigError
from cnn_experiments.runtime.distributed import no_launcher, num_processes
from cnn_experiments.training.classifier import Classifier
from cnn_experiments.training.limits import LIMIT_KEYS, Limits

MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

_MAX_PARTS = 50_000
"""More modules, parameters and buffers than any network has whose steps end in reasonable time."""

_LOADER_KEYS = ("batch_size", "val_size", "test_every_epoch", "resize", "normalize", "seed")
"""Settings of a data set that do not change the images that it stores."""

_checked_images: set[str] = set()

_FROM_CHECKPOINT = "cnn_experiments.training.fine_tuning.from_checkpoint"
"""The initialization that reads a checkpoint of another run."""

Settings = Mapping[str, Any]
"""All settings of a run, nested and in plain values."""


def build_data(settings: Settings) -> ImageDataModule:
    """Return the data module; nothing is read or downloaded yet.

    Raises:
        ConfigError: it does not accept its settings.
    """
    with attribute_errors_to("data", settings["data"]):
        data: ImageDataModule = instantiate("data", settings["data"], ImageDataModule)
        if missing := sorted({"channels", "classes", "batch_size", "val_size", "size", "seed"} - vars(data).keys()):
            problem = f"its __init__ must call that of ImageDataModule, which sets {', '.join(missing)}"
            raise ArgumentError("_target_", settings["data"]["_target_"], problem)
    data.augmentations = build_augmentations(settings)
    return data


def build_parts(group: str, settings: Settings, kind: type) -> dict[str, Any]:
    """Return the parts of a group of which several options may be chosen, by name and in order.

    Args:
        group: the name of the group, such as `callbacks`.
        settings: all settings of the run.
        kind: the class of each part.

    Raises:
        ConfigError: a part does not accept its settings, or is of another class.
    """
    parts = {}
    for name, part_settings in settings[group].items():
        prefix = f"{group}.{name}"
        with attribute_errors_to(prefix, part_settings):
            parts[name] = instantiate(prefix, part_settings, kind)
    return parts


def build_augmentations(settings: Settings) -> list[Augmentation]:
    """Return what is applied to training images, in order.

    Raises:
        ConfigError: as in `build_parts`.
    """
    return list(build_parts("augment", settings, Callable).values())  # type: ignore[arg-type]


def build_loss(settings: Settings) -> nn.Module:
    """Return the loss.

    Raises:
        ConfigError: it does not accept its settings.
    """
    with attribute_errors_to("loss", settings["loss"]):
        loss: nn.Module = instantiate("loss", settings["loss"], nn.Module)
    return loss


def check_images(settings: Settings, data: ImageDataModule) -> None:
    """Load the images of a data set that is there without a download, and check their types, shapes and labels.

    A data set is loaded once for all combinations of a sweep.

    Raises:
        ConfigError: they can't be loaded, or are not what the class and the settings state.
    """
    own = {key: value for key, value in settings["data"].items() if key not in _LOADER_KEYS}
    fingerprint = json.dumps(own, sort_keys=True, default=str)
    if data.needs_preparation or fingerprint in _checked_images:
        return
    with attribute_errors_to("data", settings["data"]):
        for train in (True, False):
            data.load_checked(train)
    _checked_images.add(fingerprint)


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


def without_source(settings: Settings, *, freezes: bool = True) -> Settings:
    """Return the settings for a network that gets its weights from a checkpoint of its own run.

    With `init=checkpoint` no other checkpoint is read, which may be gone by then.

    Args:
        settings: all settings of the run.
        freezes: whether `init.freeze` counts, which it does in a training.
    """
    init = settings["init"]
    if init.get("_target_") != _FROM_CHECKPOINT:
        return settings
    return {**settings, "init": {**init, "path": None, "freeze": init["freeze"] if freezes else []}}


class NetworkTooLargeError(ConfigError):
    """A network whose construction was ended because of its size."""


@contextmanager
def limit_size(max_parameter_bytes: float) -> Iterator[None]:
    """End the construction of a network that would take too long or too much memory.

    Raises:
        NetworkTooLargeError: the network has too many modules and tensors, or its parameters need too much memory.
    """
    num_registered, parameter_bytes = 0, 0

    def count(_module: nn.Module, _name: str, part: nn.Module | torch.Tensor | None) -> None:
        nonlocal num_registered, parameter_bytes
        num_registered += 1
        if num_registered > _MAX_PARTS:
            raise NetworkTooLargeError("model", problem=f"must have at most {_MAX_PARTS:,} modules and tensors")
        if isinstance(part, torch.Tensor) and not is_lazy(part):
            parameter_bytes += part.nbytes
        if parameter_bytes > max_parameter_bytes:
            problem = f"its parameters need more than {parameter_bytes / 2**30:,.1f} GiB, which is too large"
            raise NetworkTooLargeError("model", problem=problem)

    hooks = [
        register(count)
        for register in (
            register_module_module_registration_hook,
            register_module_parameter_registration_hook,
            register_module_buffer_registration_hook,
        )
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def probe_optimizer(settings: Settings) -> int:
    """Return how many numbers the optimizer stores for each value of a parameter, after two steps of a small one.

    Raises:
        ConfigError: it raises an error in a step.
    """
    parameter = nn.Parameter(torch.ones(2, 2))
    with attribute_errors_to("optimizer", settings["optimizer"]):
        optimizer: Optimizer = _optimizer_factory(settings)([parameter])
        for _ in range(2):
            parameter.grad = torch.full_like(parameter, 1e-3)
            optimizer.step(lambda: 0.0)
    states = (value for state in optimizer.state.values() for value in state.values())
    return sum(isinstance(value, torch.Tensor) and value.shape == parameter.shape for value in states)


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


def build_classifier(settings: Settings, data: ImageDataModule, model: nn.Module | None = None) -> Classifier:
    """Return a network, or else a new one, with its loss, metrics, optimizer and schedule."""
    return Classifier(
        model=model or build_model(settings),
        loss=build_loss(settings),
        optimizer=_optimizer_factory(settings),
        scheduler=_scheduler_factory(settings),
        class_names=data.class_names,
        memory_format=MEMORY_FORMATS[settings["memory_format"]],
        compile_model=settings["compile"],
        eval_split=data.protocol.eval_split or "val",
        max_steps=Limits.from_settings(settings).max_steps,
    )


def build_trainer(settings: Settings, **arguments: Any) -> pl.Trainer:
    """Return Lightning's Trainer; the data modules share images among processes themselves.

    Raises:
        ConfigError: it does not accept its settings.
    """
    own = {key: value for key, value in settings["trainer"].items() if key not in LIMIT_KEYS}
    if num_processes(settings["trainer"]) == 1:
        # Lightning takes the rank from the environment, whoever has set it there.
        rank_zero_only.rank = 0  # type: ignore[attr-defined]

    def build(trainer_settings: Settings) -> pl.Trainer:
        trainer: pl.Trainer = instantiate(
            "trainer",
            trainer_settings,
            pl.Trainer,
            **arguments,
            use_distributed_sampler=False,
            enable_model_summary=False,
        )
        return trainer

    with attribute_errors_to("trainer", own), no_launcher(settings["trainer"]):
        try:
            return build(own)
        except ConfigError:
            raise
        except Exception as error:  # Lightning's errors have several classes, and Hydra wraps them
            cause = error.__cause__ or error
            if key := _rejected_setting(own, build):
                raise ArgumentError(key, own[key], " ".join(str(cause).split())) from error
            raise


def _rejected_setting(trainer_settings: Settings, build: Callable[[Settings], pl.Trainer]) -> str | None:
    """Return the setting without which Lightning accepts the others, or None if there is not exactly one."""
    rejected = []
    for key in trainer_settings.keys() - {"_target_"}:
        with suppress(Exception):  # it is another setting, or more than one
            build({name: value for name, value in trainer_settings.items() if name != key})
            rejected.append(key)
    return rejected[0] if len(rejected) == 1 else None
