"""The parts of an experiment, built from its settings."""

import inspect
import json
import logging
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

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.config.instantiate import (
    attribute_errors_to,
    find_target,
    instantiate,
    instantiate_partial,
    target_parameters,
)
from cnn_experiments.data.augmentation import AugmentationPipeline
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import ConfigError
from cnn_experiments.runtime.distributed import no_launcher, num_processes
from cnn_experiments.training.classifier import Classifier
from cnn_experiments.training.limits import LIMIT_KEYS, Limits
from cnn_experiments.training.metrics import build_metrics, monitor_mode
from cnn_experiments.training.optimization import optimizer_factory, schedule_factory

MEMORY_FORMATS = {
    "auto": torch.contiguous_format,
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
"""By the value of the setting. `auto` stands for the faster one in a training; whatever is not timed is contiguous."""

_MAX_PARTS = 50_000
"""More modules, parameters and buffers than any network has whose steps end in reasonable time."""

_LOADER_KEYS = ("batch_size", "val_size", "train_size", "test_every_epoch", "resize", "normalize", "seed")
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
    if "augment" in settings["data"] and "augment" not in target_parameters("data", settings["data"], ImageDataModule):
        problem = "must be removed from the file of the data set: augmentation is a group, such as augment=[crop,flip]"
        raise ConfigError("data.augment", settings["data"]["augment"], problem=problem)
    with attribute_errors_to("data", settings["data"]):
        data: ImageDataModule = instantiate("data", settings["data"], ImageDataModule)
        if missing := sorted({"channels", "classes", "batch_size", "val_size", "size", "seed"} - vars(data).keys()):
            problem = f"its __init__ must call that of ImageDataModule, which sets {', '.join(missing)}"
            raise ArgumentError("_target_", settings["data"]["_target_"], problem)
    data.augmentation = build_augmentation(settings)
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


def build_augmentation(settings: Settings) -> AugmentationPipeline:
    """Return what is applied to training images.

    Raises:
        ConfigError: as in `build_parts`; or a part can't be called, or is a function that would be called without
            images.
    """
    for name, part_settings in settings["augment"].items():
        _check_is_partial(f"augment.{name}", part_settings)
    parts = build_parts("augment", settings, object)
    for name, part in parts.items():
        if not callable(part):
            problem = f"must make something that is called with the images of a batch, not {type(part).__name__}"
            raise ConfigError(f"augment.{name}._target_", settings["augment"][name]["_target_"], problem=problem)
    return AugmentationPipeline(parts)


def _check_is_partial(prefix: str, settings: Settings) -> None:
    """Check that a function with a parameter that has no setting, its images, is called later, for each batch."""
    with suppress(ImportError, AttributeError):
        function = find_target(str(settings.get("_target_")))
        if not inspect.isfunction(function) or settings.get("_partial_") is True:
            return
        try:
            inspect.signature(function).bind(**{key: value for key, value in settings.items() if key[0] != "_"})
        except TypeError:
            problem = "must be true for a function, which is called with the images of each batch"
            raise ConfigError(f"{prefix}._partial_", settings.get("_partial_"), problem=problem) from None


def build_callbacks(settings: Settings) -> dict[str, pl.Callback]:
    """Return the callbacks of the configuration by name, in order.

    Raises:
        ConfigError: as in `build_parts`, or the direction of a monitored metric is not known.
    """
    parts = {name: _with_mode(name, part, settings) for name, part in settings["callbacks"].items()}
    return build_parts("callbacks", {**settings, "callbacks": parts}, pl.Callback)


def _with_mode(name: str, part: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """Return the settings of a callback, with the direction of its metric in place of `mode: null`."""
    monitor = part.get("monitor")
    if "mode" not in part or part["mode"] is not None or not isinstance(monitor, str):
        return part
    metric = monitor.partition("/")[2]
    own_mode = settings["monitor_mode"] if monitor == settings["monitor"] else None
    try:
        mode = monitor_mode({**settings, "monitor": f"val/{metric}", "monitor_mode": own_mode})
    except ConfigError:
        problem = f"must be max or min: which is better is not known of {monitor}"
        raise ConfigError(f"callbacks.{name}.mode", None, problem=problem) from None
    return {**part, "mode": mode}


def build_loss(settings: Settings) -> nn.Module:
    """Return the loss.

    Raises:
        ConfigError: it does not accept its settings, or has lazy layers.
    """
    with attribute_errors_to("loss", settings["loss"]):
        loss: nn.Module = instantiate("loss", settings["loss"], nn.Module)
        _check_not_lazy(loss, settings["loss"])
    return loss


def _check_not_lazy(module: nn.Module, settings: Settings) -> None:
    """Check that a module has no lazy layers, whose weights no initialization and no optimizer would reach."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    if lazy := [name for name, tensor in tensors if is_lazy(tensor)]:
        problem = (
            f"must not have lazy layers ({', '.join(lazy)}), whose weights do not exist yet and can't be initialized"
        )
        raise ArgumentError("_target_", settings["_target_"], problem)


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
        ConfigError: the network or the initialization does not accept its settings, or the network has lazy layers.
    """
    with attribute_errors_to("model", settings["model"]):
        model: nn.Module = instantiate("model", settings["model"], nn.Module)
        _check_not_lazy(model, settings["model"])
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


def build_classifier(settings: Settings, data: ImageDataModule, model: nn.Module | None = None) -> Classifier:
    """Return a network, or else a new one, with its loss, metrics, optimizer and schedule."""
    return Classifier(
        model=model or build_model(settings),
        loss=build_loss(settings),
        optimizer=optimizer_factory(settings),
        scheduler=schedule_factory(settings),
        monitor=settings["monitor"],
        metrics=build_metrics(settings),
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


def build_trainer_alone(settings: Settings) -> pl.Trainer:
    """Return a Trainer that trains nothing, which tells its device and its precision, and whether Lightning accepts it.

    Raises:
        ConfigError: as in `build_trainer`.
    """
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)  # it prints the devices of every Trainer that is built
    try:
        return build_trainer(settings, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    finally:
        logger.setLevel(level)


def _rejected_setting(trainer_settings: Settings, build: Callable[[Settings], pl.Trainer]) -> str | None:
    """Return the setting without which Lightning accepts the others, or None if there is not exactly one."""
    rejected = []
    for key in trainer_settings.keys() - {"_target_"}:
        with suppress(Exception):  # it is another setting, or more than one
            build({name: value for name, value in trainer_settings.items() if name != key})
            rejected.append(key)
    return rejected[0] if len(rejected) == 1 else None
