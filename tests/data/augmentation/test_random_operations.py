"""Tests of TrivialAugment and RandAugment, and of each of their operations, against torchvision's on single images."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation import RandAugment, TrivialAugmentWide
from cnn_experiments.data.augmentation.random_operations import OperationSpace

INTERPOLATIONS = ("nearest", "bilinear")
NUM_BINS = 31
TRIVIAL_AUGMENT = v2.TrivialAugmentWide(NUM_BINS)
RAND_AUGMENT = v2.RandAugment()
OPERATIONS = tuple(TRIVIAL_AUGMENT._AUGMENTATION_SPACE)
EXACT = ("Identity", "TranslateX", "TranslateY", "Brightness", "Contrast", "Posterize", "Solarize", "AutoContrast",
         "Equalize")  # fmt: skip
WARPS = ("ShearX", "ShearY", "Rotate")

Reference = v2.TrivialAugmentWide | v2.RandAugment


def space_of(reference: Reference, height: int, width: int) -> OperationSpace:
    if reference is TRIVIAL_AUGMENT:
        return TrivialAugmentWide.SPACE
    return RandAugment.space(height, width)


def is_signed(reference: Reference, operation: str) -> bool:
    return bool(reference._AUGMENTATION_SPACE[operation][1])


def apply_torchvision(reference: Reference, image: Tensor, operation: str, magnitude: float, mode: str) -> Tensor:
    """Return a single image (C, H, W) after torchvision's operation."""
    result: Tensor = reference._apply_image_or_video_transform(
        image, operation, magnitude, interpolation=InterpolationMode(mode), fill={}
    )
    return result


def assert_equal_but_for_rounding(images: Tensor, expected: Tensor, operation: str, interpolation: str) -> None:
    """Compare images after an operation; some pixels of some operations may be rounded in the other direction."""
    assert (images.dtype, images.shape) == (torch.uint8, expected.shape)
    difference = (images.int() - expected.int()).abs()
    if operation in EXACT:
        assert difference.max() == 0
        return
    assert (difference > 0).float().mean() < 0.01
    if operation not in WARPS or interpolation == "bilinear":
        assert difference.max() <= 1


