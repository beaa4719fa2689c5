"""Tests of TrivialAugment and RandAugment, and of their operations against torchvision's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation import RandAugment, TrivialAugmentWide, operations
from cnn_experiments.data.augmentation.random_operations import OperationSpace

NEAREST = InterpolationMode.NEAREST
Expected = Callable[[Tensor, float], Tensor]


def shear(image: Tensor, x: float, y: float) -> Tensor:
    """Return what torchvision's TrivialAugment makes: a shear whose tangent is the magnitude, from the top left."""
    degrees = [torch.rad2deg(torch.atan(torch.tensor(value))).item() for value in (x, y)]
    return v2.affine(image, 0.0, [0, 0], 1.0, degrees, NEAREST, center=[0, 0])


OPERATIONS: dict[str, tuple[Callable[..., Tensor], Expected, list[float]]] = {
    "translate_x": (operations.translate_x, lambda image, m: v2.affine(image, 0.0, [int(m), 0], 1.0, [0.0, 0.0], NEAREST), [3.0, -7.9, 0.0]),
    "translate_y": (operations.translate_y, lambda image, m: v2.affine(image, 0.0, [0, int(m)], 1.0, [0.0, 0.0], NEAREST), [3.0, -7.9, 0.0]),
    "brightness": (operations.adjust_brightness, lambda image, m: v2.adjust_brightness(image, 1 + m), [0.5, -0.6, 0.0]),
    "color": (operations.adjust_color, lambda image, m: v2.adjust_saturation(image, 1 + m), [0.5, -0.6, 0.0]),
    "contrast": (operations.adjust_contrast, lambda image, m: v2.adjust_contrast(image, 1 + m), [0.5, -0.6, 0.0]),
    "sharpness": (operations.adjust_sharpness, lambda image, m: v2.adjust_sharpness(image, 1 + m), [0.5, -0.6, 0.0]),
    "posterize": (operations.posterize, lambda image, m: v2.posterize(image, int(m)), [2.0, 5.0, 8.0]),
    "solarize": (operations.solarize, lambda image, m: v2.solarize(image, 255 * m), [0.2, 0.7, 1.0]),
    "autocontrast": (operations.autocontrast, lambda image, _: v2.autocontrast(image), [0.0, 0.0, 0.0]),
    "equalize": (operations.equalize, lambda image, _: v2.equalize(image), [0.0, 0.0, 0.0]),
    "identity": (operations.identity, lambda image, _: image, [0.0, 0.0, 0.0]),
}  # fmt: skip
WARPS = ("translate_x", "translate_y")


@pytest.fixture(params=[1, 3])
def images(request: pytest.FixtureRequest) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, request.param, 5, 5, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, (24, 20), mode="bicubic").clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_of_each_image_is_that_of_torchvision(images: Tensor, name: str) -> None:
    operation, expected, magnitudes = OPERATIONS[name]
    interpolation = {"interpolation": "nearest"} if name in WARPS else {}
    results = operation(images, torch.tensor(magnitudes), **interpolation)
    for image, result, magnitude in zip(images, results, magnitudes, strict=True):
        difference = (result.int() - expected(image, magnitude).int()).abs().max()
        assert difference <= 1, (name, magnitude)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [(operations.shear_x, lambda image, m: shear(image, m, 0.0)), (operations.shear_y, lambda image, m: shear(image, 0.0, m))],
    ids=["shear_x", "shear_y"],
)  # fmt: skip
def test_shears_are_those_of_torchvision(images: Tensor, operation: Callable[..., Tensor], expected: Expected) -> None:
    magnitudes = [0.3, -0.9, 0.0]
    results = operation(images, torch.tensor(magnitudes), interpolation="nearest")
    for image, result, magnitude in zip(images, results, magnitudes, strict=True):
        # A place that is halfway between two pixels may be rounded to the other one.
        assert ((result.int() - expected(image, magnitude).int()).abs() > 1).float().mean() < 0.03
    assert torch.equal(results[2], images[2])


def test_magnitudes_are_those_of_torchvisions_wide_space() -> None:
    from torchvision.transforms.v2 import TrivialAugmentWide as Reference

    magnitudes = TrivialAugmentWide.SPACE.magnitudes(31)
    for row, (name, (function, _)) in zip(magnitudes, Reference._AUGMENTATION_SPACE.items(), strict=True):
        expected = function(31, 20, 24)
        if name == "Solarize":
            torch.testing.assert_close(row, expected)
        elif expected is not None:
            torch.testing.assert_close(row, expected.to(row.dtype), msg=name)


def test_randaugments_magnitudes_are_those_of_torchvision() -> None:
    from torchvision.transforms.v2 import RandAugment as Reference

    height, width = 24, 20
    space = OperationSpace(
        shear=0.3, translate_x=150 / 331 * width, translate_y=150 / 331 * height, rotate=30.0, blend=0.9, posterize=4
    )
    for row, (name, (function, _)) in zip(space.magnitudes(31), Reference._AUGMENTATION_SPACE.items(), strict=True):
        expected = function(31, height, width)
        if expected is not None:
            torch.testing.assert_close(row, expected.to(row.dtype), msg=name)


@pytest.mark.parametrize(
    "augment",
    [TrivialAugmentWide(31, "nearest"), RandAugment(2, 9, 31, "bilinear")],
    ids=["trivial_augment", "rand_augment"],
)
def test_each_image_gets_operations_of_its_own(augment: Callable[[Tensor], Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(256, (1, 3, 16, 16), dtype=torch.uint8, generator=generator)
    copies = image.repeat(200, 1, 1, 1)
    torch.manual_seed(0)
    results = augment(copies)
    assert (results.dtype, results.shape) == (torch.uint8, copies.shape)
    assert torch.equal(copies, image.expand_as(copies))
    assert len({result.numpy().tobytes() for result in results}) > 60
    torch.manual_seed(0)
    assert torch.equal(augment(copies), results)


def test_wrong_arguments_are_rejected() -> None:
    with pytest.raises(ArgumentError, match="num_magnitude_bins=1: must be at least 2"):
        TrivialAugmentWide(1, "nearest")
    with pytest.raises(ArgumentError, match=r"magnitude=31: must be in 0\.\.30, as num_magnitude_bins is 31"):
        RandAugment(2, 31, 31, "nearest")
    with pytest.raises(ArgumentError, match="num_ops=0"):
        RandAugment(0, 9, 31, "nearest")


def test_images_of_other_channels_are_rejected() -> None:
    with pytest.raises(ValueError, match="needs images of 1 or 3 channels, not 2"):
        TrivialAugmentWide(31, "nearest")(torch.zeros(2, 2, 8, 8, dtype=torch.uint8))
