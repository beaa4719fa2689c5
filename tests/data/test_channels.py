"""Tests of making gray images of color images, and the reverse."""

import numpy as np
import pytest
import torch
from PIL import Image

from cnn_experiments.data import channels
from cnn_experiments.data.channels import convert_channels, convert_mean, convert_std
from tests.data.replicas import random_images


def test_gray_equals_that_of_pil_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_CHUNK", 3)  # the last chunk is smaller
    images = random_images(0, 7, 3, 16)
    images[0, :, 0, 0], images[0, :, 0, 1] = 0, 255
    gray = convert_channels(images, 1)
    assert gray.dtype == torch.uint8
    assert gray.is_contiguous()
    for image, gray_image in zip(images, gray, strict=True):
        expected = np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L"))
        assert np.array_equal(gray_image[0].numpy(), expected)


def test_images_with_the_right_channels_are_left_alone() -> None:
    images = random_images(0, 2, 4, 5)
    assert convert_channels(images, 4) is images


def test_repeated_images_take_no_memory() -> None:
    images = random_images(0, 2, 1, 5)
    repeated = convert_channels(images, 3)
    assert repeated.shape == (2, 3, 5, 5)
    assert repeated.data_ptr() == images.data_ptr()


def test_mean_and_standard_deviation_follow_the_images() -> None:
    assert convert_mean(0.25, 3) == 0.25
    assert convert_mean([0.25], 3) == (0.25, 0.25, 0.25)
    assert convert_mean((0.1, 0.2, 0.3), 3) == (0.1, 0.2, 0.3)
    assert convert_mean((0.1, 0.2, 0.3), 1) == pytest.approx(0.299 * 0.1 + 0.587 * 0.2 + 0.114 * 0.3, abs=1e-5)
    assert convert_std((0.2, 0.2, 0.2), 1) == pytest.approx(0.2)


def test_standard_deviation_of_gray_is_at_least_that_of_the_pixels() -> None:
    images = random_images(1, 50, 3, 32)  # independent channels: the bound is as far away as it can be
    stds = tuple((images / 255).std(dim=(0, 2, 3)).tolist())
    converted = convert_std(stds, 1)
    assert isinstance(converted, float)
    assert (convert_channels(images, 1) / 255).std() < converted
