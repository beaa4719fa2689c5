"""Tests of the order in which transforms and mixes are applied."""

import torch
from torch import Tensor
from torch.nn import functional as F

from cnn_experiments.data.augmentation import AugmentationPipeline, BatchMix

IMAGES = torch.full((4, 1, 2, 2), 10, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 2, 0])


class Swap(BatchMix):
    """Replaces the images of a batch, and keeps their classes."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(inputs, self.value), targets.flip(0)


def test_transforms_are_applied_in_their_order() -> None:
    parts = {"double": lambda images: images * 2, "add": lambda images: images + 1}
    assert AugmentationPipeline(parts).transform(IMAGES).unique().tolist() == [21]
    reversed_parts = dict(reversed(parts.items()))
    assert AugmentationPipeline(reversed_parts).transform(IMAGES).unique().tolist() == [22]


def test_without_mixes_targets_stay_labels_and_nothing_is_drawn() -> None:
    state = torch.get_rng_state()
    inputs, targets = AugmentationPipeline({"double": lambda images: images * 2}).mix(IMAGES / 255, LABELS, 3)
    assert torch.equal(inputs, IMAGES / 255)
    assert targets is LABELS
    assert torch.equal(torch.get_rng_state(), state)


def test_mix_gets_the_shares_of_the_classes() -> None:
    pipeline = AugmentationPipeline({"swap": Swap(0.5), "double": lambda images: images * 2})
    assert torch.equal(pipeline.transform(IMAGES), IMAGES * 2)
    inputs, targets = pipeline.mix(IMAGES / 255, LABELS, 3)
    assert inputs.unique().tolist() == [0.5]
    assert torch.equal(targets, F.one_hot(LABELS, 3).float().flip(0))


def test_one_of_several_mixes_is_chosen_for_each_batch() -> None:
    torch.manual_seed(0)
    pipeline = AugmentationPipeline({"half": Swap(0.5), "quarter": Swap(0.25)})
    values = [pipeline.mix(IMAGES / 255, LABELS, 3)[0].unique().tolist() for _ in range(200)]
    assert 70 < values.count([0.5]) < 130
    assert values.count([0.5]) + values.count([0.25]) == 200
