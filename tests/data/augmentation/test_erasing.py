"""Tests of random rectangles of noise."""

import pytest
import torch
from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation import RandomErasing


def test_erasing_fills_a_rectangle_in_about_half_of_the_images() -> None:
    torch.manual_seed(0)
    black = torch.zeros(2000, 2, 28, 20, dtype=torch.uint8)
    changed = RandomErasing(p=0.5, scale=[0.02, 0.4], ratio=0.3)(black) > 0
    area_fractions, aspect_ratios, noise_fractions = [], [], []
    for image in changed:
        if not image.any():
            continue
        rows, columns = image.any(0).any(1).nonzero().flatten(), image.any(0).any(0).nonzero().flatten()
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        area_fractions.append(height * width / (28 * 20))
        aspect_ratios.append(height / width)
        noise_fractions.append(image.sum().item() / (2 * height * width))
    assert 900 < len(area_fractions) < 1100
    assert min(area_fractions) == pytest.approx(0.02, abs=0.01)
    assert max(area_fractions) == pytest.approx(0.40, abs=0.02)
    assert 0.19 < sum(area_fractions) / len(area_fractions) < 0.22  # the mean of 0.02 to 0.40, less what is clipped
    assert min(aspect_ratios) < 0.35
    assert max(aspect_ratios) > 3
    assert min(noise_fractions) > 0.9  # noise in all channels, which contains some zeros
    assert sum(noise_fractions) / len(noise_fractions) == pytest.approx(255 / 256, abs=1e-3)
    assert changed[:, :, 0].any()
    assert changed[:, :, -1].any()
    assert changed[..., 0].any()
    assert changed[..., -1].any()


def test_arguments_are_used(images: Tensor) -> None:
    assert torch.equal(RandomErasing(p=0.0, scale=[0.1, 0.4], ratio=0.3)(images), images)
    erased = RandomErasing(p=1.0, scale=[1.0, 1.0], ratio=0.7)(images)  # 20 is 0.71 of 28: the whole image at 1 / 0.7
    assert erased.dtype == torch.uint8
    black = torch.zeros(200, 1, 30, 30, dtype=torch.uint8)
    squares = RandomErasing(p=1.0, scale=[0.25, 0.25], ratio=1.0)(black) > 0
    rows, columns = squares.any(-1).sum(dim=(1, 2)), squares.any(-2).sum(dim=(1, 2))
    assert set(rows.tolist()) == set(columns.tolist()) == {15}


def test_erasing_depends_on_the_generator_alone(images: Tensor) -> None:
    erasing, before = RandomErasing(p=0.5, scale=[0.02, 0.4], ratio=0.3), images.clone()
    torch.manual_seed(3)
    first, second = erasing(images), erasing(images)
    torch.manual_seed(3)
    assert torch.equal(erasing(images), first)
    assert not torch.equal(first, second)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p": -0.1}, "p=-0.1: must be a probability in [0, 1]"),
        ({"scale": [0.4, 0.02]}, "scale=[0.4, 0.02]: must be two shares in (0, 1], the smaller one first"),
        ({"scale": [0.1, 1.1]}, "scale=[0.1, 1.1]: must be two shares in (0, 1], the smaller one first"),
        ({"scale": [0.1]}, "scale=[0.1]: must be two shares in (0, 1], the smaller one first"),
        ({"ratio": 0}, "ratio=0: must be in (0, 1]"),
    ],
)
def test_argument_that_cannot_be_is_named(arguments: dict[str, object], message: str) -> None:
    valid: dict[str, object] = {"p": 0.5, "scale": [0.02, 0.4], "ratio": 0.3}
    with pytest.raises(ArgumentError) as error:
        RandomErasing(**valid | arguments)  # type: ignore[arg-type]
    assert str(error.value) == message
