"""Tests of what the page and the summary of a run say."""

from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.errors import ConfigError
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.report.run_page.content import StoredRun
from tests.predictions.stored_predictions import make_predictions
from tests.stored_runs import MakeRun


def test_facts_are_those_that_are_known_the_test_first(make_run: MakeRun) -> None:
    run = StoredRun.read(
        make_run(
            "run",
            None,
            metrics={"train/loss": 0.5, "val/acc": 0.8, "test/acc": 0.75, "test/loss": None, "test/acc/cat": 0.7},
            epochs=10,
            tested_epoch=8,
            seconds={"fit": 3725.0, "test": 1.0},
            images_per_second={"train": 12345.6},
            peak_memory_bytes=3 * 2**20,
        )
    )
    assert run.facts == {
        "test/acc": "0.7500",
        "val/acc": "0.8000",
        "train/loss": "0.5000",
        "epochs": "10, tested 8",
        "parameters": "61,706",
        "multiply-adds": "416,520",
        "training": "1 h 2 min",
        "images/s": "12,346",
        "peak memory": "3 MiB",
    }
    assert list(run.facts)[:3] == ["test/acc", "val/acc", "train/loss"]


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        ({"status": "completed"}, None),
        ({"status": "failed", "epochs": 1, "error": "ValueError: no"}, "The run failed after 1 epoch: ValueError: no."),
        (
            {"status": "interrupted", "epochs": 2, "signal": "SIGTERM"},
            "The run was interrupted after 2 epochs: stopped by SIGTERM.",
        ),
        (
            {"status": "running", "epochs": 0},  # no process has its lock
            "The run was interrupted after 0 epochs: its process ended early.",
        ),
        ({"status": "interrupted", "pruned_after_epoch": 3}, "A search stopped the run after epoch 3."),
    ],
    ids=str,
)
def test_unfinished_run_says_why(make_run: MakeRun, results: dict[str, Any], problem: str | None) -> None:
    assert StoredRun.read(make_run("run", None, **results)).problem == problem


def test_command_repeats_the_run(make_run: MakeRun) -> None:
    overrides = ["model=lenet", "model.depths=[2, 2]", "trainer.max_time='00:01:00:00'", "seed=1"]
    run = StoredRun.read(make_run("run", None, overrides=overrides))
    assert run.command == (
        "python -m cnn_experiments model=lenet 'model.depths=[2, 2]' "
        "'trainer.max_time='\"'\"'00:01:00:00'\"'\"'' seed=1"
    )
    assert run.typed_settings == {
        "model": "lenet",
        "model.depths": "[2, 2]",
        "trainer.max_time": "'00:01:00:00'",
        "seed": "1",
    }


def test_missing_and_damaged_files_are_told_in_one_sentence(make_run: MakeRun) -> None:
    directory = make_run("run", None)
    run = StoredRun.read(directory)
    assert run.predictions == "There is no predictions.npz, which the test of a run writes."
    assert run.curve_problem == "metrics.csv has no epoch, or is missing."
    (directory / "predictions.npz").write_bytes(b"PK\x03\x04")
    (directory / "metrics.csv").write_text("epoch,val/acc\n1,x\n")
    run = StoredRun.read(directory)
    assert (
        run.predictions
        == "predictions.npz can't be read: damaged, or another program wrote it (File is not a zip file)."
    )
    assert run.curve_problem == "metrics.csv is damaged (could not convert string to float: 'x')."


def test_predictions_without_images_or_with_too_many_classes_are_not_shown(make_run: MakeRun) -> None:
    directory = make_run("run", None)
    make_predictions([], []).save(directory / "predictions.npz")
    assert StoredRun.read(directory).predictions == "predictions.npz can't be read: it has no images."
    make_predictions([0], [0], list(map(str, range(2001)))).save(directory / "predictions.npz")
    assert StoredRun.read(directory).predictions == "predictions.npz can't be read: it has more than 2,000 classes."
    make_predictions().save(directory / "predictions.npz")
    assert isinstance(StoredRun.read(directory).predictions, Predictions)


def test_run_with_a_checkpoint_but_no_predictions_can_be_evaluated(make_run: MakeRun) -> None:
    directory = make_run("run", None)
    assert StoredRun.read(directory).advice is None
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / "best.ckpt").write_bytes(b"")
    advice = StoredRun.read(directory).advice
    assert advice == f"python -m cnn_experiments task=evaluate ckpt_path={directory}"
    make_predictions().save(directory / "predictions.npz")
    assert StoredRun.read(directory).advice is None


def test_predictions_of_an_evaluation_are_used_if_its_accuracy_is_that_of_the_run(make_run: MakeRun) -> None:
    directory = make_run("run", None, metrics={"test/acc": 0.6666667})
    for name, predicted in {"evaluate": [0] * 6, "evaluate-2": [0, 1, 1, 0, 2, 2]}.items():
        (directory / name).mkdir()
        make_predictions(predicted=predicted).save(directory / name / "predictions.npz")
    predictions = StoredRun.read(directory).predictions
    assert isinstance(predictions, Predictions)
    assert predictions.evaluated.predicted.tolist() == [0, 1, 1, 0, 2, 2]
    (directory / "evaluate-2" / "predictions.npz").write_bytes(b"")
    assert StoredRun.read(directory).predictions == "There is no predictions.npz, which the test of a run writes."


def test_directory_without_readable_results_is_rejected(tmp_path: Path, make_run: MakeRun) -> None:
    (make_run("run", None) / "results.json").write_text("{")
    with pytest.raises(ConfigError, match=r"results.json can't be read: not valid JSON"):
        StoredRun.read(tmp_path / "runs" / "run")
