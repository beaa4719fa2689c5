"""The mistakes of a network whose images predictions.npz holds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.measures import confidence


@dataclass(frozen=True)
class Mistake:
    """An image of the evaluated split whose predicted class is wrong."""

    index: int
    """Its place in the data set as stored."""
    image: NDArray[np.uint8]
    """(C, H, W)."""
    label: int
    predicted: int
    confidence: float
    """The probability of the predicted class."""


def stored_mistakes(predictions: Predictions, most: int | None = None) -> list[Mistake]:
    """Return the mistakes with a stored image, the most confident one first.

    Args:
        predictions: of a network.
        most: how many are returned at most; None for all.
    """
    split = predictions.evaluated
    rows = dict(zip(split.index.tolist(), range(len(split.index)), strict=True))
    predicted, confidences = split.predicted.tolist(), confidence(split).tolist()
    mistakes = []
    for index, image in zip(predictions.mistake_index[:most].tolist(), predictions.mistake_images, strict=False):
        row = rows[index]
        mistakes.append(Mistake(index, image, int(split.label[row]), predicted[row], confidences[row]))
    return mistakes
