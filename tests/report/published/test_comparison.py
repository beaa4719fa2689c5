"""Tests of selecting the runs that are compared with published results, and of the verdicts."""

from pathlib import Path

import pytest

from cnn_experiments.report.published.comparison import PublishedComparison, RecipeResult, compare_with_published
from cnn_experiments.report.published.reference import load_recipes
from cnn_experiments.report.published.render import format_notes, format_row
from cnn_experiments.runs.records import find_runs
from tests.stored_runs import MakeRun


def compare(directory: Path) -> PublishedComparison:
    return compare_with_published(find_runs([directory])[0])


def only_result(directory: Path) -> RecipeResult:
    (result,) = compare(directory).results
    return result


def test_several_seeds_are_summarized(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.80, 0.79, 0.82, 0.81)):
        make_run(str(seed), "book/sgd/lenet", seed, accuracy, seconds={"fit": 80.0 + 10 * seed, "test": 1.0})
    result = only_result(tmp_path)
    assert result.accuracies == [0.80, 0.79, 0.82, 0.81]
    assert result.median == pytest.approx(0.805)
    assert result.std == pytest.approx(0.0129099, rel=1e-5)  # sqrt((.005^2 + .015^2 + .015^2 + .005^2) / 3)
    assert result.seconds_per_epoch == pytest.approx(9.5)
    assert (result.num_at_chance, result.train_accuracy, result.device) == (0, 0.9, "cpu (AMD EPYC)")
    assert format_row(result) == {
        "recipe": "book/sgd/lenet",
        "reported": ".806 [.774, .824] of 182, best .828",
        "ours": ".805 [.790, .820] of 4, sd .0129",
        "verdict": "inside",
        "at chance": "0/182, 0/4",
        "train acc": ".824, .900",
        "s/epoch reported": "0.7 (B)",
        "s/epoch ours": "9.5",
    }


def test_single_run_has_no_standard_deviation(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("one", "book/adam/resnet18", accuracy=0.9)
    result = only_result(tmp_path)
    assert result.std is None
    cells = format_row(result)
    assert cells["reported"] == ".903 (N2), band [.844, .912]"
    assert cells["ours"] == ".900, one seed"
    assert cells["verdict"] == "inside"


@pytest.mark.parametrize(
    ("recipe", "accuracies", "verdict"),
    [
        ("book/sgd/lenet", (0.774,), "inside"),
        ("book/sgd/lenet", (0.824,), "inside"),
        ("book/sgd/lenet", (0.7739,), "outside, below"),
        ("book/sgd/lenet", (0.8241,), "outside, above"),
        ("book/sgd/lenet", (0.70, 0.80, 0.81), "inside"),
        ("book/sgd/nin", (0.1, 0.84, 0.85), "inside"),
        ("book/sgd/nin", (0.1, 0.1, 0.85), "at chance"),
        ("best/lenet", (0.8281, 0.829, 0.83), "above, narrowly"),
        ("best/lenet", (0.88, 0.89, 0.90), "above"),
        ("best/lenet", (0.9,), "above, one seed"),
        ("best/lenet", (0.828, 0.9), "not above"),
    ],
)
def test_verdict_compares_the_accuracies_with_those_reported(
    make_run: MakeRun, tmp_path: Path, recipe: str, accuracies: tuple[float, ...], verdict: str
) -> None:
    for seed, accuracy in enumerate(accuracies):
        make_run(str(seed), recipe, seed, accuracy)
    assert only_result(tmp_path).verdict == verdict


def test_runs_at_chance_are_counted(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.1, 0.85, 0.1003, 0.11)):
        make_run(str(seed), "book/sgd/nin", seed, accuracy)
    result = only_result(tmp_path)
    assert result.num_at_chance == 2
    assert format_row(result)["at chance"] == "8/102, 2/4"


def test_run_with_overrides_that_do_not_change_the_result_is_compared(make_run: MakeRun, tmp_path: Path) -> None:
    overrides = ("trainer=cpu", "data.root=/images", "trainer.devices=1", "memory_format=channels_last")
    make_run("run", "book/sgd/lenet", changes=overrides)
    assert len(only_result(tmp_path).runs) == 1


