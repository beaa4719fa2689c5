"""Tests that the metrics of configurations, and monitors, appear in the whole leaderboard."""

import csv
import io
import re
from collections.abc import Mapping

import pytest

from cnn_experiments.report.leaderboard.columns import build_columns, headline, legend
from cnn_experiments.report.leaderboard.export import as_csv, as_markdown
from cnn_experiments.report.leaderboard.groups import Leaderboard
from cnn_experiments.report.leaderboard.html import render_page
from cnn_experiments.runs.metrics import Monitor
from tests.report.leaderboard.conftest import ReadLeaderboard
from tests.stored_runs import MakeRun

LOSS = {"metric": "val/loss", "mode": "min"}
ACC = {"metric": "val/acc", "mode": "max"}


def make_runs(make_holdout_run: MakeRun, monitors: Mapping[str, dict[str, str]]) -> None:
    """Write two runs of each of two models: `sure` is more accurate, `calibrated` has the lower loss."""
    metrics = {
        "sure": {"val/acc": 0.9, "test/acc": 0.88, "val/loss": 0.75, "test/loss": 0.8},
        "calibrated": {"val/acc": 0.85, "test/acc": 0.84, "val/loss": 0.5, "test/loss": 0.55},
    }
    for model, monitor in monitors.items():
        for seed in (0, 1, 2):
            values = {key: value + seed * 0.001 for key, value in metrics[model].items()}
            values["test/loss"] += seed**2 * (0.001 if model == "sure" else 0)
            curves = {"epoch": [1, 2], "val/loss": [2.0, 1.0], "val/acc": [0.4, 0.8], "train/loss": [2.0, 0.5]}
            make_holdout_run(
                f"{model}{seed}",
                model,
                seed,
                None,
                None,
                metrics=values,
                monitor=monitor,
                curves=curves,
                parameters=10_000 if model == "sure" else 20_000,
            )


def captions(page: str) -> list[str]:
    return re.findall(r"<figcaption>(.*?)(?:, mean over the seeds.*)?</figcaption>", page)


def names(leaderboard: Leaderboard) -> list[str]:
    return [column.name for column in build_columns(leaderboard)]


