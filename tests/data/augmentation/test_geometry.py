"""Tests of flips, crops, rotations and affine maps of batches."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation import RandomAffine, RandomCrop, RandomHorizontalFlip, RandomRotation
from cnn_experiments.data.augmentation.warping import rotation_matrices, warp, warp_matrices

MODES = {"nearest": InterpolationMode.NEAREST, "bilinear": InterpolationMode.BILINEAR}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(1, 256, (64, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def smooth_images(num_images: int, channels: int, height: int, width: int) -> Tensor:
    """Return images without sharp edges, of which interpolated values depend little on how places are rounded."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(num_images, channels, 4, 4, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).to(torch.uint8)


def test_flip_mirrors_about_half_of_the_images(images: Tensor) -> None:
    torch.manual_seed(0)
    flipped = RandomHorizontalFlip(p=0.5)(images)
    is_mirrored = [torch.equal(after, before.flip(-1)) for before, after in zip(images, flipped, strict=True)]
    is_unchanged = [torch.equal(after, before) for before, after in zip(images, flipped, strict=True)]
    assert all(a != b for a, b in zip(is_mirrored, is_unchanged, strict=True))
    assert 16 < sum(is_mirrored) < 48
    assert torch.equal(RandomHorizontalFlip(p=1.0)(images), images.flip(-1))
    assert torch.equal(RandomHorizontalFlip(p=0.0)(images), images)


def test_crop_shifts_each_image_independently(images: Tensor) -> None:
    torch.manual_seed(0)
    cropped = RandomCrop(padding=4)(images)
    padded = torch.nn.functional.pad(images, [4] * 4)
    offsets = set()
    for before, after in zip(padded, cropped, strict=True):
        matches = [(y, x) for y in range(9) for x in range(9) if torch.equal(before[:, y : y + 28, x : x + 28], after)]
        assert len(matches) == 1
        offsets.add(matches[0])
    assert len(offsets) > 30


@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 17, 24)])
def test_rotations_are_those_of_torchvision(channels: int, height: int, width: int, interpolation: str) -> None:
    angles = torch.tensor([0.0, 10.0, -33.3, 90.0, 179.0])
    before = smooth_images(len(angles), channels, height, width)
    after = warp(before, rotation_matrices(angles), interpolation)
    for image, rotated, angle in zip(before, after, angles.tolist(), strict=True):
        expected = v2.rotate(image, angle, MODES[interpolation])
        differences = (rotated.int() - expected.int()).abs()
        # A place that is halfway between two pixels may be rounded to the other one.
        assert (differences > 1).float().mean() < (0.05 if interpolation == "nearest" else 0.001)
    assert torch.equal(after[0], before[0])


@pytest.mark.parametrize("interpolation", MODES)
def test_affine_maps_are_those_of_torchvision(interpolation: str) -> None:
    angles, shears = torch.tensor([0.0, 20.0, -45.0, 5.0]), torch.tensor([0.0, 8.0, 0.0, -15.0])
    scales, shifts = torch.tensor([1.0, 1.2, 0.8, 0.95]), torch.tensor([[0.0, 3.0, -2.0, 1.0], [0.0, -4.0, 0.0, 2.0]])
    before = smooth_images(4, 3, 20, 28)
    after = warp(before, warp_matrices(angles, shifts, scales, shears), interpolation)
    for place, (image, mapped) in enumerate(zip(before, after, strict=True)):
        expected = v2.affine(
            image,
            angle=angles[place].item(),
            translate=shifts[:, place].tolist(),
            scale=scales[place].item(),
            shear=[shears[place].item(), 0.0],
            interpolation=MODES[interpolation],
        )
        differences = (mapped.int() - expected.int()).abs()
        assert (differences > 1).float().mean() < 0.01
    assert torch.equal(after[0], before[0])


def test_angles_are_uniform_and_differ_between_images() -> None:
    """The angle is read off a line that is rotated."""
    image = torch.zeros(1, 1, 65, 65, dtype=torch.uint8)
    image[..., 32, 33:] = 255
    torch.manual_seed(0)
    rotated = RandomRotation(degrees=30.0, interpolation="bilinear")(image.repeat(400, 1, 1, 1)).float()
    coordinates = torch.arange(65) - 32.0
    x = (rotated * coordinates).sum((1, 2, 3)) / rotated.sum((1, 2, 3))
    y = (rotated * coordinates[:, None]).sum((1, 2, 3)) / rotated.sum((1, 2, 3))
    angles = torch.rad2deg(torch.atan2(y, x))
    assert angles.abs().max() < 30.5
    assert angles.min() < -28
    assert angles.max() > 28
    assert abs(angles.mean()) < 3
    assert angles.std() == pytest.approx(60 / math.sqrt(12), rel=0.1)


def test_affine_map_without_ranges_changes_nothing(images: Tensor) -> None:
    still = RandomAffine(degrees=0.0, translate=[0, 0], scale=[1, 1], shear=0.0, interpolation="bilinear")
    assert torch.equal(still(images), images)


def test_affine_map_shifts_by_whole_pixels(images: Tensor) -> None:
    shift = RandomAffine(degrees=0.0, translate=[0.1, 0.0], scale=[1, 1], shear=0.0, interpolation="bilinear")
    torch.manual_seed(0)
    padded = torch.nn.functional.pad(images, [3] * 4)
    offsets = []
    for before, after in zip(padded, shift(images), strict=True):
        (offset,) = [x for x in range(7) if torch.equal(before[:, 3:31, x : x + 28], after)]
        offsets.append(offset)
    assert set(offsets) == set(range(7))


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (lambda: RandomHorizontalFlip(1.5), "p=1.5: must be a probability in [0, 1]"),
        (lambda: RandomCrop(0), "padding=0: must be at least 1"),
        (lambda: RandomRotation(-1, "nearest"), "degrees=-1: must be the largest angle in degrees, >= 0 and < 360.1"),
        (lambda: RandomRotation(1, "cubic"), "interpolation=cubic: must be one of nearest, bilinear"),
        (
            lambda: RandomAffine(1, [2, 0], [1, 1], 0, "nearest"),
            "translate=[2, 0]: must be two shares in [0, 1], of the width and height",
        ),
        (lambda: RandomAffine(1, [0, 0], [2, 1], 0, "nearest"), "scale=[2, 1]: must be two numbers > 0, the smaller one first"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_rejected(build: Callable[[], object], line: str) -> None:
    with pytest.raises(ArgumentError) as error:
        build()
    assert str(error.value) == line
