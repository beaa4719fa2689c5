"""Groups of runs, and which of them are compared."""

from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.report.leaderboard.groups import Leaderboard, leaderboard
from cnn_experiments.runs.records import find
from tests.stored_runs import MakeRun


def board(tmp_path: Path) -> Leaderboard:
    runs, damaged = find([tmp_path / "runs"])
    assert damaged == []
    return leaderboard(runs)


def test_groups_share_all_but_the_seed_and_the_best_is_first(make: MakeRun, tmp_path: Path) -> None:
    for seed, (small, large) in enumerate(((0.80, 0.90), (0.82, 0.91), (0.87, 0.95))):
        make(f"a{seed}", "small", seed, val=small, test=small - 0.1)
        make(f"b{seed}", "large", seed, val=large, test=large - 0.1, parameters=100)
    made = board(tmp_path)
    (compared,) = made.boards
    assert (compared.title, compared.metric) == ("fashion_mnist at 28 pixels, holdout", "val/acc")
    large, small = compared.groups
    assert (large.label, small.label) == ("large", "small")
    assert small.val is not None
    assert small.val.values == (0.80, 0.82, 0.87)
    assert large.test is not None
    assert large.test.mean == pytest.approx(0.82)
    assert (small.seeds, small.parameters, small.seconds) == ([0, 1, 2], 61_706, {"cpu (AMD EPYC)": 81.0})
    assert small.images_per_second == {"cpu (AMD EPYC)": 1001.0}
    difference = compared.difference(small, large)
    assert difference is not None
    assert difference.values == pytest.approx((-0.10, -0.09, -0.08))
    assert made.statuses == {"completed": 6}


def test_what_is_chosen_by_validation_is_not_chosen_by_the_test(make: MakeRun, tmp_path: Path) -> None:
    make("a", "validates", 0, val=0.9, test=0.7)
    make("b", "tests", 0, val=0.8, test=0.99)
    assert board(tmp_path).boards[0].best.label == "validates"


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
def test_only_what_is_comparable_is_compared(make: MakeRun, tmp_path: Path, other: dict[str, Any]) -> None:
    make("a", "one", 0, val=0.9, test=0.9)
    make("b", "other", 0, val=0.8, test=0.8, **other)
    made = board(tmp_path)
    assert [[group.label for group in each.groups] for each in made.boards] in (
        [["one"], ["other"]],
        [["other"], ["one"]],
    )
    assert len({each.title for each in made.boards}) == 2


def test_without_validation_the_test_is_what_there_is(make: MakeRun, tmp_path: Path) -> None:
    make("a", "one", 0, val=None, test=0.8, protocol="book")
    make("b", "other", 0, val=None, test=0.9, protocol="book")
    (compared,) = board(tmp_path).boards
    assert (compared.metric, compared.best.label) == ("test/acc", "other")


def test_runs_that_are_not_complete_count_beside(make: MakeRun, tmp_path: Path) -> None:
    make("a0", "one", 0, val=0.8, test=0.8)
    make("a1", "one", 1, val=0.3, test=None, status="running")
    make("a2", "one", 2, val=None, test=None, status="failed", error="diverged", parameters=None)
    make("a2-2", "one", 2, val=0.9, test=0.9)  # failed once, and then did not
    make("b0", "other", 0, val=None, test=None, status="failed", error="MemoryError", protocol=None)
    made = board(tmp_path)
    (compared,) = made.boards
    (one,) = compared.groups
    assert one.val is not None
    assert one.val.values == (0.8, 0.9)
    assert {status: len(runs) for status, runs in one.others.items()} == {"running": 1}
    assert [group.label for group in made.without_result] == ["other"]
    assert made.statuses == {"completed": 2, "running": 1, "failed": 1}


def test_a_seed_counts_once_and_the_newest_does(make: MakeRun, tmp_path: Path) -> None:
    make("old", "one", 0, val=0.8, test=0.8, started="2026-11-20T10:00:00+00:00")
    make("new", "one", 0, val=0.9, test=0.9, started="2026-11-21T10:00:00+00:00")
    make("split", "one", 0, val=0.7, test=0.7, settings={"data.seed": 5})
    made = board(tmp_path)
    (one,) = made.boards[0].groups
    assert one.val is not None
    assert sorted(one.val.values) == [0.7, 0.9]
    assert [run.folder.name for run in made.repeated] == ["old"]