def test_accuracy_is_the_only_metric_by_default(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_runs(make_holdout_run, {"sure": ACC, "calibrated": ACC})
    leaderboard = read_leaderboard()
    (board,) = leaderboard.boards
    assert (board.ranking, board.best.label) == (Monitor("val/acc", "max"), "sure")
    assert names(leaderboard)[:5] == ["rank", "model", "val/acc", "test/acc", "difference"]
    assert captions(render_page(leaderboard, [], "runs"))[:2] == ["val/acc by epoch", "train/loss by epoch"]


def test_metric_of_some_runs_has_columns_statistics_and_curves(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    curves = {"epoch": [1, 2], "train/loss": [2.0, 1.0], "val/acc": [0.4, 0.8], "val/top5": [0.8, 0.9]}
    values = {"val/acc": 0.8, "test/acc": 0.75, "val/top5": 0.9, "test/top5": 0.875, "val/f1": 0.7, "val/loss": 1.5}
    info = {"top5": {"higher_is_better": True}, "error": {"higher_is_better": False}, "absent": {}}
    make_holdout_run(
        "a",
        "a",
        0,
        None,
        None,
        metrics=values | {"val/error": 0.2, "test/error": 0.25},
        curves=curves,
        metric_info=info,
    )
    make_holdout_run("b", "b", 0, 0.7, 0.6)
    leaderboard = read_leaderboard()
    (board,) = leaderboard.boards
    assert board.metric == "val/acc"
    columns = build_columns(leaderboard)
    cells = {column.name: column.cell(board, board.best).text for column in columns}
    own = ["val/top5", "test/top5", "val/error", "test/error"]
    assert list(cells)[2:9] == ["val/acc", "test/acc", *own, "difference"]
    assert (cells["val/top5"], cells["test/top5"]) == ("0.9000", "0.8750")
    assert [column.descending for column in columns if column.name in own] == [True, True, False, False]
    assert [column.cell(board, board.groups[1]).text for column in columns if column.name in own] == [""] * 4
    first, second = csv.DictReader(io.StringIO(as_csv(leaderboard)))
    assert (first["val/top5 n"], first["val/top5 mean"], first["test/top5 mean"]) == ("1", "0.9", "0.875")
    assert (second["val/top5 n"], second["val/top5 mean"]) == ("0", "")
    assert captions(render_page(leaderboard, [], "runs"))[:3] == [
        "val/acc by epoch",
        "val/top5 by epoch",
        "train/loss by epoch",
    ]


def test_shared_monitor_ranks_and_a_lower_loss_is_better(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_runs(make_holdout_run, {"sure": LOSS, "calibrated": LOSS})
    make_holdout_run("running", "running", 0, None, None, status="running", metrics={"val/loss": 0.125}, monitor=LOSS)
    leaderboard = read_leaderboard()
    (board,) = leaderboard.boards
    assert [group.label for group in board.groups] == ["calibrated", "sure"]
    assert names(leaderboard)[2:7] == ["val/loss", "test/loss", "val/acc", "test/acc", "difference"]
    difference = next(column for column in build_columns(leaderboard) if column.name == "difference")
    cell = difference.cell(board, board.groups[1])
    assert (cell.text, cell.detail, cell.verdict) == ("+0.2517 worse", "[0.2465, 0.2568]", "worse")
    assert not difference.descending
    assert headline(board) == (
        "best by val/loss: calibrated, ahead of sure; "
        "on the test set it is better by -0.2517 [-0.2568, -0.2465] over 3 shared seeds"
    )
    assert legend(leaderboard)[1].startswith("difference: test loss minus that of the best")
    assert not any("monitors differ" in line for line in legend(leaderboard))
    best, other, _ = csv.DictReader(io.StringIO(as_csv(leaderboard)))
    assert (best["ranked by"], best["model"], best["difference in test/loss n"]) == ("val/loss", "calibrated", "0")
    assert (other["difference in test/loss n"], other["difference in test/loss mean"]) == ("3", "0.2516667")
    assert "by val/loss" in as_markdown(leaderboard, [], "runs")
    assert captions(render_page(leaderboard, [], "runs")) == [
        "val/loss by epoch",
        "val/acc by epoch",
        "train/loss by epoch",
        "Loss vs. parameters: the line is the Pareto front; axis truncated; numbers are ranks, ▴ above the axis",
    ]


def test_accuracy_ranks_runs_with_different_monitors(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_runs(make_holdout_run, {"sure": ACC, "calibrated": LOSS})
    leaderboard = read_leaderboard()
    (board,) = leaderboard.boards
    assert (board.metric, [group.label for group in board.groups]) == ("val/acc", ["sure", "calibrated"])
    assert names(leaderboard)[2:5] == ["val/acc", "test/acc", "difference"]
    assert any(
        line.startswith("runs of a table are ranked by accuracy if their monitors differ")
        for line in legend(leaderboard)
    )


def test_each_board_is_ranked_by_its_own_monitor(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_runs(make_holdout_run, {"sure": LOSS, "calibrated": LOSS})
    make_holdout_run("large", "sure", 0, 0.5, 0.4, image_size=96)
    leaderboard = read_leaderboard()
    assert [board.metric for board in leaderboard.boards] == ["val/loss", "val/acc"]
    assert legend(leaderboard)[1].startswith("difference: test loss or test accuracy minus that of the best")
    header = next(csv.reader(io.StringIO(as_csv(leaderboard))))
    assert {"difference in test/loss n", "difference in test/acc n"} <= set(header)


@pytest.mark.parametrize("monitor", [{"metric": "val/missing", "mode": "min"}, {"metric": "test/acc"}, {}])
def test_runs_without_values_of_their_monitor_are_ranked_by_accuracy(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard, monitor: dict[str, str]
) -> None:
    make_runs(make_holdout_run, {"sure": monitor, "calibrated": monitor})
    (board,) = read_leaderboard().boards
    assert (board.metric, board.best.label) == ("val/acc", "sure")


@pytest.mark.parametrize(
    ("key", "metric"),
    [("loss.gamma", "val/acc"), ("loss.label_smoothing", "val/loss"), ("optimizer.lr", "val/loss")],
)
def test_losses_that_are_not_measured_alike_do_not_rank(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard, key: str, metric: str
) -> None:
    for model, value in (("a", 0.5), ("b", 0.25)):
        metrics = {"val/acc": value, "test/acc": value, "val/loss": value, "test/loss": value}
        make_holdout_run(model, model, 0, None, None, metrics=metrics, monitor=LOSS, settings={key: value})
    leaderboard = read_leaderboard()
    (board,) = leaderboard.boards
    assert (board.metric, board.best.any_run.results.model) == (metric, "a" if metric == "val/acc" else "b")
    assert leaderboard.has_several_monitors == (metric == "val/acc")
