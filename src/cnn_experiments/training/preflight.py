"""Everything about an experiment that can be checked before it trains."""

import json
import math
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn
from torch.nn import functional as F

from cnn_experiments.analysis.cost import format_bytes, parameter_bytes
from cnn_experiments.analysis.probe import (
    ImageSpec,
    evaluation_error,
    forward_error,
    smallest_size,
    training_error,
    training_step_error,
    values_problem,
)
from cnn_experiments.config.instantiate import attribute_errors_to
from cnn_experiments.config.schema import LIST_GROUPS
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.loader import count_batches
from cnn_experiments.errors import ConfigError, describe_error, format_value, suggest
from cnn_experiments.runs.directory import BEST_CHECKPOINT, resolve_checkpoint
from cnn_experiments.runs.fingerprint import (
    PERFORMANCE_KEYS,
    added_defaults,
    differing_keys,
    effective_settings,
    normalize_value,
    upgrade_settings,
)
from cnn_experiments.runs.metrics import Split, metrics_of
from cnn_experiments.runs.regular_file import is_regular_file
from cnn_experiments.runtime.distributed import num_processes
from cnn_experiments.runtime.memory import total_memory
from cnn_experiments.training.augmentation_check import check_augmentation
from cnn_experiments.training.build import (
    NetworkTooLargeError,
    build_callbacks,
    build_data,
    build_loss,
    build_model,
    build_trainer_alone,
    check_images,
    limit_size,
    without_source,
)
from cnn_experiments.training.callback_checks import (
    READY_CALLBACKS,
    RESERVED_STATE_KEYS,
    callback_state_key,
    check_callback,
)
from cnn_experiments.training.callbacks import StochasticWeightAverage, WeightAverage
from cnn_experiments.training.limits import Limits, count_limited_batches, count_steps_per_epoch
from cnn_experiments.training.logger import check_loggers
from cnn_experiments.training.loss import ClassWeightedLoss
from cnn_experiments.training.memory_estimate import least_training_memory
from cnn_experiments.training.metrics import build_metrics, check_metrics, metric_info
from cnn_experiments.training.optimization import (
    build_optimizer,
    build_scheduler,
    depends_on_num_steps,
    is_plateau,
    probe_optimizer,
)
from cnn_experiments.training.stored_checkpoint import (
    CheckpointError,
    StoredCheckpoint,
    check_restorable,
    check_weights,
    read_checkpoint,
)

_PACKAGE = f"{__package__.partition('.')[0]}."

_MAX_PROBED_IMAGES = 64
_MAX_PROBED_BYTES = 2**30
"""What a probe on the CPU may cost; larger networks are probed on `meta` alone."""

_MAX_PROBED_NETWORKS = 1000
_probed: dict[str, nn.Module] = {}
"""Networks on `meta` that have been probed, by their settings and those of the data."""

Settings = Mapping[str, Any]


def check_training(settings: Settings, continues_by_itself: bool = False) -> None:
    """Check everything that training needs.

    Args:
        settings: all settings.
        continues_by_itself: whether the run continues from a checkpoint of its own, or is completed. That of
            `ckpt_path` or `init.path` may be gone by then, or trained further.

    Raises:
        ConfigError: a part does not accept its settings, the images do not suit the network or the memory, or a run
            can't continue from `ckpt_path`.
    """
    data = build_data(settings)
    check_loggers(settings)
    _check_batches(settings, data)
    ckpt_path = settings["ckpt_path"]
    has_own_weights = continues_by_itself or ckpt_path is not None
    model = _check_parts(without_source(settings) if has_own_weights else settings, data)
    _check_callbacks(settings, data)
    check_images(settings, data)
    _check_memory(settings, data, model)
    if ckpt_path is not None and not continues_by_itself:
        _check_resumable(settings)
    elif ckpt_path is not None and os.path.lexists(checkpoint := resolve_checkpoint(Path(ckpt_path))):
        _read_checkpoint(ckpt_path, checkpoint)


def check_learning_rate_search(settings: Settings, continues_by_itself: bool = False) -> None:  # noqa: ARG001
    """Check everything that a search of the learning rate needs.

    Args:
        settings: all settings.
        continues_by_itself: not used, there is no run.

    Raises:
        ConfigError: as in `check_training`, or the settings of the search are not allowed.
    """
    task = settings["task"]
    if settings["ckpt_path"] is not None:
        problem = "must be null: the search starts with the initial weights"
        raise ConfigError("ckpt_path", settings["ckpt_path"], problem=problem)
    if "lr" not in settings["optimizer"]:
        raise ConfigError("optimizer.lr", problem="must be in the file of the optimizer")
    if task["min_lr"] >= task["max_lr"]:
        raise ConfigError("task.min_lr", task["min_lr"], problem=f"must be below task.max_lr={task['max_lr']}")
    if num_processes(settings["trainer"]) > 1:
        problem = "must be one device: the search trains in one process"
        raise ConfigError("trainer.devices", settings["trainer"]["devices"], problem=problem)
    check_training(settings)


