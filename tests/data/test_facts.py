"""Tests of what is measured of images and kept in a checkpoint."""

import math
from typing import Any

import pytest
import torch

from cnn_experiments.data.facts import DataFacts, measure_pixels

FACTS = DataFacts(
    class_names=("cat", "dog"),
    native_size=8,
    num_train_images=20,
    num_test_images=4,
    mean=(0.1, 0.2, 0.3),
    std=(0.4, 0.5, 0.6),
    background=255,
)


def test_mean_and_standard_deviation_are_those_of_the_selected_images() -> None:
    images = torch.randint(0, 256, (2500, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    index = torch.arange(0, 2500, 2)
    pixels = images[index].double().div(255).movedim(1, 0).flatten(1)
    mean, std = measure_pixels(images, index)
    assert mean == pytest.approx(pixels.mean(1).tolist(), rel=1e-12)
    assert std == pytest.approx(pixels.std(1, unbiased=False).tolist(), rel=1e-12)
    assert measure_pixels(images, index.flip(0)) == (mean, std)


def test_equal_pixels_have_the_standard_deviation_one() -> None:
    assert measure_pixels(torch.full((3, 1, 2, 2), 51, dtype=torch.uint8), torch.arange(3)) == ((0.2,), (1.0,))


def test_state_is_plain_and_gives_the_same_facts() -> None:
    state = FACTS.state_dict()
    assert {type(value) for value in state.values()} == {list, int}
    assert DataFacts.from_state(state, channels=3, classes=2).state_dict() == state


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"mean": [0.1, math.nan, 0.2]}, "mean must be a number, or 3 of them"),
        ({"std": "measured"}, "mean and std must be numbers"),
        ({"class_names": ["cat", 5]}, "class_names must be a sequence of strings"),
        ({"native_size": "8"}, "native_size must be an integer >= 1"),
        ({"background": 256}, "background must be an integer in 0..255"),
        ({"more": 1}, "must have class_names, native_size"),
    ],
)
def test_damaged_state_is_rejected(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        DataFacts.from_state(FACTS.state_dict() | change, channels=3, classes=2)
