"""Tests of resizing, conversion and normalization of batches."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

from cnn_experiments.data import FashionMNIST, transforms
from tests.conftest import compose_settings


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(1, 256, (64, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_to_float_equals_torchvisions_to_tensor(images: Tensor) -> None:
    expected = ToTensor()(images[0, 0].numpy())
    assert torch.equal(transforms.to_float(images)[0], expected)


def test_normalization_takes_one_number_for_all_channels_or_one_for_each() -> None:
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    normalized = transforms.normalize_(images.clone(), mean, std)
    assert torch.equal(normalized, Normalize(mean, std)(images))
    assert torch.equal(transforms.normalize_(images.clone(), 0.1, 0.4), (images - 0.1) / 0.4)
    with pytest.raises(ValueError, match="shorter"):
        transforms.normalize_(images, mean[:2], std)


@pytest.mark.parametrize("size", [96, 224])
def test_resized_batch_equals_pil(size: int, fashion_mnist_root: Path) -> None:
    config = compose_settings(f"data.root={fashion_mnist_root}", f"data.resize={size}")["data"]
    settings = {key: value for key, value in config.items() if key != "_target_"}
    data = FashionMNIST(**settings)
    images, labels = data.load(train=False)
    images, labels = images[:200], labels[:200]
    inputs, _ = data.on_after_batch_transfer((images, labels), 0)
    resize_with_pil = Compose([Resize(size), ToTensor()])
    expected = torch.stack([resize_with_pil(Image.fromarray(image.numpy())) for image in images[:, 0]])
    assert inputs.shape == (200, 1, size, size)
    assert (inputs - expected).abs().max() <= 1 / 255 + 1e-6
