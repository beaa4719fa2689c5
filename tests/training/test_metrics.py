"""Tests of the metrics of the splits, and of the monitor."""

import math
import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from cnn_experiments.config.sources import CONF, find_options
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs import metrics as declarations
from cnn_experiments.runs.metrics import Monitor, Split
from cnn_experiments.training import metrics
from cnn_experiments.training.build import build_data
from cnn_experiments.training.metrics import (
    OwnMetrics,
    build_metrics,
    build_monitor,
    check_metrics,
    metric_info,
    monitor_mode,
    split_metrics,
)
from tests.conftest import compose_settings

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
    arguments = {"average": "micro", "top_k": 2}
    top2 = replace(declarations.METRICS[1], name="top2", arguments=arguments)
    monkeypatch.setattr(metrics, "METRICS", (*declarations.METRICS, top2))
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


class Share(Metric):
    """The share of images of class 0, of which nobody says whether more are better."""

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        self.add_state("count", torch.tensor(offset), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        self.count = self.count + (labels == 0).float().mean()

    def compute(self) -> Tensor:
        return self.count


TORCHMETRICS = "torchmetrics.classification."
OWN = f"++metrics.share._target_={__name__}.Share"


def check(*overrides: str) -> None:
    settings = compose_settings("data=digits", *overrides)
    check_metrics(settings, build_data(settings))


def test_number_of_classes_is_that_of_the_data_and_batches_are_not_validated() -> None:
    settings = compose_settings("data=digits", "metrics=[top5,auroc]")
    top5, own_auroc = build_metrics(settings).values()
    assert isinstance(top5, MulticlassAccuracy)
    assert (top5.num_classes, top5.top_k, top5.average, top5.validate_args) == (10, 5, "micro", False)
    assert (own_auroc.num_classes, own_auroc.validate_args) == (10, False)
    settings["metrics"]["top5"] |= {"num_classes": 12, "validate_args": True}
    (top5, _) = build_metrics(settings).values()
    assert (top5.num_classes, top5.validate_args) == (12, True)


@pytest.mark.parametrize("option", find_options("metrics", [CONF]))
def test_every_option_is_accepted_and_says_which_values_are_better(option: str) -> None:
    check(f"metrics={option}")
    info = metric_info(build_metrics(compose_settings("data=digits", f"metrics={option}")))
    assert info == ({} if option == "none" else {option: {"higher_is_better": option != "calibration"}})


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([f"++metrics.x._target_={TORCHMETRICS}Nope"], f"metrics.x._target_={TORCHMETRICS}Nope: could not be found: torchmetrics.classification has no Nope"),
        (["++metrics.x._target_=torch.nn.Linear"], "metrics.x._target_=torch.nn.Linear: must be a subclass of torchmetrics.metric.Metric, or a function that makes one"),
        (["metrics=top5", "metrics.top5.top_k=11"], "metrics.top5: Expected argument `top_k` to be smaller or equal to `num_classes` but got 11 and 10"),
        (["metrics=calibration", "metrics.calibration.norm=l3"], "metrics.calibration: Expected argument `norm` to be one of ('l1', 'l2', 'max'), but got l3."),
        ([f"++metrics.m._target_={TORCHMETRICS}MulticlassConfusionMatrix"], "metrics.m: must compute one number; it computes a tensor of shape (10, 10)"),
        ([f"++metrics.m._target_={TORCHMETRICS}MulticlassROC"], "metrics.m: must compute one number; it computes a tuple"),
        ([f"++metrics.m._target_={TORCHMETRICS}BinaryAccuracy"], "metrics.m: RuntimeError: Predictions and targets are expected to have the same shape, but got torch.Size([20, 10]) and torch.Size([20]). (for logits (20, 10) and labels (20,))"),
        ([f"++metrics.lr._target_={TORCHMETRICS}MulticlassAccuracy"], "metrics.lr: must have another name; every run has loss, acc, f1, lr, epoch, step"),
        ([f"++metrics.a-b._target_={TORCHMETRICS}MulticlassAccuracy"], "metrics.a-b: must have a name of at most 80 letters, digits and underscores"),
        (["monitor=val/los"], "monitor=val/los: must be a metric of the images held out, those of the group metrics included: val/loss, val/acc, val/f1; did you mean val/loss?"),
        (["monitor=top5", "metrics=top5"], "monitor=top5: must be a metric of the images held out, those of the group metrics included: val/loss, val/acc, val/f1, val/top5; did you mean val/top5?"),
        (["monitor=test/acc"], "monitor=test/acc: must be a metric of the images held out, those of the group metrics included: val/loss, val/acc, val/f1; the test set measures the epoch that is chosen, and can't choose it; did you mean val/acc?"),
        (["monitor=train/acc"], "monitor=train/acc: must be a metric of the images held out, those of the group metrics included: val/loss, val/acc, val/f1; train/acc also improves where a network only learns its training images by heart; did you mean val/acc?"),
        (["monitor=val/loss", "monitor_mode=max"], "monitor_mode=max: must be min or null: lower values of val/loss are better"),
        ([OWN, "monitor=val/share"], "monitor_mode=null: must be max or min: val/share does not say which is better"),
        (["data.val_size=0", "monitor=val/loss"], "monitor=val/loss: must be left out without images held out (data.val_size=0), where the last epoch is tested"),
        (["data.val_size=0", "monitor_mode=max"], "monitor_mode=max: must be left out without images held out (data.val_size=0), where the last epoch is tested"),
    ],
)  # fmt: skip
def test_metrics_and_monitors_that_cannot_work_are_rejected_in_one_line(overrides: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        check(*overrides)
    assert str(error.value) == line


@pytest.mark.parametrize(
    ("overrides", "monitor"),
    [
        ([], Monitor("val/acc", "max")),
        (["monitor=val/loss"], Monitor("val/loss", "min")),
        (["monitor=val/loss", "monitor_mode=min"], Monitor("val/loss", "min")),
        (["monitor=val/calibration", "metrics=calibration"], Monitor("val/calibration", "min")),
        (["monitor=val/share", "monitor_mode=min", OWN], Monitor("val/share", "min")),
    ],
)
def test_direction_of_the_monitor(overrides: list[str], monitor: Monitor) -> None:
    check(*overrides)
    settings = compose_settings("data=digits", *overrides)
    own = build_metrics(settings)
    assert build_monitor(settings, own) == monitor
    assert monitor_mode(settings) == monitor.mode
    if "share" in own:
        assert metric_info(own) == {"share": {"higher_is_better": None}}
        assert metric_info(own, monitor) == {"share": {"higher_is_better": False}}


class MetricWithoutInit(Metric):
    def __init__(self) -> None:
        """Do not call the `__init__` of torchmetrics."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count nothing."""

    def compute(self) -> Tensor:
        return torch.tensor(0.0)


class SortingMetric(Share):
    def update(self, preds: Tensor, target: Tensor) -> None:
        preds.copy_(preds.sort(dim=1).values)
        super().update(preds, target)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("MetricWithoutInit", r"metrics\.own: AttributeError: 'MetricWithoutInit' object has no attribute '\w+' .*"),
        (
            "SortingMetric",
            r"metrics\.own: must not change the logits and labels that it gets: others get them, too",
        ),
    ],
)
def test_metric_that_would_end_or_spoil_a_run_is_rejected_in_one_line(name: str, line: str) -> None:
    settings = compose_settings("data=digits", f"+metrics.own._target_={__name__}.{name}")
    with pytest.raises(ConfigError) as error:
        check_metrics(settings, build_data(settings))
    assert re.fullmatch(line, str(error.value))


class LearnedMetric(Share):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(10, 1)


def test_parameters_of_a_metric_are_not_trained() -> None:
    metrics = OwnMetrics("val", {"learned": LearnedMetric()})
    assert [parameter.requires_grad for parameter in metrics.parameters()] == [False, False]