def check_parts(settings: Settings, continues_by_itself: bool = False) -> None:  # noqa: ARG001
    """Check everything that a look at the network needs.

    Args:
        settings: all settings.
        continues_by_itself: not used, there is no run.

    Raises:
        ConfigError: a part does not accept its settings, or the images do not suit the network.
    """
    _check_parts(settings, build_data(settings))
    if settings["ckpt_path"] is not None:
        raise ConfigError("ckpt_path", settings["ckpt_path"], problem="must be null for a task that trains nothing")


def _check_parts(settings: Settings, data: ImageDataModule) -> nn.Module:
    probe_optimizer(settings)
    build_trainer_alone(settings)
    check_augmentation(settings, data)
    _check_loss(settings, data)
    check_metrics(settings, data)
    _check_pretrained(settings)
    model = build_and_probe(settings, data)
    optimizer = build_optimizer(settings, model)
    build_scheduler(settings, optimizer, total_steps=1000, steps_per_epoch=100)
    _check_monitored(settings, data)
    if settings["compile"] and shutil.which(compiler := _cpp_compiler()) is None:
        raise ConfigError("compile", True, problem=f"must be false without {compiler}; CXX names another C++ compiler")
    return model


def _check_pretrained(settings: Settings) -> None:
    """Check that the initialization does not replace weights that were loaded."""
    target = settings["init"].get("_target_")
    if settings["model"].get("pretrained") is True and normalize_value("init._target_", target) != "default":
        problem = "must be false, or init=default: another initialization replaces the weights"
        raise ConfigError("model.pretrained", True, problem=problem)


def _check_loss(settings: Settings, data: ImageDataModule) -> None:
    """Check that the loss is a finite number that depends on the logits, for a batch with two images of every class.

    If augmentation mixes images, the targets of the training are shares of classes.
    """
    loss = build_loss(settings)
    num_classes = data.classes
    weights = loss.class_weights if isinstance(loss, ClassWeightedLoss) else None
    if weights is not None and len(weights) != num_classes:
        problem = f"must have {num_classes} weights, one for each class"
        raise ConfigError("loss.class_weights", settings["loss"]["class_weights"], problem=problem)
    labels = torch.arange(num_classes).repeat(2)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(len(labels), num_classes, generator=generator).requires_grad_()
    # A loss that warns does so again when it is used.
    with attribute_errors_to("loss", settings["loss"]), warnings.catch_warnings(action="ignore"):
        for is_training in (False, True):
            targets = labels
            if is_training and data.augmentation.mixes:
                targets = (
                    F.one_hot(labels, num_classes).float().lerp(F.one_hot(labels.roll(1), num_classes).float(), 0.25)
                )
            try:
                mean_loss = loss.train(is_training)(logits, targets)
            except Exception as error:
                if not targets.is_floating_point():
                    raise
                mix = next(iter(data.augmentation.mixes))
                problem = (
                    f"must accept the shares of classes that augment.{mix} makes, float32 of the shape "
                    f"(N, {num_classes}), as targets: {describe_error(error)}"
                )
                raise ConfigError("loss._target_", settings["loss"]["_target_"], problem=problem) from error
            if not isinstance(mean_loss, torch.Tensor) or mean_loss.shape != () or not mean_loss.is_floating_point():
                problem = "must return a floating-point tensor without dimensions, the mean loss of the batch"
                raise ConfigError("loss._target_", settings["loss"]["_target_"], problem=problem)
            if not mean_loss.isfinite():
                raise ConfigError("loss", problem="is NaN or infinite for random logits")
        if not mean_loss.requires_grad:
            raise ConfigError("loss", problem="does not depend on the logits, so that there is no gradient")


def _check_monitored(settings: Settings, data: ImageDataModule) -> None:
    """Check that images are held out for a schedule that follows a metric: the test set must not choose the rate."""
    if is_plateau(settings) and data.protocol.eval_split != "val":
        problem = f"must be >= 1 for ReduceLROnPlateau, which follows monitor={settings['monitor']}"
        raise ConfigError("data.val_size", data.val_size, problem=problem)


