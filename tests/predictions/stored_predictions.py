"""Predictions of networks that were never trained."""

from collections.abc import Sequence

import numpy as np

from cnn_experiments.predictions.file import Predictions, SplitPredictions


def make_split(labels: Sequence[int], predicted: Sequence[int], num_classes: int = 3) -> SplitPredictions:
    """Return a split with these labels and predicted classes; the later an image, the more confident it is predicted."""
    logits = np.zeros((len(labels), num_classes), dtype=np.float32)
    logits[np.arange(len(labels)), predicted] = np.arange(1, len(labels) + 1)
    return SplitPredictions(np.arange(len(labels)), np.array(labels, dtype=np.int64), logits)


def make_predictions(
    labels: Sequence[int] = (0, 0, 1, 1, 2, 2),
    predicted: Sequence[int] = (0, 1, 1, 0, 2, 2),
    class_names: Sequence[str] = ("cat", "dog", "bird"),
    channels: int = 1,
    size: int = 4,
) -> Predictions:
    """Return predictions of the test split; all pixels of the image `index` have the value `index`."""
    test = make_split(labels, predicted, len(class_names))
    index = test.index[test.mistakes()]
    images = np.broadcast_to(index[:, None, None, None], (len(index), channels, size, size)).astype(np.uint8)
    return Predictions(tuple(class_names), {"test": test}, index, images)
