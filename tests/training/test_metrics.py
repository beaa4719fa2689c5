"""Tests of the metric collections of the splits."""

import math

import pytest
import torch
from torchmetrics import Metric

from cnn_experiments.runs import metrics as declarations
from cnn_experiments.runs.metrics import SPLITS, MetricSpec, Split
from cnn_experiments.training import metrics
from cnn_experiments.training.metrics import split_metrics

CLASS_NAMES = ["T-shirt/top", "Sandal", "Bag"]
LOGITS = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])
LABELS = torch.tensor([0, 1, 1, 0])


def compute(split: Split) -> dict[str, float]:
    """Return the metrics of two batches, of three images with a mean loss of 1 and of one image with a loss of 5."""
    collection = split_metrics(split, CLASS_NAMES)
    collection.update(loss=torch.tensor(1.0), preds=LOGITS[:3], target=LABELS[:3])
    collection.update(loss=torch.tensor(5.0), preds=LOGITS[3:], target=LABELS[3:])
    return {key: round(value.item(), 6) for key, value in collection.compute().items()}


def test_metrics_of_each_split() -> None:
    assert compute("train") == {"train/loss": 2.0, "train/acc": 0.25}
    assert compute("val") == {"val/loss": 2.0, "val/acc": 0.25, "val/f1": 0.166667}
    test_metrics = compute("test")
    assert math.isnan(test_metrics.pop("test/acc/Bag"))  # there is no image of a bag
    assert test_metrics == {
        "test/loss": 2.0,
        "test/acc": 0.25,
        "test/f1": 0.166667,
        "test/acc/T-shirt/top": 0.5,
        "test/acc/Sandal": 0.0,
    }


def test_one_declaration_adds_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    top2 = MetricSpec(
        name="top2",
        target="torchmetrics.classification.MulticlassAccuracy",
        arguments={"average": "micro", "top_k": 2},
        splits=SPLITS,
        higher_is_better=True,
        in_leaderboard=True,
        curve=True,
        label="top-2 accuracy",
    )
    for module in (declarations, metrics):
        monkeypatch.setattr(module, "METRICS", (*declarations.METRICS, top2))
    assert compute("val") == {"val/loss": 2.0, "val/acc": 0.25, "val/f1": 0.166667, "val/top2": 1.0}


def test_train_metrics_do_not_wait_for_the_device() -> None:
    # Tensors on `meta` have no values that could be read.
    collection = split_metrics("train", CLASS_NAMES).to("meta")
    collection.update(loss=torch.zeros((), device="meta"), preds=LOGITS.to("meta"), target=LABELS.to("meta"))
    assert all(value.device.type == "meta" for value in collection.compute().values())


def test_states_of_the_train_metrics() -> None:
    states = {
        name: sorted(metric.metric_state)
        for name, metric in split_metrics("train", CLASS_NAMES).items(keep_base=True)
        if isinstance(metric, Metric)
    }
    assert states == {"loss": ["images", "total"], "acc": ["fn", "fp", "tn", "tp"]}
