"""Tests of grouping runs and of comparing groups."""

from typing import Any

import pytest

from tests.report.leaderboard.conftest import ReadLeaderboard
from tests.stored_runs import MakeRun


def test_runs_that_differ_by_seed_form_a_group_and_the_best_is_first(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    for seed, (small_val, large_val) in enumerate(((0.80, 0.90), (0.82, 0.91), (0.87, 0.95))):
        make_holdout_run(f"a{seed}", "small", seed, val=small_val, test=small_val - 0.1)
        make_holdout_run(f"b{seed}", "large", seed, val=large_val, test=large_val - 0.1, parameters=100)
    leaderboard = read_leaderboard()
    (board,) = leaderboard.boards
    assert (board.title, board.metric) == ("fashion_mnist at 28 pixels, holdout", "val/acc")
    large, small = board.groups
    assert (large.label, small.label) == ("large", "small")
    val, test = small.sample("val/acc"), large.sample("test/acc")
    assert val is not None
    assert val.values == (0.80, 0.82, 0.87)
    assert test is not None
    assert test.mean == pytest.approx(0.82)
    assert (small.seeds, small.parameters, small.seconds) == ([0, 1, 2], 61_706, {"cpu (AMD EPYC)": 81.0})
    assert small.images_per_second == {"cpu (AMD EPYC)": 1001.0}
    difference = board.test_difference(small, large)
    assert difference is not None
    assert difference.values == pytest.approx((-0.10, -0.09, -0.08))
    assert leaderboard.status_counts == {"completed": 6}


def test_validation_accuracy_ranks_before_test_accuracy(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_holdout_run("a", "validates", 0, val=0.9, test=0.7)
    make_holdout_run("b", "tests", 0, val=0.8, test=0.99)
    assert read_leaderboard().boards[0].best.label == "validates"


@pytest.mark.parametrize(
    "other",
    [
        {"data": "digits"},
        {"protocol": "last_epoch"},
        {"image_size": 96},
        {"settings": {"trainer.limit_test_batches": 2, "data.batch_size": 64}},
        {"settings": {"trainer.limit_test_batches": 1, "data.batch_size": 64}},
        {"settings": {"data.val_size": 10}},
    ],
    ids=str,
)
def test_groups_evaluated_on_other_images_are_on_another_board(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard, other: dict[str, Any]
) -> None:
    make_holdout_run("a", "one", 0, val=0.9, test=0.9)
    make_holdout_run("b", "other", 0, val=0.8, test=0.8, **other)
    boards = read_leaderboard().boards
    assert [[group.label for group in board.groups] for board in boards] in (
        [["one"], ["other"]],
        [["other"], ["one"]],
    )
    assert len({board.title for board in boards}) == 2


def test_test_accuracy_ranks_without_a_validation_split(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_holdout_run("a", "one", 0, val=None, test=0.8, protocol="book")
    make_holdout_run("b", "other", 0, val=None, test=0.9, protocol="book")
    (board,) = read_leaderboard().boards
    assert (board.metric, board.best.label) == ("test/acc", "other")


def test_unfinished_runs_are_counted_but_not_averaged(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_holdout_run("a0", "one", 0, val=0.8, test=0.8)
    make_holdout_run("a1", "one", 1, val=0.3, test=None, status="running")
    make_holdout_run("a2", "one", 2, val=None, test=None, status="failed", error="diverged", parameters=None)
    make_holdout_run("a2-2", "one", 2, val=0.9, test=0.9)  # the seed failed at first
    make_holdout_run("b0", "other", 0, val=None, test=None, status="failed", error="MemoryError", protocol=None)
    leaderboard = read_leaderboard()
    (board,) = leaderboard.boards
    (group,) = board.groups
    val = group.sample("val/acc")
    assert val is not None
    assert val.values == (0.8, 0.9)
    assert {status: len(runs) for status, runs in group.not_completed.items()} == {"running": 1}
    assert [group.label for group in leaderboard.unranked] == ["other"]
    assert leaderboard.status_counts == {"completed": 2, "running": 1, "failed": 1}


def test_newer_run_supersedes_older_run_with_the_same_seed(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_holdout_run("old", "one", 0, val=0.8, test=0.8, started="2026-11-20T10:00:00+00:00")
    make_holdout_run("new", "one", 0, val=0.9, test=0.9, started="2026-11-21T10:00:00+00:00")
    make_holdout_run("split", "one", 0, val=0.7, test=0.7, settings={"data.seed": 5})
    leaderboard = read_leaderboard()
    (group,) = leaderboard.boards[0].groups
    val = group.sample("val/acc")
    assert val is not None
    assert sorted(val.values) == [0.7, 0.9]
    assert [run.directory.name for run in leaderboard.superseded] == ["old"]


def test_networks_that_differ_in_code_alone_are_not_grouped(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_holdout_run("before", "mine", 0, val=0.8, test=0.8, parameters=10)
    make_holdout_run("after", "mine", 1, val=0.9, test=0.9, parameters=20)
    groups = read_leaderboard().boards[0].groups
    assert [group.parameters for group in groups] == [20, 10]
    assert [group.label for group in groups] == ["mine (20 parameters)", "mine (10 parameters)"]


def test_speeds_are_not_averaged_over_performance_settings_or_devices(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_holdout_run("plain", "one", 0, val=0.8, test=0.8)
    gpu_seconds = {"fit": 2.0, "test": 0.5}
    make_holdout_run("gpu", "one", 1, val=0.8, test=0.8, device="cuda (NVIDIA H200)", seconds=gpu_seconds)
    compiled_settings = {"settings": {"compile": True}, "overrides": ["model=one", "compile=true"]}
    make_holdout_run("compiled", "one", 0, val=0.8, test=0.8, **compiled_settings)
    leaderboard = read_leaderboard()
    assert leaderboard.keys == ["compile"]
    plain, compiled = sorted(leaderboard.boards[0].groups, key=lambda group: str(group.varying))
    assert plain.seconds == {"cpu (AMD EPYC)": 81.0, "cuda (NVIDIA H200)": 2.5}
    assert compiled.seconds == {"cpu (AMD EPYC)": 81.0}
    assert leaderboard.devices == ["cpu (AMD EPYC)", "cuda (NVIDIA H200)"]


def test_limit_of_all_batches_is_no_limit(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_holdout_run("a", "one", 0, val=0.9, test=0.9)
    make_holdout_run("b", "other", 0, val=0.8, test=0.8, settings={"trainer.limit_test_batches": 1.0})
    assert len(read_leaderboard().boards) == 1


@pytest.mark.parametrize(
    "of_earlier_version",
    [
        {"settings": None, "configuration": None},
        {"settings": None, "configuration": None, "overrides": ["model=one", "trainer.devices=auto"]},
    ],
    ids=["no configuration", "auto is an override"],
)
def test_runs_with_different_world_size_are_not_grouped(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard, of_earlier_version: dict[str, Any]
) -> None:
    make_holdout_run("a", "one", 0, val=0.9, test=0.9, **of_earlier_version)
    make_holdout_run("b", "one", 1, val=0.5, test=0.5, processes=8, **of_earlier_version)
    leaderboard = read_leaderboard()
    assert [group.seeds for group in leaderboard.boards[0].groups] == [[0], [1]]
    assert leaderboard.devices == ["8 x cpu (AMD EPYC)", "cpu (AMD EPYC)"]


def test_run_that_failed_before_recording_parameters_is_in_its_group(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_holdout_run("a", "one", 0, val=0.9, test=0.9, processes=8)
    make_holdout_run("b", "one", 1, val=None, test=None, status="failed", error="x", parameters=None, processes=None)
    (group,) = read_leaderboard().boards[0].groups
    assert {status: len(runs) for status, runs in group.not_completed.items()} == {"failed": 1}
    assert group.label == "one"


def test_run_stopped_by_a_search_is_pruned(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_holdout_run("a", "one", 0, val=0.1, test=None, status="interrupted", pruned_after_epoch=2)
    make_holdout_run("b", "one", 1, val=0.1, test=None, status="interrupted", signal="SIGTERM")
    assert read_leaderboard().status_counts == {"pruned": 1, "interrupted": 1}


def test_nan_metric_and_missing_settings_are_accepted(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_holdout_run("a", "one", 0, val=0.9, test=0.9)
    make_holdout_run("b", "two", 0, val=float("nan"), test=0.95)
    make_holdout_run("c", "three", 0, val=0.8, test=0.8, settings=None, overrides=["data.seed=null"], options={})
    labels = [group.label for board in read_leaderboard().boards for group in board.groups]
    assert sorted(labels) == ["one", "three", "two"]


def test_what_differs_within_a_group_alone_is_not_shown(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    for seed, logger in enumerate(("tensorboard", "csv")):
        make_holdout_run(logger, "lenet", seed, 0.9, 0.9, configuration="same", options={"logger": logger})
    leaderboard = read_leaderboard()
    assert leaderboard.keys == []
    assert [(group.label, group.seeds) for group in leaderboard.boards[0].groups] == [("lenet", [0, 1])]


def test_runs_without_configuration_are_grouped_by_overrides(
    make_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    for seed in (0, 1):
        for lr in ("0.1", "0.2"):
            overrides = ["model=lenet", f"optimizer.lr={lr}", f"seed={seed}"]
            make_run(f"{lr}-{seed}", None, seed, accuracy=float(lr), options=None, overrides=overrides)
    (board,) = read_leaderboard().boards
    assert [(group.label, group.seeds) for group in board.groups] == [("lr=0.2", [0, 1]), ("lr=0.1", [0, 1])]