def test_other_runs_are_excluded_with_the_reason(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("1", "book/sgd/lenet", seed=3)
    make_run("2", "book/sgd/lenet", seed=3, accuracy=0.5)
    make_run("3", "book/sgd/lenet", seed=4, changes=("trainer.max_epochs=1", "trainer=smoke"))
    make_run("4", "book/sgd/lenet", seed=5, status="failed", error="SIGKILL")
    make_run("5", "book/sgd/lenet", seed=6, status="running")
    make_run("55", "book/sgd/lenet", seed=7, processes=2)
    make_run("56", "book/sgd/lenet", seed=8, metrics={"test/acc": None, "train/acc": 0.9}, started=None)
    (make_run("57", "book/sgd/lenet", seed=9) / "metrics.csv").write_text("epoch,test/acc\n1,high\n")
    make_run("6", None)
    make_run("7", "mine/lenet")
    comparison = compare(tmp_path)
    assert [run.directory.name for result in comparison.results for run in result.runs] == ["1"]
    runs = tmp_path / "runs"
    assert comparison.excluded == sorted(
        [
            f"{runs / '2'}: superseded by {runs / '1'} with the same seed 3",
            f"{runs / '3'}: book/sgd/lenet with trainer.max_epochs=1 trainer=smoke",
            f"{runs / '4'}: book/sgd/lenet has status failed: SIGKILL",
            f"{runs / '55'}: book/sgd/lenet was trained by 2 processes, which multiplies the batch size",
            f"{runs / '56'}: book/sgd/lenet lacks metrics.test/acc, started in results.json",
            f"{runs / '57'}: book/sgd/lenet has a damaged metrics.csv: could not convert string to float: 'high'",
            f"{runs / '5'}: book/sgd/lenet has status running",
        ]
    )
    assert comparison.num_unmatched == 2


def test_failed_seeds_are_counted_unless_the_seed_completed(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("1", "book/sgd/googlenet", seed=0, accuracy=0.88)
    make_run("2", "book/sgd/googlenet", seed=1, accuracy=0.88)
    make_run("3", "book/sgd/googlenet", seed=2, status="failed", error="the loss is not finite", metrics={})
    make_run("4", "book/sgd/googlenet", seed=0, status="failed", error="SIGKILL", metrics={})  # completed as run 1
    make_run("5", "book/sgd/googlenet", seed=3, status="failed", changes=("optimizer.lr=9",))
    result = only_result(tmp_path)
    assert result.num_failed == 1
    assert format_row(result)["ours"] == ".880 [.880, .880] of 2, sd .0000, 1 failed"


def test_runs_from_before_a_change_of_their_recipe_are_excluded(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("1", "book/sgd/lenet", seed=0, parameters=44_426, started="2026-11-20T10:00:00+00:00")
    make_run("2", "book/sgd/lenet", seed=1, started="2026-11-21T10:00:00+00:00")
    make_run("3", "book/sgd/lenet", seed=0, started="2026-11-21T11:00:00+00:00", accuracy=0.7)
    make_run("4", "book/sgd/lenet", seed=0, started="2026-11-21T10:30:00+00:00")
    make_run("5", "book/sgd/lenet", seed=2, started="2026-11-21T10:30:00+00:00", configuration="old")
    comparison = compare(tmp_path)
    assert [run.directory.name for result in comparison.results for run in result.runs] == ["3", "2"]
    runs = tmp_path / "runs"
    assert comparison.excluded == sorted(
        [
            f"{runs / '5'}: older than {runs / '3'} and has configuration old instead of None",
            f"{runs / '1'}: older than {runs / '3'} and has parameters 44426 instead of 61706",
            f"{runs / '4'}: superseded by {runs / '3'} with the same seed 0",
        ]
    )


def test_devices_have_separate_results(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("1", "book/sgd/lenet")
    make_run("2", "book/sgd/lenet", device="cuda (NVIDIA H200)")
    make_run("3", "book/adam/lenet", device="cuda (NVIDIA H200)")
    comparison = compare(tmp_path)
    assert [(result.recipe.name, result.device) for result in comparison.results] == [
        ("book/adam/lenet", "cuda (NVIDIA H200)"),
        ("book/sgd/lenet", "cpu (AMD EPYC)"),
        ("book/sgd/lenet", "cuda (NVIDIA H200)"),
    ]
    assert len(comparison.not_measured) == len(load_recipes()) - 2


def test_resumed_run_has_no_seconds_per_epoch(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("1", "book/sgd/lenet", changes=("ckpt_path=outputs/before",))
    result = only_result(tmp_path)
    assert result.seconds_per_epoch is None
    assert format_row(result)["s/epoch ours"] == "-"


def test_notes_mark_unpublished_sources() -> None:
    assert format_notes([load_recipes()["book/adam/lenet"]]) == [
        "N2: another notebook of a course on these chapters of the book (unpublished: no public address)",
        "P: Dive-into-DL-PyTorch, a port of the book (https://github.com/ShusenTang/Dive-into-DL-PyTorch)",
    ]
