"""Which metrics there are, and where reports show them: a metric that is added to METRICS appears everywhere."""

from dataclasses import dataclass

EVAL_SPLITS = ("val", "test")


@dataclass(frozen=True)
class MetricSpec:
    """A metric that is measured in every epoch, and what reports do with it."""

    name: str
    """As in results.json and metrics.csv after the split: `acc` in `val/acc`."""
    splits: tuple[str, ...]
    """Where it is measured: `train`, `val`, `test`."""
    higher_is_better: bool
    in_leaderboard: bool
    """Whether a leaderboard has columns for it."""
    curve: bool
    """Whether reports draw it by epoch."""
    label: str
    """Its name in a sentence or a caption."""

    def key(self, split: str) -> str:
        """Return its key in results.json, which is its column in metrics.csv: `val/acc`."""
        return f"{split}/{self.name}"

    def keys(self, splits: tuple[str, ...]) -> list[str]:
        """Return its keys for those of the splits in which it is measured."""
        return [self.key(split) for split in splits if split in self.splits]


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "loss", ("train", "val", "test"), higher_is_better=False, in_leaderboard=False, curve=True, label="loss"
    ),
    MetricSpec(
        "acc", ("train", "val", "test"), higher_is_better=True, in_leaderboard=True, curve=True, label="accuracy"
    ),
    MetricSpec("f1", ("val", "test"), higher_is_better=True, in_leaderboard=False, curve=False, label="F1 score"),
)


def leaderboard_metrics() -> list[MetricSpec]:
    """Return the metrics of a leaderboard. The first one ranks; it must be better when higher."""
    return [metric for metric in METRICS if metric.in_leaderboard]


def curve_metrics() -> list[MetricSpec]:
    """Return the metrics that reports draw by epoch: losses last."""
    return sorted((metric for metric in METRICS if metric.curve), key=lambda metric: not metric.higher_is_better)


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
