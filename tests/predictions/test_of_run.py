"""Tests of which predictions are those of a run."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.predictions.of_run import EVALUATION_FILE, directory_of_predictions, evaluation_overrides
from cnn_experiments.runs.results import RunResults
from tests.predictions.stored_predictions import make_predictions
from tests.stored_runs import MakeRun


def write_evaluation(run: Path, name: str, time: int, **content: Any) -> Path:
    directory = run / name
    directory.mkdir()
    make_predictions().save(directory / "predictions.npz")
    os.utime(directory / "predictions.npz", (time, time))
    measured = {"checkpoint": "runs/run/checkpoints/best.ckpt", "overrides": ["task=evaluate", "ckpt_path=runs/run"]}
    (directory / EVALUATION_FILE).write_text(json.dumps(measured | content))
    return directory


def found(run: Path) -> str:
    return directory_of_predictions(run, RunResults.load(run)).name


@pytest.fixture
def untested(make_run: MakeRun) -> Path:
    """Return the directory of an interrupted run, whose best checkpoint is of the time 10."""
    directory = make_run("run", None, status="interrupted", metrics={"val/acc": 0.5}, tested_epoch=None)
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / "best.ckpt").write_bytes(b"")
    os.utime(directory / "checkpoints" / "best.ckpt", (10, 10))
    return directory


def test_latest_evaluation_is_that_of_a_run_that_was_not_tested(untested: Path) -> None:
    assert found(untested) == "run"
    write_evaluation(untested, "evaluate-9", 11)
    write_evaluation(untested, "evaluate-10", 12)
    assert found(untested) == "evaluate-10"
    make_predictions().save(untested / "predictions.npz")
    assert found(untested) == "run"


@pytest.mark.parametrize(
    ("time", "content"),
    [
        (9, {}),  # of an earlier epoch
        (11, {"checkpoint": "runs/run/checkpoints/last.ckpt"}),
        (11, {"overrides": ["task=evaluate", "data=digits"]}),
        (11, {"overrides": ["task=evaluate", "trainer.limit_test_batches=1"]}),
        (11, {"overrides": None}),
    ],
)
def test_evaluation_of_something_else_is_not_used(untested: Path, time: int, content: dict[str, Any]) -> None:
    write_evaluation(untested, "evaluate", time, **content)
    assert found(untested) == "run"


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000])
def test_evaluation_that_is_damaged_is_not_used(untested: Path, text: str) -> None:
    (write_evaluation(untested, "evaluate", 11) / EVALUATION_FILE).write_text(text)
    assert found(untested) == "run"


def test_evaluation_must_have_the_accuracy_of_the_test(make_run: MakeRun) -> None:
    directory = make_run("run", None, metrics={"test/acc": 0.6666667})
    write_evaluation(directory, "evaluate", 1)
    assert found(directory) == "evaluate"
    other = make_run("other", None, metrics={"test/acc": 0.7})
    write_evaluation(other, "evaluate", 1)
    assert found(other) == "other"


def test_run_is_evaluated_with_its_checkpoint(untested: Path, make_run: MakeRun) -> None:
    assert evaluation_overrides(untested) == ["task=evaluate", f"ckpt_path={untested}"]
    assert evaluation_overrides(make_run("other", None)) is None
