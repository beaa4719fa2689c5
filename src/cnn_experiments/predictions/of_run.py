"""Where the predictions for a run's test images are: those of its own test, or of an evaluation that measured them."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cnn_experiments.predictions.file import Predictions
from cnn_experiments.runs.directory import BEST_CHECKPOINT, CHECKPOINTS, PREDICTIONS_FILE
from cnn_experiments.runs.regular_file import is_regular_file, read_text
from cnn_experiments.runs.results import RunResults, finite_number

EVALUATION_FILE = "evaluation.json"
_MAX_EVALUATION_BYTES = 2**26
_ROUNDING = 1e-6
"""results.json has seven digits."""
_OTHER_IMAGES = ("data=", "trainer.limit_test_batches=")
"""Overrides of an evaluation of other images, or of a part of them."""


def directory_of_predictions(directory: Path, results: RunResults) -> Path:
    """Return the directory with the predictions for the test images of a run: its own if no other has them.

    A run whose test wrote none, such as one that was interrupted, has those of `task=evaluate` in a directory below its
    own if that measured the accuracy of its test, or, if it was never tested, its best epoch on all test images.

    Args:
        directory: of the run.
        results: the content of its results.json.
    """
    if os.path.lexists(directory / PREDICTIONS_FILE):
        return directory
    accuracy = finite_number(results.metrics.get("test/acc"))
    for evaluation in _latest_first(directory):
        with suppress(OSError, RecursionError, ValueError):
            test = Predictions.load(evaluation / PREDICTIONS_FILE).splits.get("test")
            if test is None or not len(test.label):
                continue
            if accuracy is None:
                if _is_of_best_epoch(evaluation, directory):
                    return evaluation
            elif abs(float((test.predicted == test.label).mean()) - accuracy) < _ROUNDING:
                return evaluation
    return directory


def evaluation_overrides(directory: Path) -> list[str] | None:
    """Return the overrides with which a command writes the predictions of a run; None if it has no checkpoint."""
    if not is_regular_file(directory / CHECKPOINTS / BEST_CHECKPOINT):
        return None
    return ["task=evaluate", f"ckpt_path={directory}"]


def _latest_first(directory: Path) -> Iterator[Path]:
    """Yield the directories of evaluations below that of a run."""
    dated = []
    for evaluation in directory.glob("evaluate*"):
        with suppress(OSError):
            dated.append(((evaluation / PREDICTIONS_FILE).stat().st_mtime_ns, evaluation))
    yield from (evaluation for _, evaluation in sorted(dated, reverse=True))


def _is_of_best_epoch(evaluation: Path, directory: Path) -> bool:
    """Return whether an evaluation measured the checkpoint that a run has now, on all its test images."""
    content = json.loads(read_text(evaluation / EVALUATION_FILE, _MAX_EVALUATION_BYTES))
    best = directory / CHECKPOINTS / BEST_CHECKPOINT
    is_later = (evaluation / PREDICTIONS_FILE).stat().st_mtime_ns >= best.stat().st_mtime_ns
    return is_later and isinstance(content, dict) and _measured_best(content)


def _measured_best(content: Mapping[str, Any]) -> bool:
    overrides = content.get("overrides")
    return (
        Path(str(content.get("checkpoint"))).name == BEST_CHECKPOINT
        and isinstance(overrides, list)
        and not any(str(override).startswith(_OTHER_IMAGES) for override in overrides)
    )
