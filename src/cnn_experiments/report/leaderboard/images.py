"""Two runs compared image by image, from their predictions of the test split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.measures import PairedComparison, mcnemar
from cnn_experiments.predictions.mistakes import Mistake, stored_mistakes
from cnn_experiments.report.predictions import load_predictions
from cnn_experiments.runs.directory import PREDICTIONS_FILE

MAX_COMPARED = 12
"""Rows of a board, the best first, that are compared image by image: a file of a MiB is read for each."""
_MAX_PICTURES = 20


class NotComparedError(Exception):
    """Two runs cannot be compared image by image; the message says why in one line."""


@dataclass(frozen=True)
class ImageComparison:
    """A run compared with the run of the best row that has the same seed."""

    seed: int
    counts: PairedComparison
    """The run is the first, that of the best row the second."""
    only_run: Sequence[Mistake]
    """Images that only the run gets right, as mistakes of the other: the most confident ones, as far as stored."""
    only_best: Sequence[Mistake]
    """Images that only the best gets right, as mistakes of the run."""
    class_names: Sequence[str]


def compare_images(
    seed: int, directory: Path, best_directory: Path, loaded: dict[Path, Predictions]
) -> ImageComparison:
    """Compare two runs of a seed.

    Args:
        seed: of both.
        directory: of a run.
        best_directory: of the run of the best row.
        loaded: the predictions that were read before, by directory; others are added.

    Raises:
        NotComparedError: a file is damaged, or the runs were tested on different images.
    """
    predictions, best = (_load(path, loaded) for path in (directory, best_directory))
    if predictions.class_names != best.class_names or not {"test"} <= predictions.splits.keys() & best.splits.keys():
        raise NotComparedError(f"{directory / PREDICTIONS_FILE}: other classes or splits than {best_directory}")
    try:
        counts = mcnemar(predictions.splits["test"], best.splits["test"])
    except ValueError as error:
        raise NotComparedError(f"{directory / PREDICTIONS_FILE}: {error} from those of {best_directory}") from error
    return ImageComparison(
        seed,
        counts,
        only_run=_mistakes_among(counts.only_first.tolist(), best),
        only_best=_mistakes_among(counts.only_second.tolist(), predictions),
        class_names=best.class_names,
    )


def _load(directory: Path, loaded: dict[Path, Predictions]) -> Predictions:
    if directory not in loaded:
        try:
            loaded[directory] = load_predictions(directory)
        except (OSError, ValueError) as error:
            raise NotComparedError(f"{directory / PREDICTIONS_FILE}: {error}") from error
    return loaded[directory]


def _mistakes_among(index: Sequence[int], predictions: Predictions) -> list[Mistake]:
    wanted = set(index)
    return [mistake for mistake in stored_mistakes(predictions) if mistake.index in wanted][:_MAX_PICTURES]
