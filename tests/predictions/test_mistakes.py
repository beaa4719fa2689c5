"""Tests of the mistakes with stored images."""

import math

import pytest

from cnn_experiments.predictions.mistakes import stored_mistakes
from tests.predictions.stored_predictions import make_predictions


def test_most_confident_mistake_comes_first_with_its_image() -> None:
    first, second = stored_mistakes(make_predictions())
    assert (first.index, first.label, first.predicted, first.image.tolist()) == (3, 1, 0, [[[3] * 4] * 4])
    assert first.confidence == pytest.approx(math.exp(4) / (math.exp(4) + 2))
    assert (second.index, second.label, second.predicted) == (1, 0, 1)
    assert [mistake.index for mistake in stored_mistakes(make_predictions(), most=1)] == [3]
