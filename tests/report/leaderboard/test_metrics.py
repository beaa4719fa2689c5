"""Tests that a metric added to METRICS appears in the whole leaderboard."""

import csv
import io
import re
from dataclasses import replace

import pytest

from cnn_experiments.report.leaderboard.columns import build_columns
from cnn_experiments.report.leaderboard.export import as_csv
from cnn_experiments.report.leaderboard.html import render_page
from cnn_experiments.runs import metrics
from cnn_experiments.runs.metrics import METRICS, MetricSpec
from tests.report.leaderboard.conftest import ReadLeaderboard
from tests.stored_runs import MakeRun

TOP5 = MetricSpec(
    name="top5",
    target="torchmetrics.classification.MulticlassAccuracy",
    arguments={"average": "micro", "top_k": 5},
    splits=("val", "test"),
    higher_is_better=True,
    in_leaderboard=True,
    curve=True,
    label="top-5",
)


@pytest.fixture(autouse=True)
def runs_with_more_metrics(make_holdout_run: MakeRun) -> None:
    curves = {"epoch": [1, 2], "train/loss": [2.0, 1.0], "val/acc": [0.4, 0.8], "val/top5": [0.8, 0.9]}
    values = {"val/acc": 0.8, "test/acc": 0.75, "val/top5": 0.9, "test/top5": 0.875, "val/f1": 0.7, "val/loss": 1.5}
    for model in ("a", "b"):
        make_holdout_run(model, model, 0, None, None, metrics=values, curves=curves)


def captions(page: str) -> list[str]:
    return re.findall(r"<figcaption>(.*?)(?:, mean over the seeds.*)?</figcaption>", page)


def test_accuracy_is_the_only_metric_of_a_leaderboard(read_leaderboard: ReadLeaderboard) -> None:
    leaderboard = read_leaderboard()
    names = [column.name for column in build_columns(leaderboard)]
    assert names[:5] == ["rank", "model", "val/acc", "test/acc", "difference"]
    assert not {"val/top5", "val/f1", "val/loss"} & set(names)
    assert captions(render_page(leaderboard, [], "runs")) == ["val/acc by epoch", "train/loss by epoch"]


def test_added_metric_has_columns_statistics_and_curves(
    read_leaderboard: ReadLeaderboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "METRICS", (*METRICS, TOP5))
    leaderboard = read_leaderboard()
    (board,) = leaderboard.boards
    assert board.metric == "val/acc"
    cells = {column.name: column.cell(board, board.best).text for column in build_columns(leaderboard)}
    assert list(cells)[2:7] == ["val/acc", "test/acc", "val/top5", "test/top5", "difference"]
    assert (cells["val/top5"], cells["test/top5"]) == ("0.9000", "0.8750")
    row = next(csv.DictReader(io.StringIO(as_csv(leaderboard))))
    assert (row["val/top5 n"], row["val/top5 mean"], row["test/top5 mean"]) == ("1", "0.9", "0.875")
    assert captions(render_page(leaderboard, [], "runs")) == [
        "val/acc by epoch",
        "val/top5 by epoch",
        "train/loss by epoch",
    ]


def test_metric_that_is_better_when_lower_is_sorted_ascending(
    read_leaderboard: ReadLeaderboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = replace(TOP5, name="loss", splits=("val",), higher_is_better=False, curve=False)
    monkeypatch.setattr(metrics, "METRICS", (*METRICS, error))
    descending = {column.name: column.descending for column in build_columns(read_leaderboard())}
    assert (descending["val/acc"], descending["val/loss"]) == (True, False)
    assert "test/loss" not in descending
