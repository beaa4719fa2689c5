"""Tests of random erasing."""

import pytest
import torch

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


def test_wrong_arguments_are_rejected() -> None:
    with pytest.raises(ArgumentError, match="scale="):
        RandomErasing(0.5, [0.4, 0.02], 0.3)
    with pytest.raises(ArgumentError, match="ratio=0"):
        RandomErasing(0.5, [0.02, 0.4], 0)
