"""Bytes into network inputs."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from cnn_experiments.data import FashionMNIST
from cnn_experiments.data import transforms as pixels
from tests.conftest import configured


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(1, 256, (64, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_flip_mirrors_about_half_of_the_images(images: Tensor) -> None:
    torch.manual_seed(0)
    flipped = pixels.flip(images)
    mirrored = [torch.equal(after, before.flip(-1)) for before, after in zip(images, flipped, strict=True)]
    same = [torch.equal(after, before) for before, after in zip(images, flipped, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48


def test_crop_moves_every_image_on_its_own(images: Tensor) -> None:
    torch.manual_seed(0)
    cropped = pixels.crop(images)
    padded = torch.nn.functional.pad(images, [4] * 4)
    moves = set()
    for before, after in zip(padded, cropped, strict=True):
        found = [(y, x) for y in range(9) for x in range(9) if torch.equal(before[:, y : y + 28, x : x + 28], after)]
        assert len(found) == 1
        moves.add(found[0])
    assert len(moves) > 30


def test_erase_fills_a_rectangle_of_about_half_of_the_images() -> None:
    torch.manual_seed(0)
    black = torch.zeros(2000, 2, 28, 20, dtype=torch.uint8)
    changed = pixels.erase(black) > 0
    shares, proportions, filled = [], [], []
    for image in changed:
        if not image.any():
            continue
        rows, columns = image.any(0).any(1).nonzero().flatten(), image.any(0).any(0).nonzero().flatten()
        tall, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        shares.append(tall * wide / (28 * 20))
        proportions.append(tall / wide)
        filled.append(image.sum().item() / (2 * tall * wide))
    assert 900 < len(shares) < 1100
    assert min(shares) == pytest.approx(0.02, abs=0.01)
    assert max(shares) == pytest.approx(0.40, abs=0.02)
    assert 0.19 < sum(shares) / len(shares) < 0.22  # of 0.02 to 0.40, but for what is cut off
    assert min(proportions) < 0.35
    assert max(proportions) > 3
    assert min(filled) > 0.9  # noise, but for the zeros among it, in all channels
    assert sum(filled) / len(filled) == pytest.approx(255 / 256, abs=1e-3)
    assert changed[:, :, 0].any()
    assert changed[:, :, -1].any()
    assert changed[..., 0].any()
    assert changed[..., -1].any()


def test_augmentations_repeat_with_the_generator(images: Tensor) -> None:
    torch.manual_seed(3)
    first = pixels.AUGMENTATIONS["crop_flip_erase"](images)
    torch.manual_seed(3)
    assert torch.equal(pixels.AUGMENTATIONS["crop_flip_erase"](images), first)
    assert torch.equal(pixels.AUGMENTATIONS["none"](images), images)


def test_scale_is_to_tensors(images: Tensor) -> None:
    expected = transforms.ToTensor()(images[0, 0].numpy())
    assert torch.equal(pixels.scale(images)[0], expected)


@pytest.mark.parametrize("size", [96, 224])
def test_resized_batch_is_pils(size: int, fashion_mnist_root: Path) -> None:
    config = configured(f"data.root={fashion_mnist_root}", f"data.resize={size}").data
    settings = {key: value for key, value in config.items() if key != "_target_"}
    data = FashionMNIST(**settings)
    stored, labels = data.load(train=False)
    stored, labels = stored[:200], labels[:200]
    inputs, _ = data.on_after_batch_transfer((stored, labels), 0)
    through_pil = transforms.Compose([transforms.Resize(size), transforms.ToTensor()])
    expected = torch.stack([through_pil(Image.fromarray(image.numpy())) for image in stored[:, 0]])
    assert inputs.shape == (200, 1, size, size)
    assert (inputs - expected).abs().max() <= 1 / 255 + 1e-6
