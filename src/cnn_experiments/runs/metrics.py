"""The metrics of a run: one that is added to METRICS is computed, recorded and reported everywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
EVAL_SPLITS: tuple[Split, ...] = ("val", "test")


@dataclass(frozen=True)
class MetricSpec:
    """A metric that is computed once per epoch and split, and reported everywhere as `split/name`, such as `val/acc`.

    Args:
        name: the part of its key after the split, in results.json, metrics.csv and TensorBoard.
        target: the dotted path of the torchmetrics class that computes it, imported by training alone.
        arguments: keyword arguments of that class, besides the number of classes.
        splits: the splits that it is computed on.
        higher_is_better: whether a higher value is better.
        in_leaderboard: whether the leaderboard has columns for it.
        curve: whether reports draw it by epoch.
        label: what axes and columns call it.
    """

    name: str
    target: str
    arguments: Mapping[str, Any]
    splits: tuple[Split, ...]
    higher_is_better: bool
    in_leaderboard: bool
    curve: bool
    label: str

    def key(self, split: Split) -> str:
        """Return the key in results.json, which is the column in metrics.csv: `val/acc`."""
        return f"{split}/{self.name}"

    def keys(self, splits: Sequence[Split]) -> list[str]:
        """Return the keys of those splits that the metric is computed on."""
        return [self.key(split) for split in splits if split in self.splits]


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="loss",
        target="cnn_experiments.training.metrics.MeanLoss",
        arguments={},
        splits=SPLITS,
        higher_is_better=False,
        in_leaderboard=False,
        curve=True,
        label="loss",
    ),
    MetricSpec(
        name="acc",
        target="torchmetrics.classification.MulticlassAccuracy",
        arguments={"average": "micro"},
        splits=SPLITS,
        higher_is_better=True,
        in_leaderboard=True,
        curve=True,
        label="accuracy",
    ),
    MetricSpec(
        name="f1",
        target="torchmetrics.classification.MulticlassF1Score",
        arguments={"average": "macro"},
        splits=("val", "test"),  # its update waits for the device, which would slow every training step down
        higher_is_better=True,
        in_leaderboard=False,
        curve=False,
        label="F1",
    ),
)


def leaderboard_metrics() -> list[MetricSpec]:
    """Return the metrics of a leaderboard. The first one ranks; it must be better when higher."""
    return [metric for metric in METRICS if metric.in_leaderboard]


def curve_metrics() -> list[MetricSpec]:
    """Return the metrics that reports draw by epoch: losses last."""
    return sorted((metric for metric in METRICS if metric.curve), key=lambda metric: not metric.higher_is_better)


def metric_keys() -> list[str]:
    """Return the keys of all metrics, such as `train/loss`, split by split."""
    return [key for split in SPLITS for metric in METRICS for key in metric.keys((split,))]


def leaderboard_keys() -> dict[str, MetricSpec]:
    """Return the metrics of a leaderboard by their keys: `val/acc`, `test/acc`."""
    return {key: metric for metric in leaderboard_metrics() for key in metric.keys(EVAL_SPLITS)}


def curve_keys() -> dict[str, MetricSpec]:
    """Return the metrics that reports draw by their keys: `val/acc`, `test/acc`, `train/loss`.

    A loss is drawn where it is minimized, any other metric where the network is evaluated.
    """
    return {
        key: metric
        for metric in curve_metrics()
        for key in metric.keys(EVAL_SPLITS if metric.higher_is_better else ("train",))
    }
