"""The predictions of a run, as reports read them."""

from pathlib import Path

from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.measures import MAX_CLASSES
from cnn_experiments.runs.directory import PREDICTIONS_FILE
from cnn_experiments.runs.regular_file import reading_problem

_MAX_CHARACTERS = 200
"""Of a problem: some errors repeat the content of the file."""


def load_predictions(directory: Path) -> Predictions:
    """Read the predictions in a run's directory.

    Raises:
        FileNotFoundError: there are none.
        ValueError: they cannot be read, or have no image or too many classes; the message says why in one line.
    """
    try:
        predictions = Predictions.load(directory / PREDICTIONS_FILE)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError("there is none") from error
    except (OSError, ValueError) as error:
        raise ValueError(" ".join(reading_problem(error).split())[:_MAX_CHARACTERS]) from error
    if not predictions.class_names or not len(predictions.evaluated.index):
        raise ValueError("it has no images")
    if len(predictions.class_names) > MAX_CLASSES:
        raise ValueError(f"it has more than {MAX_CLASSES:,} classes")
    return predictions
