"""Tests of the declaration of the metrics."""

import pytest

from cnn_experiments.runs.metrics import (
    DEFAULT_MONITOR,
    METRICS,
    Monitor,
    curve_keys,
    curve_metrics,
    leaderboard_keys,
    metric_keys,
    metrics_of,
)


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
    assert list(leaderboard_keys()) == ["val/acc", "test/acc"]
    assert list(leaderboard_keys(monitors=[Monitor("val/loss", "min")])) == [
        "val/loss",
        "test/loss",
        "val/acc",
        "test/acc",
    ]
    assert [metric.name for metric in curve_metrics()] == ["acc", "loss"]


def test_metrics_of_configurations_follow_those_of_every_run() -> None:
    metrics = metrics_of([{"top5": {"higher_is_better": True}}, {"ece": {"higher_is_better": False}, "top5": {}}, {}])
    assert [(metric.name, metric.higher_is_better) for metric in metrics[len(METRICS) :]] == [
        ("top5", None),  # one run says more than the other
        ("ece", False),
    ]
    assert metric_keys(metrics)[2:8] == ["val/loss", "val/acc", "val/f1", "val/top5", "val/ece", "test/loss"]
    assert list(leaderboard_keys(metrics))[2:] == ["val/top5", "test/top5", "val/ece", "test/ece"]
    assert list(curve_keys(metrics)) == [
        "val/acc",
        "test/acc",
        "val/top5",
        "test/top5",
        "train/loss",
        "val/ece",
        "test/ece",
    ]


def test_names_that_no_run_can_have_are_ignored() -> None:
    info = {name: {"higher_is_better": True} for name in ("acc", "lr", "a/b", "a b", "\x1b[31m", "")}
    assert metrics_of([info]) == list(METRICS)


@pytest.mark.parametrize(
    ("content", "monitor"),
    [
        (None, DEFAULT_MONITOR),
        ({"metric": "val/loss", "mode": "min"}, Monitor("val/loss", "min")),
        ({"metric": "val/loss", "mode": "best"}, DEFAULT_MONITOR),
        ({"metric": "val/<b>", "mode": "min"}, DEFAULT_MONITOR),
        ({"mode": "min"}, DEFAULT_MONITOR),
    ],
)
def test_monitor_of_results(content: dict[str, str] | None, monitor: Monitor) -> None:
    assert Monitor.from_json(content) == monitor
    assert Monitor.from_json(monitor.to_json()) == monitor


def test_monitor_says_which_value_is_better() -> None:
    highest, lowest = DEFAULT_MONITOR, Monitor("val/loss", "min")
    assert (highest.is_better(2.0, 1.0), highest.is_better(1.0, 1.0), highest.is_better(1.0, highest.worst)) == (
        True,
        False,
        True,
    )
    assert (lowest.is_better(1.0, 2.0), lowest.is_better(1.0, 1.0), lowest.is_better(1.0, lowest.worst)) == (
        True,
        False,
        True,
    )
    assert not highest.is_better(float("nan"), highest.worst)
    assert not lowest.is_better(float("nan"), lowest.worst)
