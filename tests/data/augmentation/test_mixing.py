"""Tests of MixUp and CutMix against references that are written out image by image."""

from itertools import product
from math import floor, sqrt

import pytest
import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional as F

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation import BatchMix, CutMix, MixUp
from cnn_experiments.training.loss import CrossEntropy

NUM_CLASSES = 7
ALPHAS = (0.2, 1.0)


@pytest.fixture
def inputs(images: Tensor) -> Tensor:
    return images / 255


@pytest.fixture
def targets() -> Tensor:
    labels = torch.randint(NUM_CLASSES, (64,), generator=torch.Generator().manual_seed(1))
    return F.one_hot(labels, NUM_CLASSES).float()


def draw_shares(alpha: float) -> Tensor:
    concentration = torch.full((64,), alpha)
    shares: Tensor = Beta(concentration, concentration).sample()
    return shares


@pytest.mark.parametrize("alpha", ALPHAS)
def test_mixup_equals_the_reference(inputs: Tensor, targets: Tensor, alpha: float) -> None:
    torch.manual_seed(0)
    mixed, mixed_targets = MixUp(alpha=alpha, p=0.8)(inputs, targets)

    torch.manual_seed(0)
    shares, draws = draw_shares(alpha), torch.rand(64)
    num_mixed = 0
    for i in range(64):
        share, other = shares[i], i - 1  # the last one for the first one
        if draws[i] >= 0.8:
            share = torch.tensor(1.0)
        num_mixed += int(share < 1)
        assert torch.equal(mixed[i], share * inputs[i] + (1 - share) * inputs[other])
        for j in range(NUM_CLASSES):
            assert mixed_targets[i, j] == share * targets[i, j] + (1 - share) * targets[other, j]
    assert 40 < num_mixed < 62
    torch.testing.assert_close(mixed_targets.sum(1), torch.ones(64))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_cutmix_equals_the_reference(inputs: Tensor, targets: Tensor, alpha: float) -> None:
    torch.manual_seed(0)
    mixed, mixed_targets = CutMix(alpha=alpha, p=0.8)(inputs, targets)

    torch.manual_seed(0)
    shares, draws = draw_shares(alpha), torch.rand(64, 1)
    centers_y, centers_x = torch.randint(28, (64, 1)), torch.randint(20, (64, 1))
    num_replaced = []
    for i in range(64):
        other = i - 1
        # The share of the rectangle is 1 - share, and it has the shape of the image (section 3.1 of the paper).
        half_height = floor(sqrt(1 - shares[i]) * 28 / 2)
        half_width = floor(sqrt(1 - shares[i]) * 20 / 2)
        center_y, center_x = int(centers_y[i]), int(centers_x[i])
        rows = [y for y in range(28) if center_y - half_height <= y < center_y + half_height]
        columns = [x for x in range(20) if center_x - half_width <= x < center_x + half_width]
        pixels = list(product(rows, columns)) if draws[i] < 0.8 else []
        expected = inputs[i].clone()
        for y, x in pixels:
            expected[:, y, x] = inputs[other, :, y, x]
        assert torch.equal(mixed[i], expected)
        replaced_share = torch.tensor(len(pixels)) / (28 * 20)
        for j in range(NUM_CLASSES):
            assert mixed_targets[i, j] == (1 - replaced_share) * targets[i, j] + replaced_share * targets[other, j]
        num_replaced.append(len(pixels))
    assert 10 < sum(count == 0 for count in num_replaced) < 45
    assert max(num_replaced) > 200
    torch.testing.assert_close(mixed_targets.sum(1), torch.ones(64))


def test_loss_of_mixed_targets_is_the_mean_of_the_losses_of_both_classes(inputs: Tensor, targets: Tensor) -> None:
    torch.manual_seed(0)
    _, mixed_targets = MixUp(alpha=1.0, p=1.0)(inputs, targets)
    torch.manual_seed(0)
    shares, labels = draw_shares(1.0), targets.argmax(1)
    logits = torch.randn(64, NUM_CLASSES, generator=torch.Generator().manual_seed(3))
    losses = shares * F.cross_entropy(logits, labels, reduction="none")
    losses += (1 - shares) * F.cross_entropy(logits, labels.roll(1), reduction="none")
    torch.testing.assert_close(CrossEntropy(0.0, None)(logits, mixed_targets), losses.mean())


@pytest.mark.parametrize("mix", [MixUp(alpha=1.0, p=0.0), CutMix(alpha=1.0, p=0.0)], ids=["mixup", "cutmix"])
def test_no_image_is_mixed_with_probability_0(inputs: Tensor, targets: Tensor, mix: BatchMix) -> None:
    mixed, mixed_targets = mix(inputs, targets)
    assert torch.equal(mixed, inputs)
    assert torch.equal(mixed_targets, targets)


@pytest.mark.parametrize("mix", [MixUp(alpha=1.0, p=1.0), CutMix(alpha=1.0, p=1.0)], ids=["mixup", "cutmix"])
def test_mix_depends_on_the_generator_alone(inputs: Tensor, targets: Tensor, mix: BatchMix) -> None:
    before, targets_before = inputs.clone(), targets.clone()
    torch.manual_seed(3)
    first, second = mix(inputs, targets), mix(inputs, targets)
    torch.manual_seed(3)
    repeated = mix(inputs, targets)
    for index in range(2):
        assert torch.equal(repeated[index], first[index])
        assert not torch.equal(first[index], second[index])
    assert torch.equal(inputs, before)
    assert torch.equal(targets, targets_before)


@pytest.mark.parametrize("mix", [MixUp(alpha=1.0, p=1.0), CutMix(alpha=1.0, p=1.0)], ids=["mixup", "cutmix"])
def test_single_image_stays(inputs: Tensor, targets: Tensor, mix: BatchMix) -> None:
    mixed, mixed_targets = mix(inputs[:1], targets[:1])
    torch.testing.assert_close(mixed, inputs[:1])
    torch.testing.assert_close(mixed_targets, targets[:1])


@pytest.mark.parametrize("mix", [MixUp, CutMix])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0}, "alpha=0: must be a number > 0"),
        ({"alpha": float("nan")}, "alpha=nan: must be a number > 0"),
        ({"alpha": float("inf")}, "alpha=inf: must be a number > 0"),
        ({"p": 2}, "p=2: must be a probability in [0, 1]"),
    ],
)
def test_argument_that_cannot_be_is_named(mix: type, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ArgumentError) as error:
        mix(**{"alpha": 1.0, "p": 1.0} | arguments)
    assert str(error.value) == message
