"""The metrics of each split, from their declarations in `runs.metrics` and from the configuration; and the monitor."""

import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.wrappers import ClasswiseWrapper

from cnn_experiments.config.instantiate import attribute_errors_to, instantiate, target_parameters
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import ConfigError, suggest
from cnn_experiments.runs.metrics import (
    DEFAULT_MONITOR,
    METRICS,
    RESERVED_NAMES,
    BuiltInMetric,
    Mode,
    Monitor,
    Split,
    is_metric_name,
    metrics_of,
)

Settings = Mapping[str, Any]
"""All settings of a run, nested and in plain values."""


class MeanLoss(Metric):
    """The loss averaged over images, computed from the mean loss of each batch.

    It is summed on the device without synchronization. Checkpoints hold the states `total` and `images`.
    """

    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, target: Tensor) -> None:
        """Add a batch: its mean loss, a scalar, and its labels (N,)."""
        self.total += loss * len(target)
        self.images += len(target)

    def compute(self) -> Tensor:
        """Return the mean loss over all images, a scalar."""
        return self.total / self.images


class AccuracyByClass(MulticlassAccuracy):
    """The accuracy of every class; NaN for a class without images, of which nothing was measured."""

    def compute(self) -> Tensor:
        """Return the accuracies (num_classes,)."""
        accuracies: Tensor = super().compute()
        true_positives, _, _, false_negatives = self._final_state()
        return accuracies.where(true_positives + false_negatives > 0, torch.nan)


def split_metrics(split: Split, class_names: Sequence[str]) -> MetricCollection:
    """Return the metrics of a split that every run has, named `split/name`.

    The test split also has the accuracy of every class, which is named after it: `test/acc/Sandal`.
    """
    num_classes = len(class_names)
    metrics: dict[str, Metric | MetricCollection] = {
        spec.name: _build_metric(spec, num_classes) for spec in METRICS if split in spec.splits
    }
    if split == "test":
        per_class_acc = AccuracyByClass(num_classes, average=None, validate_args=False)
        metrics["per_class_acc"] = ClasswiseWrapper(per_class_acc, labels=list(class_names), prefix="acc/")
    return MetricCollection(metrics, prefix=f"{split}/", compute_groups=False)


def _build_metric(spec: BuiltInMetric, num_classes: int) -> Metric:
    arguments = dict(spec.arguments)
    if spec.target.startswith("torchmetrics."):
        # Validating the arguments of every update would wait for the device.
        arguments |= {"num_classes": num_classes, "validate_args": False}
    metric: Metric = pkgutil.resolve_name(spec.target)(**arguments)
    return metric


class OwnMetrics(nn.Module):
    """The metrics of one split that the configuration names.

    Args:
        split: prefixes their names: `val/top5`.
        metrics: by name; they are copied.
    """

    def __init__(self, split: Split, metrics: Mapping[str, Metric]) -> None:
        super().__init__()
        self._keys = [f"{split}/{name}" for name in metrics]
        # No nn.ModuleDict: it refuses names such as `type`, which every module has.
        self._metrics = nn.ModuleList(metric.clone() for metric in metrics.values())
        self.requires_grad_(False)  # else the optimizer would have the parameters of a metric, and DDP would miss them

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits (N, num_classes) and int64 labels (N,)."""
        for metric in self._metrics:
            assert isinstance(metric, Metric)
            metric.update(logits, labels)

    def compute(self) -> dict[str, Tensor]:
        """Return each metric by its key, a float over the batches of all processes, and forget the batches."""
        values = {}
        for key, metric in zip(self._keys, self._metrics, strict=True):
            assert isinstance(metric, Metric)
            values[key] = torch.as_tensor(metric.compute(), dtype=torch.float32, device=metric.device).reshape(())
            metric.reset()
        return values


def build_metrics(settings: Settings, *, validate_args: bool = False) -> dict[str, Metric]:
    """Return the metrics that the configuration names.

    Args:
        settings: all settings of the run.
        validate_args: whether metrics check their arguments and every batch, where their file does not say. For this
            they wait for the device.

    Raises:
        ConfigError: a name is taken, or a metric does not accept its settings.
    """
    metrics = {}
    for name, own in settings["metrics"].items():
        key = f"metrics.{name}"
        if name in RESERVED_NAMES:
            raise ConfigError(key, problem=f"must have another name; every run has {', '.join(RESERVED_NAMES)}")
        if not is_metric_name(name):
            raise ConfigError(key, problem="must have a name of at most 80 letters, digits and underscores")
        with attribute_errors_to(key, own):
            derived = {"num_classes": settings["data"]["classes"], "validate_args": validate_args}
            accepted = target_parameters(key, own, Metric).keys()
            missing = {argument: value for argument, value in derived.items() if argument in accepted - own.keys()}
            metrics[name] = instantiate(key, own, Metric, **missing)
    return metrics


def check_metrics(settings: Settings, data: ImageDataModule) -> None:
    """Check the monitor, and that each metric of the configuration is one number for two batches of random logits.

    Raises:
        ConfigError: it is not, or a metric does not accept its settings, or there is no such monitor.
    """
    metrics = build_metrics(settings, validate_args=True)
    labels = torch.arange(data.classes).repeat(2)
    logits = torch.randn(len(labels), data.classes, generator=torch.Generator().manual_seed(0))
    for name, metric in metrics.items():
        key = f"metrics.{name}"
        given_logits, given_labels = logits.clone(), labels.clone()
        try:
            with attribute_errors_to(key, settings["metrics"][name]):
                copy = metric.clone()
                copy.update(given_logits, given_labels)
                copy.update(given_logits, given_labels)
                value = copy.compute()
                copy.reset()
        except ConfigError as error:
            raise error.with_context(f"for logits {tuple(logits.shape)} and labels {tuple(labels.shape)}") from error
        if problem := _value_problem(value):
            raise ConfigError(key, problem=f"must compute one number; {problem}")
        if not (torch.equal(given_logits, logits) and torch.equal(given_labels, labels)):
            raise ConfigError(key, problem="must not change the logits and labels that it gets: others get them, too")
    if data.protocol.has_monitor:
        build_monitor(settings, metrics)
        return
    for key, default in (("monitor", DEFAULT_MONITOR.key), ("monitor_mode", None)):
        if settings[key] != default:
            problem = "must be left out without images held out (data.val_size=0), where the last epoch is tested"
            raise ConfigError(key, settings[key], problem=problem)


def _value_problem(value: Any) -> str | None:
    """Return what the value of a metric is instead of one number, or None."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            return f"it computes a tensor of shape {tuple(value.shape)}"
        return f"it computes the {value.dtype} {value.item()}" if value.is_complex() else None
    if isinstance(value, int | float):
        return None
    return f"it computes a {type(value).__name__}"


