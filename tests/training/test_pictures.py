"""Tests of TensorBoard's pictures."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from cnn_experiments.training.pictures import filter_grid, first_filters, image_grid


def pixels_of(png: bytes) -> "np.typing.NDArray[np.uint8]":
    return np.asarray(Image.open(io.BytesIO(png)))


def test_grid_draws_all_images_in_one_range() -> None:
    images = torch.tensor([0.0, 1.0, 2.0, 4.0]).view(4, 1, 1, 1).expand(4, 1, 10, 10)
    pixels = image_grid(images, each=False)
    side = 24 * 10 + 6
    assert pixels.shape == (2 * side + 6, 2 * side + 6, 3)
    corners = [pixels[row * side + 10, column * side + 10, 0] for row in range(2) for column in range(2)]
    assert corners == [0, 64, 128, 255]


def test_grid_draws_each_image_in_its_own_range() -> None:
    images = torch.stack([torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[5.0, 5.5]]])])
    pixels = image_grid(images, each=True)[10, :, 0]
    assert [pixels[20], pixels[220], pixels[270], pixels[470]] == [0, 255, 0, 255]


def test_grid_draws_the_mean_of_channels_that_are_no_colors() -> None:
    images = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]).view(4, 2, 1, 1).expand(4, 2, 10, 10)
    pixels = image_grid(images, each=False)
    side = 24 * 10 + 6
    assert [pixels[10, 10, 0], pixels[10, side + 10, 0], pixels[side + 10, 10, 0]] == [0, 128, 255]


@pytest.mark.parametrize(("channels", "shape"), [(1, (6, 1, 5, 5)), (3, (6, 3, 5, 5)), (2, (12, 1, 5, 5))])
def test_first_filters_are_images(channels: int, shape: tuple[int, ...]) -> None:
    network = nn.Sequential(nn.Sequential(nn.Identity(), nn.Conv2d(channels, 6, 5)), nn.Conv2d(6, 7, 3))
    filters = first_filters(network)
    assert filters is not None
    assert filters.shape == shape


def test_network_without_a_convolution_has_no_filters() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert first_filters(network) is None
    assert filter_grid(network) is None


def test_run_writes_pictures_and_the_table_of_classes(train: Callable[..., Path]) -> None:
    run = train("run", "trainer=smoke", "trainer.accelerator=cpu")
    events = EventAccumulator(str(run))
    events.Reload()
    assert events.Tags()["images"] == [
        "network/inputs", "network/first filters", "test/confusion matrix", "test/mistakes", "test/calibration", "test/coverage",
    ]  # fmt: skip
    (inputs,) = events.Images("network/inputs")
    assert (inputs.step, pixels_of(inputs.encoded_image_string).ndim) == (0, 3)
    (text,) = events.Tensors("test/classes")
    assert "| class |" in text.tensor_proto.string_val[0].decode()
    assert "lr" in events.Tags()["scalars"]