@pytest.mark.parametrize("reference", [TRIVIAL_AUGMENT, RAND_AUGMENT], ids=["trivial", "rand"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_magnitudes_are_those_of_torchvision(reference: Reference, operation: str) -> None:
    expected = reference._AUGMENTATION_SPACE[operation][0](NUM_BINS, 28, 20)
    magnitudes = space_of(reference, 28, 20).magnitudes(NUM_BINS)[OPERATIONS.index(operation)]
    assert torch.equal(magnitudes, torch.zeros(NUM_BINS) if expected is None else expected.float())


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("reference", [TRIVIAL_AUGMENT, RAND_AUGMENT], ids=["trivial", "rand"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_equals_that_of_torchvision_with_a_magnitude_for_each_image(
    images: Tensor, reference: Reference, operation: str, interpolation: str
) -> None:
    space, place = space_of(reference, 28, 20), OPERATIONS.index(operation)
    magnitudes = space.magnitudes(NUM_BINS)[place]
    if is_signed(reference, operation):
        magnitudes = torch.cat([magnitudes, -magnitudes])
    images = images[: len(magnitudes)]
    mapped = space.operations(interpolation)[place](images, magnitudes)
    expected = [
        apply_torchvision(reference, image, operation, float(magnitude), interpolation)
        for image, magnitude in zip(images, magnitudes, strict=True)
    ]
    assert_equal_but_for_rounding(mapped, torch.stack(expected), operation, interpolation)
    if operation not in ("Identity", "AutoContrast") and (operation, images.shape[1]) != ("Color", 1):
        assert not torch.equal(mapped, images)


def test_dark_images_of_little_contrast_are_stretched_and_equalized() -> None:
    images = torch.randint(20, 60, (4, 3, 28, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[0] = 7  # of one color
    for operation in ("AutoContrast", "Equalize"):
        mapped = TrivialAugmentWide.SPACE.operations("nearest")[OPERATIONS.index(operation)](images, torch.zeros(4))
        expected = [apply_torchvision(TRIVIAL_AUGMENT, image, operation, 0.0, "nearest") for image in images]
        assert torch.equal(mapped, torch.stack(expected))
        assert torch.equal(mapped[0], images[0])
        assert mapped[1:].amax() > 250


def test_images_of_two_pixels_a_side_are_mapped() -> None:
    images = torch.randint(256, (64, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert TrivialAugmentWide(NUM_BINS, "bilinear")(images).shape == images.shape


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_trivial_augment_applies_the_operation_that_was_drawn_to_each_image(images: Tensor, interpolation: str) -> None:
    torch.manual_seed(5)
    mapped = TrivialAugmentWide(NUM_BINS, interpolation)(images)
    torch.manual_seed(5)
    bins = torch.randint(NUM_BINS, (64,))
    choices = torch.randint(14, (64,))
    is_negative = torch.randint(2, (64,))
    assert set(choices.tolist()) == set(range(14))
    for i, image in enumerate(images):
        operation = OPERATIONS[choices[i]]
        magnitude = float(TrivialAugmentWide.SPACE.magnitudes(NUM_BINS)[choices[i], bins[i]])
        if is_signed(TRIVIAL_AUGMENT, operation) and is_negative[i]:
            magnitude = -magnitude
        expected = apply_torchvision(TRIVIAL_AUGMENT, image, operation, magnitude, interpolation)
        assert_equal_but_for_rounding(mapped[i], expected, operation, interpolation)


def test_rand_augment_applies_operations_of_one_magnitude_in_turn(images: Tensor) -> None:
    torch.manual_seed(5)
    mapped = RandAugment(num_ops=3, magnitude=9, num_magnitude_bins=NUM_BINS, interpolation="nearest")(images)
    torch.manual_seed(5)
    expected = images
    for _ in range(3):
        choices, is_negative = torch.randint(14, (64,)), torch.randint(2, (64,))
        results = []
        for i, image in enumerate(expected):
            operation = OPERATIONS[choices[i]]
            magnitudes = RAND_AUGMENT._AUGMENTATION_SPACE[operation][0](NUM_BINS, 28, 20)
            magnitude = 0.0 if magnitudes is None else float(magnitudes[9])
            if is_signed(RAND_AUGMENT, operation) and is_negative[i]:
                magnitude = -magnitude
            results.append(apply_torchvision(RAND_AUGMENT, image, operation, magnitude, "nearest"))
        expected = torch.stack(results)
    # A pixel that is rounded in the other direction may be equalized or solarized afterwards.
    assert (mapped != expected).float().mean() < 0.01


@pytest.mark.parametrize(
    "transform",
    [TrivialAugmentWide(NUM_BINS, "nearest"), RandAugment(2, 9, NUM_BINS, "bilinear")],
    ids=["trivial", "rand"],
)
def test_transform_depends_on_the_generator_alone(images: Tensor, transform: Callable[[Tensor], Tensor]) -> None:
    before = images.clone()
    torch.manual_seed(3)
    first, second = transform(images), transform(images)
    torch.manual_seed(3)
    assert torch.equal(transform(images), first)
    assert (first.dtype, first.shape) == (torch.uint8, images.shape)
    assert not torch.equal(first, second)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("transform", "arguments", "message"),
    [
        (TrivialAugmentWide, {"num_magnitude_bins": 1}, "num_magnitude_bins=1: must be at least 2"),
        (TrivialAugmentWide, {"interpolation": "cubic"}, "interpolation=cubic: must be one of nearest, bilinear"),
        (RandAugment, {"num_ops": 0}, "num_ops=0: must be at least 1"),
        (RandAugment, {"magnitude": 31}, "magnitude=31: must be in 0..30, as num_magnitude_bins is 31"),
        (RandAugment, {"magnitude": -1}, "magnitude=-1: must be in 0..30, as num_magnitude_bins is 31"),
        (RandAugment, {"num_magnitude_bins": 1}, "num_magnitude_bins=1: must be at least 2"),
        (RandAugment, {"interpolation": "cubic"}, "interpolation=cubic: must be one of nearest, bilinear"),
    ],
)
def test_argument_that_cannot_be_is_named(transform: type, arguments: dict[str, object], message: str) -> None:
    valid: dict[str, object] = {"num_magnitude_bins": NUM_BINS, "interpolation": "nearest"}
    if transform is RandAugment:
        valid |= {"num_ops": 2, "magnitude": 9}
    with pytest.raises(ArgumentError) as error:
        transform(**valid | arguments)
    assert str(error.value) == message


def test_images_of_two_channels_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"^needs images of 1 or 3 channels, not 2$"):
        TrivialAugmentWide(NUM_BINS, "nearest")(torch.zeros(2, 2, 8, 8, dtype=torch.uint8))