def _check_callbacks(settings: Settings, data: ImageDataModule) -> None:
    """Check that the callbacks of the configuration suit the run and each other."""
    targets = [str(own.get("_target_")) for own in settings["callbacks"].values()]
    if all(target.startswith(READY_CALLBACKS) for target in targets):  # a user's own may log further metrics
        _check_monitors(settings, data)
    callbacks = build_callbacks(settings)
    if not callbacks:
        return
    trainer = build_trainer_alone(settings)
    steps_per_epoch = count_steps_per_epoch(settings, data)
    num_complete_epochs = Limits.from_settings(settings).num_steps(steps_per_epoch) // steps_per_epoch
    for name, callback in callbacks.items():
        key, own = f"callbacks.{name}", settings["callbacks"][name]
        with attribute_errors_to(key, own):
            check_callback(callback, trainer, has_logger=bool(settings["logger"]))
            if isinstance(callback, StochasticWeightAverage):
                callback.check_start(settings["trainer"]["max_epochs"], num_complete_epochs)
    _check_state_keys(callbacks)


def _check_state_keys(callbacks: Mapping[str, pl.Callback]) -> None:
    """Check that checkpoints can hold the states of all callbacks, each under its own key."""
    names = dict.fromkeys(RESERVED_STATE_KEYS, "a callback that every run has")
    for name, callback in callbacks.items():
        state_key = callback_state_key(callback)
        if state_key is None:
            continue
        if state_key in names:
            reason = f"both save their state as {state_key!r}"
            if isinstance(callback, WeightAverage):
                reason = "both average the weights"
            problem = f"can't be combined with {names[state_key]}: {reason}"
            raise ConfigError(f"callbacks.{name}", problem=problem)
        names[state_key] = f"callbacks.{name}"


def _check_monitors(settings: Settings, data: ImageDataModule) -> None:
    """Check that every callback with a `monitor` gets its metric, and that none chooses by the test set."""
    splits: tuple[Split, ...] = ("train", "val") if data.val_size else ("train",)
    specs = metrics_of([metric_info(build_metrics(settings))])
    logged = [key for split in splits for spec in specs for key in spec.keys((split,))]
    for name, own in settings["callbacks"].items():
        monitor = own.get("monitor")
        if isinstance(monitor, str) and monitor not in logged:
            problem = f"must be a metric that is logged: {', '.join(logged)}"
            if monitor.startswith("test/"):
                problem += "; the test set is used once, after the training"
            if monitor.startswith("val/") and not data.val_size:
                problem += "; data.val_size=0 holds out no images"
            suggestion = suggest(monitor, logged, cutoff=0.6)
            raise ConfigError(f"callbacks.{name}.monitor", monitor, problem=problem, suggestion=suggestion)


def _check_batches(settings: Settings, data: ImageDataModule) -> None:
    """Check that the limits leave something to train and to evaluate."""
    trainer = settings["trainer"]
    eval_images = data.num_test_images if data.protocol.eval_split == "test" else data.val_size
    num_images = {
        "train": data.num_images_per_epoch,
        "val": eval_images if data.protocol.eval_split else 0,
        "test": data.num_test_images,
    }
    for split, count in num_images.items():
        if count and count_limited_batches(settings, data, split, count) == 0:
            key = f"limit_{split}_batches"
            num_batches = count_batches(count, data.batch_size, num_processes(settings["trainer"]))
            problem = f"must leave at least one of the {num_batches} batches"
            raise ConfigError(f"trainer.{key}", trainer[key], problem=problem, suggestion=f"trainer.{key}=1")
    min_epochs = trainer.get("min_epochs")
    if min_epochs is not None and min_epochs > trainer["max_epochs"]:
        problem = f"must be at most trainer.max_epochs={trainer['max_epochs']}"
        raise ConfigError("trainer.min_epochs", min_epochs, problem=problem)
    if trainer.get("gradient_clip_algorithm") and trainer.get("gradient_clip_val") is None:
        problem = "must be null without trainer.gradient_clip_val, which clips at all"
        raise ConfigError("trainer.gradient_clip_algorithm", trainer["gradient_clip_algorithm"], problem=problem)


