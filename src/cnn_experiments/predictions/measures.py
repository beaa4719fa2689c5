"""What the predictions of a split tell: confusions, measures of each class, calibration, coverage, and comparisons."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_experiments.predictions.file import SplitPredictions
from cnn_experiments.predictions.incomplete_beta import regularized_incomplete_beta

MAX_CLASSES = 2_000
"""A confusion matrix of more classes is neither computed nor drawn."""
NUM_BINS = 15
"""Bins of the calibration error, as in Guo et al. (2017, https://arxiv.org/abs/1706.04599)."""


@dataclass(frozen=True)
class ClassMeasures:
    """How well one class is recognized. A measure is None if nothing tells it; a class never predicted has 0."""

    precision: float | None
    """The share of the images predicted as the class that are of it; None if the class has neither."""
    recall: float | None
    """The share of the images of the class that are predicted as it; None if there are no such images."""
    f1: float | None
    """The harmonic mean of both; None if the class has no images and is never predicted."""
    support: int
    """The number of images of the class."""


@dataclass(frozen=True)
class ClassReport:
    """The measures of each class and over all of them."""

    classes: tuple[ClassMeasures, ...]
    mean: ClassMeasures
    """The means over the classes that have a measure, and the number of all images. `f1` is the metric `test/f1`."""
    accuracy: float
    """The share of all images whose class is predicted; nan without images."""


@dataclass(frozen=True)
class Calibration:
    """How far the confidence of a network is from its accuracy, in bins of equal width of the confidence."""

    count: NDArray[np.int64]
    """The images of each bin, (NUM_BINS,). Bin i has the confidences above i / NUM_BINS, up to (i + 1) / NUM_BINS."""
    accuracy: NDArray[np.float64]
    """The accuracy in each bin; nan in an empty one."""
    confidence: NDArray[np.float64]
    """The mean confidence in each bin; nan in an empty one."""
    error: float
    """The expected calibration error: the mean distance of accuracy and confidence over the images; nan without any."""


@dataclass(frozen=True)
class Coverage:
    """The accuracy of a network that answers only for the images it is most confident about."""

    coverage: NDArray[np.float64]
    """The share of the images that are answered, 1/N to 1, (N,)."""
    accuracy: NDArray[np.float64]
    """The accuracy on them, (N,)."""
    area: float
    """The mean error rate over all coverages (the area under the risk-coverage curve; lower is better); nan without
    images. Geifman and El-Yaniv, 2017, https://arxiv.org/abs/1705.08500."""


@dataclass(frozen=True)
class PairedComparison:
    """Two networks on the same images."""

    num_images: int
    only_first: NDArray[np.int64]
    """The `index` of the images that only the first one gets right."""
    only_second: NDArray[np.int64]
    p_value: float
    """Of McNemar's exact two-sided test: how probable so uneven counts are if both networks err equally often."""


def confidence(split: SplitPredictions) -> NDArray[np.float64]:
    """Return the highest probability of each image, (N,); 0 if the logits are not finite."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(split.probabilities.max(axis=1))


def confusion_matrix(split: SplitPredictions) -> NDArray[np.int64]:
    """Return how many images of each true class (row) are predicted as each class (column)."""
    num_classes = split.logits.shape[1]
    pairs = np.bincount(split.label * num_classes + split.predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def shares_of_classes(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of its true class in each cell of a confusion matrix; 0 for a class without images."""
    shares: NDArray[np.float64] = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return shares


def class_report(split: SplitPredictions) -> ClassReport:
    """Return precision, recall, F1 and support of each class, and their means."""
    matrix = confusion_matrix(split)
    hits, support, predictions = matrix.diagonal().tolist(), matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    classes = tuple(map(_class_measures, hits, support, predictions))
    mean = ClassMeasures(
        precision=_mean([measures.precision for measures in classes]),
        recall=_mean([measures.recall for measures in classes]),
        f1=_mean([measures.f1 for measures in classes]),
        support=sum(support),
    )
    return ClassReport(classes, mean, sum(hits) / sum(support) if sum(support) else np.nan)


def _class_measures(hits: int, support: int, predictions: int) -> ClassMeasures:
    if not support and not predictions:
        return ClassMeasures(None, None, None, 0)
    return ClassMeasures(
        precision=hits / predictions if predictions else 0.0,
        recall=hits / support if support else None,
        f1=2 * hits / (support + predictions),
        support=support,
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def calibration(split: SplitPredictions) -> Calibration:
    """Return the expected calibration error and the bins of the reliability diagram."""
    confidences, is_correct = confidence(split), split.predicted == split.label
    bins = np.clip(np.ceil(confidences * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)
    count = np.bincount(bins, minlength=NUM_BINS)
    with np.errstate(invalid="ignore"):
        accuracy = np.bincount(bins, is_correct, NUM_BINS) / count
        mean_confidence = np.bincount(bins, confidences, NUM_BINS) / count
    gaps = np.nan_to_num(np.abs(accuracy - mean_confidence))
    error = float(count @ gaps / count.sum()) if count.any() else np.nan
    return Calibration(count, accuracy, mean_confidence, error)


def coverage(split: SplitPredictions) -> Coverage:
    """Return the accuracy on the most confident images, for every number of them."""
    order = np.argsort(-confidence(split), kind="stable")
    num_answered = np.arange(1, len(order) + 1)
    accuracy = np.cumsum(split.predicted[order] == split.label[order]) / num_answered
    area = float(1 - accuracy.mean()) if len(order) else np.nan
    return Coverage(num_answered / max(1, len(order)), accuracy, area)


def mcnemar(first: SplitPredictions, second: SplitPredictions) -> PairedComparison:
    """Compare two networks on the images that both have predictions of, by McNemar's exact test.

    Raises:
        ValueError: they have no image in common, or an image has two labels: the data sets differ.
    """
    index, rows, other_rows = np.intersect1d(first.index, second.index, return_indices=True)
    label = first.label[rows]
    if not len(index) or not np.array_equal(label, second.label[other_rows]):
        raise ValueError("the images differ")
    is_correct, other_is_correct = first.predicted[rows] == label, second.predicted[other_rows] == label
    only_first, only_second = index[is_correct & ~other_is_correct], index[other_is_correct & ~is_correct]
    return PairedComparison(len(index), only_first, only_second, mcnemar_p_value(len(only_first), len(only_second)))


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Return the p-value of McNemar's exact two-sided test.

    Under its hypothesis, an image that only one network gets right is as probably the one's as the other's.

    Args:
        only_first: the number of images that only the first network gets right.
        only_second: that of the second.
    """
    fewer, more = sorted((only_first, only_second))
    if fewer == more:
        return 1.0
    return min(1.0, 2 * regularized_incomplete_beta(more, fewer + 1, 0.5))  # twice a tail of the binomial distribution
