"""Tests that a difference between a file and its network is seen, whatever it is."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cnn_experiments.training.export.comparison import Comparison, compare
from cnn_experiments.training.export.image_classifier import ImageClassifier
from tests.training.export.conftest import MakeTrained

needs_avx = pytest.mark.skipif("AVX" not in torch.backends.cpu.get_cpu_capability(), reason="resizes with floats")


@needs_avx
def test_batches_of_one_two_and_many_images_and_another_size_are_compared(
    make_trained: MakeTrained, images: Tensor
) -> None:
    trained = make_trained()
    classifier = ImageClassifier(trained.network, trained.data)
    shapes = []

    def file_logits(batch: Tensor) -> Tensor:
        shapes.append(tuple(batch.shape))
        return classifier(batch)

    comparison = compare(file_logits, trained, images, has_preprocessing=True)
    assert shapes == [(1, 1, 8, 8), (2, 1, 8, 8), (7, 1, 8, 8), (8, 1, 17, 26)]
    assert (comparison.num_images, comparison.num_other_classes, comparison.has_same_pixels) == (10, 0, True)
    assert comparison.largest_difference < 1e-6
    assert comparison.is_close


def test_file_without_preprocessing_is_compared_at_the_size_of_the_data_set(
    make_trained: MakeTrained, images: Tensor
) -> None:
    trained = make_trained()
    shapes = []

    def file_logits(batch: Tensor) -> Tensor:
        shapes.append(tuple(batch.shape))
        return trained.logits(batch)

    assert compare(file_logits, trained, images[:2], has_preprocessing=False).largest_difference < 1e-6
    assert shapes == [(1, 1, 8, 8), (1, 1, 8, 8)]


def test_largest_difference_and_other_classes(make_trained: MakeTrained, images: Tensor) -> None:
    trained = make_trained()
    logits = trained.logits(images)

    def file_logits(batch: Tensor) -> Tensor:
        changed = trained.logits(batch)
        if len(batch) == 2:
            changed[1, changed[1].argmax()] -= 100
        return changed

    comparison = compare(file_logits, trained, images, has_preprocessing=False)
    assert comparison.largest_difference == pytest.approx(100, abs=1e-4)
    assert comparison.num_other_classes == 1
    assert comparison.spread == pytest.approx((logits - logits.mean(0)).numpy().std(ddof=1), rel=1e-5)
    assert comparison.largest_logit == logits.abs().max()
    assert not comparison.is_close


@pytest.mark.parametrize(
    ("largest_difference", "has_same_pixels", "is_close"),
    [
        (0.009, True, True),
        (0.012, True, False),  # the change of a trained ResNet-18 whose pixels are one gray level off
        (0.012, False, True),
        (0.11, False, False),
        (math.nan, False, False),
    ],
)
def test_difference_is_judged_by_the_spread_of_the_logits(
    largest_difference: float, has_same_pixels: bool, is_close: bool
) -> None:
    comparison = Comparison(
        num_images=256,
        largest_difference=largest_difference,
        spread=1.0,
        largest_logit=10.0,
        num_other_classes=0,
        has_same_pixels=has_same_pixels,
    )
    assert comparison.is_close == is_close


def test_rounding_is_accepted_of_a_network_whose_logits_do_not_depend_on_the_image() -> None:
    comparison = Comparison(256, 0.9e-5, spread=0.0, largest_logit=1.0, num_other_classes=0, has_same_pixels=True)
    assert comparison.is_close
    assert not replace(comparison, largest_difference=1.1e-5).is_close


def test_cpu_that_resizes_with_another_rounding_is_recognized(
    make_trained: MakeTrained, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = make_trained()
    classifier = ImageClassifier(trained.network, trained.data)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    comparison = compare(classifier, trained, images, has_preprocessing=True)
    assert not comparison.has_same_pixels
    assert comparison.largest_difference > 1e-6
    assert compare(trained.logits, trained, images, has_preprocessing=False).has_same_pixels


def test_comparison_in_words() -> None:
    assert str(Comparison(256, 3.04e-7, 0.8437, 4.0, 2, has_same_pixels=True)) == (
        "largest difference of a logit 3.0e-07 (the standard deviation over the images is 0.84), "
        "2 images of another class"
    )
