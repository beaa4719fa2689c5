"""Tests of MixUp and CutMix against references that are written out image by image."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional as F

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.augmentation import AugmentationPipeline, CutMix, MixUp
from cnn_experiments.training.loss import CrossEntropy

NUM_CLASSES = 4


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 3, 9, 12, generator=generator)
    labels = torch.randint(NUM_CLASSES, (50,), generator=generator)
    return inputs, F.one_hot(labels, NUM_CLASSES).float()


def draw_shares(alpha: float, num_images: int) -> Tensor:
    return Beta(torch.full((num_images,), alpha), torch.full((num_images,), alpha)).sample()


@pytest.mark.parametrize("p", [0.4, 1.0])
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_is_that_of_the_paper(batch: tuple[Tensor, Tensor], alpha: float, p: float) -> None:
    inputs, targets = batch
    torch.manual_seed(7)
    mixed_inputs, mixed_targets = MixUp(alpha, p)(inputs, targets)

    torch.manual_seed(7)
    shares, draws = draw_shares(alpha, len(inputs)), torch.rand(len(inputs))
    num_mixed = 0
    for place in range(len(inputs)):
        is_mixed = bool(draws[place] < p)
        num_mixed += is_mixed
        share = shares[place] if is_mixed else torch.tensor(1.0)
        other = place - 1  # the last one for the first
        assert torch.equal(mixed_inputs[place], share * inputs[place] + (1 - share) * inputs[other])
        assert torch.equal(mixed_targets[place], share * targets[place] + (1 - share) * targets[other])
    assert num_mixed == (50 if p == 1 else pytest.approx(20, abs=10))
    assert len(set(shares.tolist())) == 50


@pytest.mark.parametrize("p", [0.4, 1.0])
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_cutmix_is_that_of_the_paper(batch: tuple[Tensor, Tensor], alpha: float, p: float) -> None:
    inputs, targets = batch
    _, _, height, width = inputs.shape
    torch.manual_seed(7)
    mixed_inputs, mixed_targets = CutMix(alpha, p)(inputs, targets)

    torch.manual_seed(7)
    shares, draws = draw_shares(alpha, len(inputs)), torch.rand(len(inputs), 1)
    centers_y, centers_x = torch.randint(height, (len(inputs), 1)), torch.randint(width, (len(inputs), 1))
    for place in range(len(inputs)):
        expected, num_replaced = inputs[place].clone(), 0
        if draws[place] < p:
            side = (1 - shares[place]).sqrt().item()
            half_height, half_width = int(side * height / 2), int(side * width / 2)
            y, x = int(centers_y[place]), int(centers_x[place])
            for row in range(max(0, y - half_height), min(height, y + half_height)):
                for column in range(max(0, x - half_width), min(width, x + half_width)):
                    expected[:, row, column] = inputs[place - 1, :, row, column]
                    num_replaced += 1
        share = num_replaced / (height * width)
        assert torch.equal(mixed_inputs[place], expected)
        torch.testing.assert_close(
            mixed_targets[place], (1 - share) * targets[place] + share * targets[place - 1], rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("mix", [MixUp(1.0, 1.0), CutMix(1.0, 1.0)], ids=["mixup", "cutmix"])
def test_shares_of_the_classes_sum_to_one(batch: tuple[Tensor, Tensor], mix: MixUp | CutMix) -> None:
    torch.manual_seed(1)
    _, targets = mix(*batch)
    torch.testing.assert_close(targets.sum(1), torch.ones(50))
    assert targets.min() >= 0


def test_loss_of_mixed_targets_is_the_mean_of_the_losses_of_both_classes(batch: tuple[Tensor, Tensor]) -> None:
    inputs, targets = batch
    torch.manual_seed(7)
    _, mixed_targets = MixUp(1.0, 1.0)(inputs, targets)
    torch.manual_seed(7)
    shares = draw_shares(1.0, 50)
    logits = torch.randn(50, NUM_CLASSES, generator=torch.Generator().manual_seed(3))
    labels = targets.argmax(1)
    losses = shares * F.cross_entropy(logits, labels, reduction="none")
    losses += (1 - shares) * F.cross_entropy(logits, labels.roll(1), reduction="none")
    torch.testing.assert_close(CrossEntropy(0.0, None)(logits, mixed_targets), losses.mean())


def test_transforms_keep_their_order_and_one_of_several_mixes_is_chosen(batch: tuple[Tensor, Tensor]) -> None:
    inputs, targets = batch
    labels = targets.argmax(1)
    parts = {
        "double": lambda images: images * 2,
        "mixup": MixUp(1.0, 1.0),
        "increase": lambda images: images + 1,
        "cutmix": CutMix(1.0, 1.0),
    }
    pipeline = AugmentationPipeline(parts)
    images = torch.tensor([[[[3]]]], dtype=torch.uint8)
    assert pipeline.transform(images).item() == 7
    chosen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        mixed, _ = pipeline.mix(inputs, labels, NUM_CLASSES)
        chosen.add(bool(torch.isin(mixed, inputs).all()))  # CutMix has the values of both images
    assert chosen == {True, False}


def test_labels_stay_class_numbers_without_mixes(batch: tuple[Tensor, Tensor]) -> None:
    inputs, targets = batch
    labels = targets.argmax(1)
    assert AugmentationPipeline({}).mix(inputs, labels, NUM_CLASSES) == (inputs, labels)


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_wrong_arguments_are_rejected(kind: type[MixUp] | type[CutMix]) -> None:
    with pytest.raises(ArgumentError, match="alpha=0: must be a number > 0"):
        kind(0, 1.0)
    with pytest.raises(ArgumentError, match="p=2"):
        kind(1.0, 2)
