"""Tests of what is computed from predictions: values worked by hand, and those of scikit-learn, SciPy and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from sklearn.metrics import precision_recall_fscore_support
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_f1_score

from cnn_experiments.predictions.file import SplitPredictions
from cnn_experiments.predictions.measures import (
    NUM_BINS,
    ClassMeasures,
    calibration,
    class_report,
    confidence,
    confusion_matrix,
    coverage,
    mcnemar,
    mcnemar_p_value,
)


def random_split(num_images: int = 500, num_classes: int = 7, seed: int = 0) -> SplitPredictions:
    generator = np.random.default_rng(seed)
    label = generator.integers(num_classes, size=num_images)
    logits = generator.normal(size=(num_images, num_classes)).astype(np.float32)
    logits[np.arange(num_images), label] += 1.5
    return SplitPredictions(np.arange(num_images), label, logits)


def split_of(labels: list[int], predicted: list[int], num_classes: int) -> SplitPredictions:
    """Return a split with these labels and predicted classes, with logits 0 and 1."""
    logits = np.eye(num_classes, dtype=np.float32)[predicted].reshape(-1, num_classes)
    return SplitPredictions(np.arange(len(labels)), np.array(labels, dtype=np.int64), logits)


def split_with_confidences(confidences: list[float], is_correct: list[bool]) -> SplitPredictions:
    """Return a split of two classes whose predicted class has these probabilities; all labels are 0."""
    odds = np.log(np.array(confidences) / (1 - np.array(confidences)))
    logits = np.where(np.array(is_correct)[:, None], [1.0, 0.0], [0.0, 1.0]) * odds[:, None]
    return SplitPredictions(np.arange(len(odds)), np.zeros(len(odds), dtype=np.int64), logits.astype(np.float32))


def test_confusion_matrix_counts_true_classes_in_rows() -> None:
    split = split_of([0, 0, 0, 1, 2], [0, 1, 1, 1, 0], num_classes=3)
    assert confusion_matrix(split).tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]
    random = random_split()
    assert np.array_equal(confusion_matrix(random), sklearn_confusion_matrix(random.label, random.predicted))


def test_class_measures_are_those_of_scikit_learn_and_torchmetrics() -> None:
    split = random_split()
    report = class_report(split)
    expected: NDArray[np.float64] = np.array(precision_recall_fscore_support(split.label, split.predicted)).T
    rows = [(row.precision, row.recall, row.f1, row.support) for row in report.classes]
    assert np.allclose(np.array(rows, dtype=np.float64), expected, rtol=1e-14)
    mean = precision_recall_fscore_support(split.label, split.predicted, average="macro")
    assert (report.mean.precision, report.mean.recall, report.mean.f1) == pytest.approx(mean[:3], rel=1e-14)
    assert report.mean.support == 500
    assert report.accuracy == np.mean(split.predicted == split.label)


def test_class_without_images_or_predictions_has_no_measures() -> None:
    split = split_of([0, 0, 1, 1], [0, 2, 0, 0], num_classes=4)
    report = class_report(split)
    assert report.classes == (
        ClassMeasures(precision=1 / 3, recall=1 / 2, f1=2 / 5, support=2),
        ClassMeasures(precision=0.0, recall=0.0, f1=0.0, support=2),  # never predicted
        ClassMeasures(precision=0.0, recall=None, f1=0.0, support=0),  # predicted, but it has no images
        ClassMeasures(precision=None, recall=None, f1=None, support=0),
    )
    assert report.mean == ClassMeasures(pytest.approx(1 / 9), 1 / 4, pytest.approx(2 / 15), 4)
    assert report.accuracy == 1 / 4
    f1 = multiclass_f1_score(torch.tensor(split.logits), torch.tensor(split.label), num_classes=4, average="macro")
    assert report.mean.f1 == pytest.approx(f1.item())


def test_calibration_error_is_the_mean_gap_of_accuracy_and_confidence() -> None:
    split = split_with_confidences([0.95, 0.95, 0.95, 0.95, 0.75, 0.75], [True, True, True, False, True, False])
    result = calibration(split)
    assert result.count.tolist() == [0] * 11 + [2, 0, 0, 4]  # 0.75 is in (11/15, 12/15], 0.95 in (14/15, 1]
    assert (result.accuracy[11], result.accuracy[14]) == (0.5, 0.75)
    assert (result.confidence[11], result.confidence[14]) == pytest.approx((0.75, 0.95), abs=1e-6)
    assert np.isnan(result.accuracy[0])
    assert result.error == pytest.approx((2 * 0.25 + 4 * 0.2) / 6, abs=1e-6)


def test_calibration_error_is_that_of_torchmetrics() -> None:
    split = random_split()
    logits, label = torch.tensor(split.logits), torch.tensor(split.label)
    expected = multiclass_calibration_error(logits.softmax(1), label, num_classes=7, n_bins=NUM_BINS, norm="l1")
    assert calibration(split).error == pytest.approx(expected.item(), abs=1e-6)


def test_accuracy_by_coverage_begins_with_the_most_confident_image() -> None:
    split = split_with_confidences([0.6, 0.9, 0.8, 0.7], [False, True, False, True])
    result = coverage(split)
    assert result.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert result.accuracy.tolist() == [1.0, 0.5, 2 / 3, 0.5]
    assert result.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_logits_that_are_not_finite_have_no_confidence() -> None:
    logits = np.array([[np.nan, 0], [np.inf, 0], [0, 5]], dtype=np.float32)
    split = SplitPredictions(np.arange(3), np.array([0, 0, 1]), logits)
    assert confidence(split).tolist() == pytest.approx([0, 0, 1 / (1 + math.exp(-5))])
    assert coverage(split).accuracy.tolist() == [1, 1, 1]
    assert calibration(split).count.tolist() == [2] + [0] * 13 + [1]


def test_split_without_images_has_no_measures() -> None:
    split = split_of([], [], num_classes=3)
    assert confusion_matrix(split).tolist() == [[0] * 3] * 3
    report = class_report(split)
    assert report.mean == ClassMeasures(None, None, None, 0)
    assert all(map(math.isnan, (report.accuracy, calibration(split).error, coverage(split).area)))


def test_images_that_only_one_network_gets_right_are_counted_on_shared_images() -> None:
    first = SplitPredictions(np.array([5, 3, 8, 9]), np.array([0, 1, 0, 1]), np.eye(2, dtype=np.float32)[[0, 1, 1, 1]])
    second = SplitPredictions(
        np.array([3, 5, 8, 10]), np.array([1, 0, 0, 1]), np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    )
    result = mcnemar(first, second)
    assert result.num_images == 3
    assert (result.only_first.tolist(), result.only_second.tolist()) == ([3, 5], [8])
    assert result.p_value == pytest.approx(1.0)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 9), (9, 1), (5, 5), (130, 170), (1000, 1200)])
def test_p_value_is_that_of_the_binomial_test(only_first: int, only_second: int) -> None:
    total = only_first + only_second
    expected = binomtest(only_first, total).pvalue if total else 1.0
    assert mcnemar_p_value(only_first, only_second) == pytest.approx(expected, rel=1e-9)


def test_p_value_of_one_against_nine_images() -> None:
    assert mcnemar_p_value(1, 9) == pytest.approx(2 * (1 + 10) / 2**10)


@pytest.mark.parametrize(("index", "label"), [([7, 8], [0, 1]), ([0, 1], [0, 0])], ids=["no image shared", "labels"])
def test_networks_tested_on_other_images_are_not_compared(index: list[int], label: list[int]) -> None:
    first = split_of([0, 1], [0, 1], num_classes=2)
    second = SplitPredictions(np.array(index), np.array(label), first.logits)
    with pytest.raises(ValueError, match=r"^the images differ$"):
        mcnemar(first, second)
