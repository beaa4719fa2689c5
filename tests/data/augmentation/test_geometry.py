"""Tests of flips, crops, rotations and affine maps with parameters of its own for every image."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation import RandomAffine, RandomCrop, RandomHorizontalFlip, RandomRotation


def test_flip_mirrors_about_half_of_the_images(images: Tensor) -> None:
    torch.manual_seed(0)
    flipped = RandomHorizontalFlip(p=0.5)(images)
    is_mirrored = [torch.equal(after, before.flip(-1)) for before, after in zip(images, flipped, strict=True)]
    is_unchanged = [torch.equal(after, before) for before, after in zip(images, flipped, strict=True)]
    assert all(a != b for a, b in zip(is_mirrored, is_unchanged, strict=True))
    assert 16 < sum(is_mirrored) < 48
    assert torch.equal(RandomHorizontalFlip(p=0.0)(images), images)
    assert torch.equal(RandomHorizontalFlip(p=1.0)(images), images.flip(-1))


def test_crop_shifts_each_image_independently(images: Tensor) -> None:
    torch.manual_seed(0)
    cropped = RandomCrop(padding=4)(images)
    assert (cropped.dtype, cropped.shape) == (images.dtype, images.shape)
    padded = torch.nn.functional.pad(images, [4] * 4)
    offsets = set()
    for before, after in zip(padded, cropped, strict=True):
        matches = [(y, x) for y in range(9) for x in range(9) if torch.equal(before[:, y : y + 28, x : x + 20], after)]
        assert len(matches) == 1
        offsets.add(matches[0])
    assert len(offsets) > 30
    assert {y for y, _ in offsets} == {x for _, x in offsets} == set(range(9))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_rotation_equals_that_of_torchvision_for_each_image(images: Tensor, interpolation: str) -> None:
    torch.manual_seed(0)
    rotated = RandomRotation(degrees=180.0, interpolation=interpolation)(images)
    torch.manual_seed(0)
    angles = torch.empty(len(images)).uniform_(-180, 180)
    assert angles.min() < -150
    assert angles.max() > 150
    expected = [
        v2.rotate(image, float(angle), InterpolationMode(interpolation))
        for image, angle in zip(images, angles, strict=True)
    ]
    assert_equal_but_for_rounding(rotated, torch.stack(expected), interpolation)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_affine_map_equals_that_of_torchvision_for_each_image(images: Tensor, interpolation: str) -> None:
    affine = RandomAffine(degrees=90.0, translate=[0.3, 0.1], scale=[0.5, 2.0], shear=30.0, interpolation=interpolation)
    torch.manual_seed(0)
    mapped = affine(images)
    torch.manual_seed(0)
    angles = torch.empty(len(images)).uniform_(-90, 90)
    right = torch.empty(len(images)).uniform_(-6, 6).round()  # 0.3 of 20 pixels
    down = torch.empty(len(images)).uniform_(-2.8, 2.8).round()  # 0.1 of 28 pixels
    scales = torch.empty(len(images)).uniform_(0.5, 2)
    shears = torch.empty(len(images)).uniform_(-30, 30)
    expected = [
        v2.affine(
            image,
            angle=float(angles[i]),
            translate=[int(right[i]), int(down[i])],
            scale=float(scales[i]),
            shear=[float(shears[i]), 0.0],
            interpolation=InterpolationMode(interpolation),
        )
        for i, image in enumerate(images)
    ]
    assert_equal_but_for_rounding(mapped, torch.stack(expected), interpolation)


def assert_equal_but_for_rounding(images: Tensor, expected: Tensor, interpolation: str) -> None:
    """Compare images of which gray levels between two, or pixels halfway between two, may be rounded differently."""
    assert (images.dtype, images.shape) == (torch.uint8, expected.shape)
    difference = (images.int() - expected.int()).abs()
    assert (difference > 0).float().mean() < 1e-3
    if interpolation == "bilinear":
        assert difference.max() <= 1


def test_maps_without_a_range_change_nothing(images: Tensor) -> None:
    for interpolation in ("nearest", "bilinear"):
        assert torch.equal(RandomRotation(0.0, interpolation)(images), images)
        assert torch.equal(RandomAffine(0.0, [0.0, 0.0], [1.0, 1.0], 0.0, interpolation)(images), images)


@pytest.mark.parametrize(
    "transform",
    [
        RandomHorizontalFlip(p=0.5),
        RandomCrop(padding=2),
        RandomRotation(degrees=15.0, interpolation="bilinear"),
        RandomAffine(degrees=10.0, translate=[0.1, 0.1], scale=[0.9, 1.1], shear=5.0, interpolation="nearest"),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_transform_depends_on_the_generator_alone(images: Tensor, transform: RandomCrop) -> None:
    before = images.clone()
    torch.manual_seed(3)
    first, second = transform(images), transform(images)
    torch.manual_seed(3)
    assert torch.equal(transform(images), first)
    assert not torch.equal(first, second)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("transform", "arguments", "message"),
    [
        (RandomHorizontalFlip, {"p": 1.1}, "p=1.1: must be a probability in [0, 1]"),
        (RandomHorizontalFlip, {"p": float("nan")}, "p=nan: must be a probability in [0, 1]"),
        (RandomCrop, {"padding": 0}, "padding=0: must be at least 1"),
        (RandomRotation, {"degrees": -1.0}, "degrees=-1.0: must be the largest angle in degrees, >= 0 and <= 360"),
        (RandomRotation, {"degrees": 361.0}, "degrees=361.0: must be the largest angle in degrees, >= 0 and <= 360"),
        (RandomRotation, {"interpolation": "cubic"}, "interpolation=cubic: must be one of nearest, bilinear"),
        (RandomAffine, {"degrees": -1.0}, "degrees=-1.0: must be the largest angle in degrees, >= 0 and <= 360"),
        (RandomAffine, {"translate": [0.1]}, "translate=[0.1]: must be two shares in [0, 1], of the width and height"),
        (RandomAffine, {"translate": [0.1, 2]}, "translate=[0.1, 2]: must be two shares in [0, 1], of the width and height"),
        (RandomAffine, {"scale": [1.1, 0.9]}, "scale=[1.1, 0.9]: must be two numbers > 0, the smaller one first"),
        (RandomAffine, {"scale": [0, 1]}, "scale=[0, 1]: must be two numbers > 0, the smaller one first"),
        (RandomAffine, {"shear": 90.0}, "shear=90.0: must be the largest angle in degrees, >= 0 and < 90"),
        (RandomAffine, {"interpolation": "cubic"}, "interpolation=cubic: must be one of nearest, bilinear"),
    ],
)  # fmt: skip
def test_argument_that_cannot_be_is_named(transform: type, arguments: dict[str, object], message: str) -> None:
    valid: dict[type, dict[str, object]] = {
        RandomHorizontalFlip: {"p": 0.5},
        RandomCrop: {"padding": 4},
        RandomRotation: {"degrees": 10.0, "interpolation": "nearest"},
        RandomAffine: {
            "degrees": 10.0,
            "translate": [0.1, 0.1],
            "scale": [0.9, 1.1],
            "shear": 5.0,
            "interpolation": "nearest",
        },
    }
    with pytest.raises(ArgumentError) as error:
        transform(**valid[transform] | arguments)
    assert str(error.value) == message
