"""Which runs count, and what is said of them."""

from pathlib import Path

import pytest

from cnn_experiments.report.published.comparison import Ledger, Row, ledger
from cnn_experiments.report.published.reference import recipes
from cnn_experiments.report.published.render import cells
from cnn_experiments.runs.records import find
from tests.stored_runs import MakeRun


def made(folder: Path) -> Ledger:
    return ledger(find([folder])[0])


def only_row(folder: Path) -> Row:
    (row,) = made(folder).rows
    return row


def test_figures_of_a_row(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.80, 0.79, 0.82, 0.81)):
        make_run(str(seed), "book/sgd/lenet", seed, accuracy, seconds={"fit": 80.0 + 10 * seed, "test": 1.0})
    row = only_row(tmp_path)
    assert row.accuracies == [0.80, 0.79, 0.82, 0.81]
    assert row.median == pytest.approx(0.805)
    assert row.deviation == pytest.approx(0.0129099, rel=1e-5)  # sqrt((.005^2 + .015^2 + .015^2 + .005^2) / 3)
    assert row.seconds == pytest.approx(9.5)
    assert (row.chance, row.train_accuracy, row.device) == (0, 0.9, "cpu (AMD EPYC)")
    assert cells(row) == [
        "book/sgd/lenet",
        ".806 [.774, .824] of 182, best .828",
        ".805 [.790, .820] of 4, sd .0129",
        "inside",
        "0/182, 0/4",
        ".824, .900",
        "0.7 (B)",
        "9.5",
    ]


def test_a_single_run_has_no_spread(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("one", "book/adam/resnet18", accuracy=0.9)
    row = only_row(tmp_path)
    assert row.deviation is None
    assert cells(row)[1:4] == [".903 (N2), band [.844, .912]", ".900, one seed", "inside"]


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
def test_verdicts(make_run: MakeRun, tmp_path: Path, recipe: str, accuracies: tuple[float, ...], verdict: str) -> None:
    for seed, accuracy in enumerate(accuracies):
        make_run(str(seed), recipe, seed, accuracy)
    assert only_row(tmp_path).verdict == verdict


def test_runs_at_chance_are_counted(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.1, 0.85, 0.1003, 0.11)):
        make_run(str(seed), "book/sgd/nin", seed, accuracy)
    row = only_row(tmp_path)
    assert row.chance == 2
    assert cells(row)[4] == "8/102, 2/4"


def test_what_does_not_change_the_result_may_be_set(make_run: MakeRun, tmp_path: Path) -> None:
    unchanged = ("trainer=cpu", "data.root=/images", "trainer.devices=1", "memory_format=channels_last")
    make_run("run", "book/sgd/lenet", changes=unchanged)
    assert len(only_row(tmp_path).runs) == 1


def test_other_runs_are_left_out_with_the_reason(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("1", "book/sgd/lenet", seed=3)
    make_run("2", "book/sgd/lenet", seed=3, accuracy=0.5)
    make_run("3", "book/sgd/lenet", seed=4, changes=("trainer.max_epochs=1", "trainer=smoke"))
    make_run("4", "book/sgd/lenet", seed=5, status="failed", error="SIGKILL")
    make_run("5", "book/sgd/lenet", seed=6, status="running")
    make_run("55", "book/sgd/lenet", seed=7, processes=2)
    make_run("56", "book/sgd/lenet", seed=8, metrics={"test/acc": None, "train/acc": 0.9}, started=None)
    (make_run("57", "book/sgd/lenet", seed=9) / "metrics.csv").write_text("epoch,test/acc\n1,high\n")
    make_run("58", ["book"])
    make_run("6", None)
    make_run("7", "mine/lenet")
    ledger = made(tmp_path)
    assert [run.folder.name for row in ledger.rows for run in row.runs] == ["1"]
    runs = tmp_path / "runs"
    assert (
        sorted(ledger.left_out)
        == ledger.left_out
        == sorted(
            [
                f"{runs / '2'}: seed 3 again, as in {runs / '1'}",
                f"{runs / '3'}: not book/sgd/lenet, it has trainer.max_epochs=1 trainer=smoke",
                f"{runs / '4'}: book/sgd/lenet failed: SIGKILL",
                f"{runs / '55'}: not book/sgd/lenet, 2 processes had a batch each",
                f"{runs / '56'}: book/sgd/lenet, without metrics test/acc",
                f"{runs / '57'}: book/sgd/lenet, metrics.csv is damaged: could not convert string to float: 'high'",
                f"{runs / '5'}: book/sgd/lenet running: not at its end",
            ]
        )
    )
    assert ledger.of_no_recipe == 3


def test_seeds_that_failed_are_told_in_the_row(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("1", "book/sgd/googlenet", seed=0, accuracy=0.88)
    make_run("2", "book/sgd/googlenet", seed=1, accuracy=0.88)
    make_run("3", "book/sgd/googlenet", seed=2, status="failed", error="the loss is not finite", metrics={})
    make_run("4", "book/sgd/googlenet", seed=0, status="failed", error="SIGKILL", metrics={})  # ended in run 1
    make_run("5", "book/sgd/googlenet", seed=3, status="failed", changes=("optimizer.lr=9",))
    row = only_row(tmp_path)
    assert row.failed == 1
    assert cells(row)[2] == ".880 [.880, .880] of 2, sd .0000, 1 failed"


def test_runs_from_before_a_recipe_was_changed_are_left_out(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("1", "book/sgd/lenet", seed=0, parameters=44_426, started="2026-11-20T10:00:00+00:00")
    make_run("2", "book/sgd/lenet", seed=1, started="2026-11-21T10:00:00+00:00")
    make_run("3", "book/sgd/lenet", seed=0, started="2026-11-21T11:00:00+00:00", accuracy=0.7)
    make_run("4", "book/sgd/lenet", seed=0, started="2026-11-21T10:30:00+00:00")
    make_run("5", "book/sgd/lenet", seed=2, started="2026-11-21T10:30:00+00:00", configuration="old")
    ledger = made(tmp_path)
    assert [run.folder.name for row in ledger.rows for run in row.runs] == ["3", "2"]
    runs = tmp_path / "runs"
    assert ledger.left_out == sorted(
        [
            f"{runs / '5'}: configuration old and not None as in {runs / '3'}, which is newer",
            f"{runs / '1'}: parameters 44426 and not 61706 as in {runs / '3'}, which is newer",
            f"{runs / '4'}: seed 0 again, as in {runs / '3'}",
        ]
    )


def test_devices_have_rows_of_their_own(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("1", "book/sgd/lenet")
    make_run("2", "book/sgd/lenet", device="cuda (NVIDIA H200)")
    make_run("3", "book/adam/lenet", device="cuda (NVIDIA H200)")
    rows = made(tmp_path).rows
    assert [(row.recipe.name, row.device) for row in rows] == [
        ("book/adam/lenet", "cuda (NVIDIA H200)"),
        ("book/sgd/lenet", "cpu (AMD EPYC)"),
        ("book/sgd/lenet", "cuda (NVIDIA H200)"),
    ]
    assert len(made(tmp_path).missing) == len(recipes()) - 2


def test_a_resumed_run_tells_nothing_of_the_time(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("1", "book/sgd/lenet", changes=("ckpt_path=outputs/before",))
    row = only_row(tmp_path)
    assert row.seconds is None
    assert cells(row)[-1] == "-"
