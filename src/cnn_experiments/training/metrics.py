"""The metrics of each split, built from their declarations in `runs.metrics`."""

import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.wrappers import ClasswiseWrapper

from cnn_experiments.runs.metrics import METRICS, MetricSpec, Split


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
    """Return the metrics of a split, named `split/name`; those of the test split with the accuracy of every class.

    The accuracy of a class is named after it: `test/acc/Sandal`.
    """
    num_classes = len(class_names)
    metrics: dict[str, Metric | MetricCollection] = {
        spec.name: _build_metric(spec, num_classes) for spec in METRICS if split in spec.splits
    }
    if split == "test":
        per_class_acc = AccuracyByClass(num_classes, average=None, validate_args=False)
        metrics["per_class_acc"] = ClasswiseWrapper(per_class_acc, labels=list(class_names), prefix="acc/")
    return MetricCollection(metrics, prefix=f"{split}/", compute_groups=False)


def _build_metric(spec: MetricSpec, num_classes: int) -> Metric:
    arguments = dict(spec.arguments)
    if spec.target.startswith("torchmetrics."):
        # Validating the arguments of every update would wait for the device.
        arguments |= {"num_classes": num_classes, "validate_args": False}
    metric: Metric = pkgutil.resolve_name(spec.target)(**arguments)
    return metric


def monitor_mode(settings: Mapping[str, Any]) -> Literal["min", "max"]:
    """Return whether the highest or the lowest value of the monitor is the best: `max` or `min`."""
    if settings["monitor_mode"] is not None:
        mode: Literal["min", "max"] = settings["monitor_mode"]
        return mode
    return "min" if settings["monitor"].endswith("loss") else "max"
