"""Tests that the preprocessing in an exported file is that of the training, bit for bit."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cnn_experiments.training.export.image_classifier import ImageClassifier, resize_exactly
from tests.training.export.conftest import MakeTrained


def test_pixels_between_two_pixels_are_weighted_by_their_distance() -> None:
    row = torch.tensor([[[[0.0, 255.0]]]], dtype=torch.float64)
    assert resize_exactly(row, 4).tolist() == [[[[0, 64, 191, 255]] * 4]]  # 63.75 and 191.25 are rounded


def test_pixels_of_a_smaller_image_are_averaged() -> None:
    row = torch.tensor([[[[10.0, 20.0, 30.0, 101.0]] * 4]], dtype=torch.float64)
    # Triangles as wide as two pixels of the result: shares of 3, 3 and 1 sevenths.
    assert resize_exactly(row, 2).tolist() == [[[[17, 59]] * 2]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(8, 8, 8), (28, 28, 32), (28, 28, 96), (28, 28, 224), (28, 28, 16), (100, 77, 28), (31, 500, 28), (1, 1, 5)],
)
def test_resized_images_are_those_of_torch_bit_for_bit(channels: int, height: int, width: int, size: int) -> None:
    images = torch.randint(256, (3, channels, height, width), generator=torch.Generator().manual_seed(0))
    expected = interpolate(images.to(torch.uint8), (size, size), mode="bilinear", antialias=True)
    resized = resize_exactly(images.to(torch.float64), size)
    assert torch.equal(resized, expected.to(torch.float64))


@pytest.mark.skipif("AVX" not in torch.backends.cpu.get_cpu_capability(), reason="torchvision resizes with floats")
@pytest.mark.parametrize("overrides", ["data.resize=null", "data.resize=20", "data.resize=20 data.normalize=true"])
def test_inputs_are_those_of_the_training(overrides: str, make_trained: MakeTrained, images: Tensor) -> None:
    trained = make_trained("model=vgg11", "model.channel_divisor=64", "model.hidden_divisor=64", *overrides.split())
    inputs = ImageClassifier(trained.network, trained.data).preprocess(images)
    torch.testing.assert_close(inputs, trained.data.preprocessing(images), rtol=0, atol=1e-6)


def test_images_of_another_size_are_first_resized_to_that_of_the_data_set(make_trained: MakeTrained) -> None:
    trained = make_trained("data.resize=28")
    images = torch.randint(256, (2, 1, 13, 40), dtype=torch.uint8)
    stored = interpolate(images, (8, 8), mode="bilinear", antialias=True)
    expected = interpolate(stored, (28, 28), mode="bilinear", antialias=True)
    inputs = ImageClassifier(trained.network, trained.data).preprocess(images)
    torch.testing.assert_close(inputs * 255, expected.to(torch.float32), rtol=0, atol=1e-4)
    assert not torch.equal(expected, interpolate(images, (28, 28), mode="bilinear", antialias=True))
