"""The metrics of a run: one that is added to METRICS is computed, recorded and reported everywhere.

A run may have more, which its configuration names. Reports know of them what results.json says.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
EVAL_SPLITS: tuple[Split, ...] = ("val", "test")
Mode = Literal["max", "min"]

MetricInfo = Mapping[str, Mapping[str, bool | None]]
"""`metric_info` of results.json: what is known of the metrics that the configuration names, by their names."""


@dataclass(frozen=True)
class MetricSpec:
    """A metric that is computed once per epoch and split, and reported everywhere as `split/name`, such as `val/acc`.

    Args:
        name: the part of its key after the split, in results.json, metrics.csv and TensorBoard.
        splits: the splits that it is computed on.
        higher_is_better: whether a higher value is better; None if the metric does not say.
        in_leaderboard: whether the leaderboard always has columns for it.
        curve_splits: the splits of which a leaderboard draws it by epoch; a metric with none is not drawn at all.
        label: what axes and columns call it.
    """

    name: str
    splits: tuple[Split, ...]
    higher_is_better: bool | None
    in_leaderboard: bool
    curve_splits: tuple[Split, ...]
    label: str

    def key(self, split: Split) -> str:
        """Return the key in results.json, which is the column in metrics.csv: `val/acc`."""
        return f"{split}/{self.name}"

    def keys(self, splits: Sequence[Split]) -> list[str]:
        """Return the keys of those splits that the metric is computed on."""
        return [self.key(split) for split in splits if split in self.splits]


@dataclass(frozen=True)
class BuiltInMetric(MetricSpec):
    """A metric that every run has.

    Args:
        target: the dotted path of the torchmetrics class that computes it, imported by training alone.
        arguments: keyword arguments of that class, besides the number of classes.
    """

    target: str
    arguments: Mapping[str, Any]


METRICS: tuple[BuiltInMetric, ...] = (
    BuiltInMetric(
        name="loss",
        target="cnn_experiments.training.metrics.MeanLoss",
        arguments={},
        splits=SPLITS,
        higher_is_better=False,
        in_leaderboard=False,
        curve_splits=("train",),  # where it is minimized
        label="loss",
    ),
    BuiltInMetric(
        name="acc",
        target="torchmetrics.classification.MulticlassAccuracy",
        arguments={"average": "micro"},
        splits=SPLITS,
        higher_is_better=True,
        in_leaderboard=True,
        curve_splits=EVAL_SPLITS,
        label="accuracy",
    ),
    BuiltInMetric(
        name="f1",
        target="torchmetrics.classification.MulticlassF1Score",
        arguments={"average": "macro"},
        splits=("val", "test"),  # its update waits for the device, which would slow every training step down
        higher_is_better=True,
        in_leaderboard=False,
        curve_splits=(),
        label="F1",
    ),
)

RESERVED_NAMES = (*(metric.name for metric in METRICS), "lr", "epoch", "step")
"""Names that a metric of a configuration can't have."""

_MAIN_METRIC = "acc"


def is_metric_name(name: Any) -> bool:
    """Return whether a name can be part of a key such as `val/top5`: letters, digits and underscores."""
    return isinstance(name, str) and bool(re.fullmatch(r"[A-Za-z0-9_]{1,80}", name))


def metrics_of(infos: Iterable[MetricInfo] = ()) -> list[MetricSpec]:
    """Return the metrics of some runs: those that every run has, then those of their configurations.

    Args:
        infos: `metric_info` of each run. Runs that contradict each other do not say which values are better.
    """
    own: dict[str, MetricSpec] = {}
    for info in infos:
        for name, facts in info.items():
            if is_metric_name(name) and name not in RESERVED_NAMES:
                metric = _own_metric(name, facts.get("higher_is_better"))
                if own.setdefault(name, metric) != metric:
                    own[name] = replace(metric, higher_is_better=None)
    return [*METRICS, *own.values()]


def _own_metric(name: str, higher_is_better: bool | None) -> MetricSpec:
    return MetricSpec(
        name=name,
        splits=EVAL_SPLITS,  # in training, it would slow every step down
        higher_is_better=higher_is_better,
        in_leaderboard=True,
        curve_splits=EVAL_SPLITS,
        label=name,
    )


def metric_keys(metrics: Sequence[MetricSpec] = METRICS) -> list[str]:
    """Return the keys of metrics, such as `train/loss`, split by split."""
    return [key for split in SPLITS for metric in metrics for key in metric.keys((split,))]


def leaderboard_keys(
    metrics: Sequence[MetricSpec] = METRICS, monitors: Iterable["Monitor"] = ()
) -> dict[str, MetricSpec]:
    """Return the metrics of a leaderboard by their keys: `val/acc`, `test/acc`. Monitors are among them."""
    monitored = {monitor.name for monitor in monitors}
    shown = [metric for metric in metrics if metric.in_leaderboard or metric.name in monitored]
    return {key: metric for metric in shown for key in metric.keys(EVAL_SPLITS)}


def curve_metrics(metrics: Sequence[MetricSpec] = METRICS) -> list[MetricSpec]:
    """Return the metrics that reports draw by epoch: losses last."""
    drawn = [metric for metric in metrics if metric.curve_splits]
    return sorted(drawn, key=lambda metric: metric.higher_is_better is False)


def curve_keys(metrics: Sequence[MetricSpec] = METRICS) -> dict[str, MetricSpec]:
    """Return the metrics that a leaderboard draws by their keys: `val/acc`, `test/acc`, `train/loss`."""
    return {key: metric for metric in curve_metrics(metrics) for key in metric.keys(metric.curve_splits)}


@dataclass(frozen=True)
class Monitor:
    """The metric whose best value chooses the epoch that is tested.

    Args:
        key: such as `val/acc`.
        mode: `max` if the highest value is the best, `min` if the lowest is.
    """

    key: str
    mode: Mode

    @property
    def name(self) -> str:
        """Return the name of the metric without its split: `acc`."""
        return self.key.partition("/")[2]

    @property
    def higher_is_better(self) -> bool:
        """Return whether a higher value is better."""
        return self.mode == "max"

    @property
    def worst(self) -> float:
        """Return what any number is better than."""
        return -math.inf if self.mode == "max" else math.inf

    def is_better(self, value: float, other: float) -> bool:
        """Return whether a value is better than another one, which NaN never is."""
        return value > other if self.mode == "max" else value < other

    def to_json(self) -> dict[str, str]:
        """Return `monitor` of results.json."""
        return {"metric": self.key, "mode": self.mode}

    @classmethod
    def from_json(cls, content: Mapping[str, str] | None) -> "Monitor":
        """Return the monitor that results.json names; that of earlier versions, which name none, is `val/acc`."""
        content = content or {}
        split, _, name = content.get("metric", "").partition("/")
        mode = content.get("mode")
        if split not in EVAL_SPLITS or not is_metric_name(name) or mode not in ("max", "min"):
            return DEFAULT_MONITOR
        return cls(f"{split}/{name}", "max" if mode == "max" else "min")


DEFAULT_MONITOR = Monitor(f"val/{_MAIN_METRIC}", "max")
