"""Tests of the declaration of the metrics."""

from cnn_experiments.runs.metrics import METRICS, curve_metrics, leaderboard_metrics, metric_keys


def test_keys_of_the_metrics() -> None:
    assert metric_keys() == [
        "train/loss",
        "train/acc",
        "val/loss",
        "val/acc",
        "val/f1",
        "test/loss",
        "test/acc",
        "test/f1",
    ]


def test_metrics_of_the_reports() -> None:
    assert [metric.name for metric in METRICS] == ["loss", "acc", "f1"]
    assert [metric.name for metric in leaderboard_metrics()] == ["acc"]
    assert [metric.name for metric in curve_metrics()] == ["acc", "loss"]