def _check_memory(settings: Settings, data: ImageDataModule, model: nn.Module) -> None:
    """Check that a training step fits the memory of this machine; on a GPU only the parameters are checked."""
    needed = least_training_memory(settings, data, model)
    if needed.total <= (available := total_memory()):
        return
    images = f"{data.batch_size} images of {data.channels} x {data.size} x {data.size}"
    problem = (
        f"needs at least {format_bytes(needed.total)} of memory to train on {images}, "
        f"{format_bytes(needed.activations or 0)} of it for activations; this machine has {format_bytes(available)}"
    )
    if needed.parameters > (needed.activations or 0):
        raise ConfigError("model", problem=problem)
    raise ConfigError("data.batch_size", data.batch_size, problem=problem, remedy="data.resize makes images smaller")


def build_and_probe(settings: Settings, data: ImageDataModule) -> nn.Module:
    """Return the network after it has processed images of the data's size, if possible on `meta`, without memory.

    A network on `meta` is probed once for all combinations of a sweep that differ in other settings.

    Raises:
        ConfigError: it does not accept its settings or the images.
    """
    key = json.dumps([settings[name] for name in ("model", "init", "data")], default=str)
    if key in _probed:
        return _probed[key]
    with chdir(os.curdir):  # a forward pass of the user may change the working directory
        model = _build_and_probe(settings, data)
    if all(parameter.is_meta for parameter in model.parameters()) and len(_probed) < _MAX_PROBED_NETWORKS:
        _probed[key] = model
    return model


def _build_and_probe(settings: Settings, data: ImageDataModule) -> nn.Module:
    image_bytes = 4 * data.channels * data.size**2
    if image_bytes > total_memory():
        problem = f"one image needs {format_bytes(image_bytes)}; this machine has {format_bytes(total_memory())}"
        raise ConfigError("data.resize", settings["data"].get("resize"), problem=problem)
    target = str(settings["model"].get("_target_"))
    is_own_code = target.startswith(f"{_PACKAGE}models.")
    problem_found: str | None = None
    for device in ("meta", "cpu"):
        try:
            with torch.device(device), limit_size(math.inf if device == "meta" else total_memory() / 2):
                model = build_model(settings)
        except ConfigError as error:
            if device == "meta" and not isinstance(error, NetworkTooLargeError):  # it may need values while it is built
                continue
            raise
        fits_memory = parameter_bytes(model) <= total_memory() / 2
        image = ImageSpec(data.channels, data.size, device)
        problem_found = forward_error(model, image, data.classes)
        if problem_found is None:
            training_problem = _training_error(model, image, data, is_own_code)
            if training_problem is None:
                if not target.startswith(_PACKAGE):
                    _check_values(settings, image)
                return model
            if device == "meta" and fits_memory:  # it may need values in training
                continue
            raise training_problem
        smallest = smallest_size(model, data.channels, max(512, data.size), device)
        if smallest is not None and smallest > data.size:
            raise ConfigError(
                "data.resize",
                settings["data"].get("resize"),
                problem=f"this network needs images of at least {smallest} pixels, these have {data.size}",
                suggestion=f"data.resize={smallest}",
            )
        if not fits_memory or forward_error(model, image) is None:  # it runs: the shape of its logits is wrong
            break
    images = f"images of {data.channels} x {data.size} x {data.size} in {data.classes} classes"
    raise ConfigError("model", problem=f"does not fit {images}: {problem_found}")


def _training_error(model: nn.Module, image: ImageSpec, data: ImageDataModule, is_own_code: bool) -> ConfigError | None:
    """Return the error of a training step, or of the evaluation of a batch; or None.

    What two images show of a network of this package holds for more. A network of a user meets all sizes of batches.
    """
    sizes = [min(data.batch_size, 2)] if is_own_code else _batch_sizes(data, image.device)
    problem = None
    for batch_size in sizes:
        if is_own_code:
            problem = training_error(model, image, batch_size)
        else:
            problem = training_step_error(model, image, batch_size, data.classes)
            problem = problem or evaluation_error(model, image, batch_size, data.classes)
        if problem is not None:
            break
    if problem is None:
        return None
    if batch_size == 1 and training_step_error(model, image, 2, data.classes) is None:
        return ConfigError("data.batch_size", 1, problem=f"must be >= 2 for this network: {problem}")
    if batch_size != sizes[0]:
        cause = f"leaves batches of {batch_size} images, for which this network fails: {problem}"
        return ConfigError("data.batch_size", data.batch_size, problem=cause)
    return ConfigError("model", problem=f"does not train: {problem}")


