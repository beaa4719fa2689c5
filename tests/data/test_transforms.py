"""Tests of augmentation, resizing, conversion and normalization of batches."""

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


def test_flip_mirrors_about_half_of_the_images(images: Tensor) -> None:
    torch.manual_seed(0)
    flipped = transforms.random_horizontal_flip(images)
    is_mirrored = [torch.equal(after, before.flip(-1)) for before, after in zip(images, flipped, strict=True)]
    is_unchanged = [torch.equal(after, before) for before, after in zip(images, flipped, strict=True)]
    assert all(a != b for a, b in zip(is_mirrored, is_unchanged, strict=True))
    assert 16 < sum(is_mirrored) < 48


def test_crop_shifts_each_image_independently(images: Tensor) -> None:
    torch.manual_seed(0)
    cropped = transforms.random_crop(images)
    padded = torch.nn.functional.pad(images, [4] * 4)
    offsets = set()
    for before, after in zip(padded, cropped, strict=True):
        matches = [(y, x) for y in range(9) for x in range(9) if torch.equal(before[:, y : y + 28, x : x + 28], after)]
        assert len(matches) == 1
        offsets.add(matches[0])
    assert len(offsets) > 30


def test_erasing_fills_a_rectangle_in_about_half_of_the_images() -> None:
    torch.manual_seed(0)
    black = torch.zeros(2000, 2, 28, 20, dtype=torch.uint8)
    changed = transforms.random_erasing(black) > 0
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


def test_augmentations_are_reproducible_with_the_generator(images: Tensor) -> None:
    torch.manual_seed(3)
    augmented = transforms.augment(images, "crop_flip_erase")
    torch.manual_seed(3)
    assert torch.equal(transforms.augment(images, "crop_flip_erase"), augmented)
    assert torch.equal(transforms.augment(images, "none"), images)


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