def build_monitor(settings: Settings, metrics: Mapping[str, Metric]) -> Monitor:
    """Return the metric of the images held out that chooses the epoch that is tested.

    Args:
        settings: all settings of the run.
        metrics: those that the configuration names.

    Raises:
        ConfigError: there is no such metric, or nothing says which of its values are better.
    """
    key, mode = settings["monitor"], settings["monitor_mode"]
    specs = {spec.key("val"): spec for spec in metrics_of([metric_info(metrics)]) if "val" in spec.splits}
    if key not in specs:
        raise _unknown_monitor_error(key, list(specs))
    higher_is_better = specs[key].higher_is_better
    if mode is None and higher_is_better is None:
        raise ConfigError("monitor_mode", None, problem=f"must be max or min: {key} does not say which is better")
    own_mode: Mode = "max" if higher_is_better else "min"
    if None not in (mode, higher_is_better) and mode != own_mode:
        better = "higher" if higher_is_better else "lower"
        problem = f"must be {own_mode} or null: {better} values of {key} are better"
        raise ConfigError("monitor_mode", mode, problem=problem)
    return Monitor(key, own_mode if mode is None else mode)


def _unknown_monitor_error(key: str, known: Sequence[str]) -> ConfigError:
    split, separator, name = key.rpartition("/")
    problem = f"must be a metric of the images held out, those of the group metrics included: {', '.join(known)}"
    if separator and split == "test":
        problem = f"{problem}; the test set measures the epoch that is chosen, and can't choose it"
    if separator and split == "train":
        problem = f"{problem}; train/{name} also improves where a network only learns its training images by heart"
    nearest = f"val/{name}"
    suggestion = nearest if nearest in known else suggest(key, known, cutoff=0.7)
    return ConfigError("monitor", key, problem=problem, suggestion=suggestion)


def monitor_mode(settings: Settings) -> Mode:
    """Return whether the highest or the lowest value of the monitor is the best: `max` or `min`.

    Raises:
        ConfigError: there is no such metric, or nothing says which of its values are better.
    """
    return build_monitor(settings, build_metrics(settings)).mode


def metric_info(metrics: Mapping[str, Metric], monitor: Monitor | None = None) -> dict[str, dict[str, bool | None]]:
    """Return what results.json says of the metrics that the configuration names.

    Args:
        metrics: by name.
        monitor: of the run. It says which values are better if the metric does not.
    """
    directions = {name: metric.higher_is_better for name, metric in metrics.items()}
    if monitor is not None and directions.get(monitor.name, True) is None:
        directions[monitor.name] = monitor.higher_is_better
    return {name: {"higher_is_better": None if value is None else bool(value)} for name, value in directions.items()}