def test_another_network_of_the_same_settings_is_another_group(make: MakeRun, tmp_path: Path) -> None:
    make("before", "mine", 0, val=0.8, test=0.8, parameters=10)
    make("after", "mine", 1, val=0.9, test=0.9, parameters=20)
    groups = board(tmp_path).boards[0].groups
    assert [group.parameters for group in groups] == [20, 10]
    assert [group.label for group in groups] == ["mine of 20 parameters", "mine of 10 parameters"]


def test_speeds_are_not_averaged_over_what_is_for_speed_or_over_devices(make: MakeRun, tmp_path: Path) -> None:
    make("plain", "one", 0, val=0.8, test=0.8)
    make("gpu", "one", 1, val=0.8, test=0.8, device="cuda (NVIDIA H200)", seconds={"fit": 2.0, "test": 0.5})
    make("compiled", "one", 0, val=0.8, test=0.8, settings={"compile": True}, overrides=["model=one", "compile=true"])
    made = board(tmp_path)
    assert made.keys == ["compile"]
    plain, compiled = sorted(made.boards[0].groups, key=lambda group: str(group.varied))
    assert plain.seconds == {"cpu (AMD EPYC)": 81.0, "cuda (NVIDIA H200)": 2.5}
    assert compiled.seconds == {"cpu (AMD EPYC)": 81.0}
    assert made.devices == ["cpu (AMD EPYC)", "cuda (NVIDIA H200)"]


def test_a_whole_share_of_the_batches_is_no_limit(make: MakeRun, tmp_path: Path) -> None:
    make("a", "one", 0, val=0.9, test=0.9)
    make("b", "other", 0, val=0.8, test=0.8, settings={"trainer.limit_test_batches": 1.0})
    assert len(board(tmp_path).boards) == 1


def test_several_processes_are_no_seeds_of_one(make: MakeRun, tmp_path: Path) -> None:
    make("a", "one", 0, val=0.9, test=0.9)
    make("b", "one", 1, val=0.5, test=0.5, processes=8)
    made = board(tmp_path)
    assert [group.seeds for group in made.boards[0].groups] == [[0], [1]]
    assert [group.label for group in made.boards[0].groups] == ["one in 1 processes", "one in 8 processes"]
    assert made.devices == ["8 x cpu (AMD EPYC)", "cpu (AMD EPYC)"]


def test_a_run_that_died_early_is_with_its_group(make: MakeRun, tmp_path: Path) -> None:
    make("a", "one", 0, val=0.9, test=0.9, processes=8)
    make("b", "one", 1, val=None, test=None, status="failed", error="x", parameters=None, processes=None)
    (one,) = board(tmp_path).boards[0].groups
    assert {status: len(runs) for status, runs in one.others.items()} == {"failed": 1}
    assert one.label == "one"


def test_what_a_search_gave_up_is_told_so(make: MakeRun, tmp_path: Path) -> None:
    make("a", "one", 0, val=0.1, test=None, status="interrupted", error="pruned after epoch 2")
    make("b", "one", 1, val=0.1, test=None, status="interrupted", error="SIGTERM")
    assert board(tmp_path).statuses == {"pruned": 1, "interrupted": 1}


def test_odd_runs_do_no_harm(make: MakeRun, tmp_path: Path) -> None:
    make("a", "one", 0, val=0.9, test=0.9)
    make("b", "two", 0, val=float("nan"), test=0.95)
    make("c", "three", 0, val=0.8, test=0.8, settings=None, overrides=["data.seed=null"], options={})
    groups = [group.label for each in board(tmp_path).boards for group in each.groups]
    assert sorted(groups) == ["one", "three", "two"]


def test_runs_with_the_promised_keys_alone(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in (0, 1):
        for lr in ("0.1", "0.2"):
            overrides = ["model=lenet", f"optimizer.lr={lr}", f"seed={seed}"]
            make_run(f"{lr}-{seed}", None, seed, accuracy=float(lr), options=None, overrides=overrides)
    (compared,) = board(tmp_path).boards
    assert [(group.label, group.seeds) for group in compared.groups] == [("lr=0.2", [0, 1]), ("lr=0.1", [0, 1])]