def _batch_sizes(data: ImageDataModule, device: str) -> list[int]:
    """Return the sizes of the batches of all splits in one process, those of training first."""
    sizes = []
    for num_images in (data.num_images_per_epoch, data.val_size, data.num_test_images):
        num_batches = count_batches(num_images, data.batch_size, world_size=1)
        sizes += [min(data.batch_size, num_images), num_images - (num_batches - 1) * data.batch_size]
    most = math.inf if device == "meta" else _MAX_PROBED_IMAGES
    return list(dict.fromkeys(int(min(size, most)) for size in sizes if size))


def _check_values(settings: Settings, image: ImageSpec) -> None:
    """Check that a user's network maps images to finite logits; it is built on the CPU for this."""
    with limit_size(total_memory() / 2):
        model = build_model(settings)
    if parameter_bytes(model) > _MAX_PROBED_BYTES or image.size**2 * image.channels > _MAX_PROBED_BYTES:
        return
    if problem := values_problem(model, image):
        raise ConfigError("model", problem=f"does not train: {problem}")


def _cpp_compiler() -> str:
    """Return the C++ compiler that torch.compile calls."""
    default = "clang++" if sys.platform == "darwin" else "g++"
    return shlex.split(os.environ.get("CXX", default))[0]


def _check_resumable(settings: Settings) -> None:
    """Check that the run of `ckpt_path` can continue: with its own settings and its best checkpoint so far."""
    ckpt_path = settings["ckpt_path"]
    checkpoint = resolve_checkpoint(Path(ckpt_path))
    stored = _read_checkpoint(ckpt_path, checkpoint)
    _check_same_settings(upgrade_settings(stored.settings), settings)
    max_epochs = settings["trainer"]["max_epochs"]
    if max_epochs <= stored.num_epochs:
        raise ConfigError(
            "trainer.max_epochs",
            max_epochs,
            problem=f"must be > {stored.num_epochs}, the epochs already trained in {ckpt_path}",
        )
    limits = Limits.from_settings(settings)
    max_steps, num_steps = limits.max_steps, stored.num_steps
    if max_steps is not None and max_steps <= num_steps:
        raise ConfigError(
            "trainer.max_steps",
            max_steps,
            problem=f"must be > {num_steps}, the steps already trained in {ckpt_path}",
        )
    is_time_used_up = limits.max_seconds is not None and (stored.fit_seconds or 0.0) >= limits.max_seconds
    if is_time_used_up and stored.num_epochs >= limits.min_epochs:
        max_time = settings["trainer"]["max_time"]
        problem = f"must be more than {stored.fit_seconds:.0f} s, the time already trained in {ckpt_path}"
        raise ConfigError("trainer.max_time", max_time, problem=problem)
    best = checkpoint.with_name(BEST_CHECKPOINT)
    try:
        check_restorable(stored, settings)
        if stored.num_epochs and not is_regular_file(best):
            raise ConfigError("ckpt_path", ckpt_path, problem=f"{BEST_CHECKPOINT} not found next to the checkpoint")
    except (CheckpointError, OSError) as error:
        raise ConfigError("ckpt_path", ckpt_path, problem=f"{checkpoint}: {error}") from error
    if stored.stopped_by is not None:
        problem = f"must be of a training that can continue; that one ended: {stored.stopped_by}"
        raise ConfigError("ckpt_path", ckpt_path, problem=problem)
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


def _check_same_settings(stored: Settings, settings: Settings) -> None:
    current = effective_settings(settings)
    may_change = set(PERFORMANCE_KEYS)
    if not depends_on_num_steps(settings):
        may_change |= {"trainer.max_epochs", "trainer.max_steps", "trainer.max_time"}
    for key in differing_keys(stored, current):
        if key in may_change:
            continue
        group = key.partition(".")[0]
        if group in LIST_GROUPS:
            stored_parts, current_parts = _names_of_parts(group, stored), _names_of_parts(group, current)
            if stored_parts != current_parts:
                raise _setting_of_continued_run(group, current_parts, stored_parts)
        stored_value = stored.get(key, added_defaults(stored).get(key))
        raise _setting_of_continued_run(key, current.get(key), format_value(stored_value))


def _setting_of_continued_run(key: str, value: object, stored_value: str) -> ConfigError:
    return ConfigError(key, value, problem=f"must be {stored_value}, as in the run that ckpt_path continues")


def _names_of_parts(group: str, flat_settings: Settings) -> str:
    """Return the parts of a group as they are typed: `[crop,flip]`, or `none`."""
    names = dict.fromkeys(key.split(".")[1] for key in flat_settings if key.startswith(f"{group}."))
    return f"[{','.join(names)}]" if names else "none"
