"""Tests of the losses."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.training.loss import CrossEntropy, FocalLoss

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 2, 2, 1])
SHARES = torch.softmax(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), dim=1)


def focal_reference(gamma: float, weights: list[float]) -> float:
    """Return the loss as the paper writes it, image by image."""
    total = 0.0
    for logits, label in zip(LOGITS.double(), LABELS.tolist(), strict=True):
        p = (logits.exp() / logits.exp().sum())[label].item()
        total += -weights[label] * (1 - p) ** gamma * math.log(p)
    return total / sum(weights[label] for label in LABELS.tolist())


@pytest.mark.parametrize("targets", [LABELS, SHARES], ids=["labels", "shares"])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5]])
def test_cross_entropy_is_smoothed_and_weighted_in_training_alone(targets: Tensor, weights: list[float] | None) -> None:
    loss = CrossEntropy(label_smoothing=0.1, class_weights=weights)
    weight = None if weights is None else torch.tensor(weights)
    assert torch.equal(loss(LOGITS, targets), F.cross_entropy(LOGITS, targets, weight, label_smoothing=0.1))
    assert torch.equal(loss.eval()(LOGITS, targets), F.cross_entropy(LOGITS, targets))


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [1.0, 2.0, 0.5]])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_is_that_of_the_paper(gamma: float, weights: list[float]) -> None:
    assert FocalLoss(gamma, weights)(LOGITS, LABELS).item() == pytest.approx(focal_reference(gamma, weights), rel=1e-5)


@pytest.mark.parametrize("targets", [LABELS, SHARES], ids=["labels", "shares"])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5]])
def test_focal_loss_without_gamma_is_cross_entropy(targets: Tensor, weights: list[float] | None) -> None:
    focal, cross_entropy = FocalLoss(0.0, weights), CrossEntropy(0.0, weights)
    torch.testing.assert_close(focal(LOGITS, targets), cross_entropy(LOGITS, targets))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_certain_images_has_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]], requires_grad=True)
    FocalLoss(gamma, None)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", [CrossEntropy(0.0, "balanced"), FocalLoss(2.0, "balanced")], ids=["ce", "focal"])
def test_balanced_classes_count_the_same_whatever_their_number_of_images(loss: Any) -> None:
    loss.set_class_counts(torch.tensor([1, 2, 3]))
    assert loss.class_weights.tolist() == [2.0, 1.0, pytest.approx(2 / 3)]
    assert (loss.class_weights * torch.tensor([1, 2, 3])).sum() == pytest.approx(6)


def test_balanced_weight_of_a_class_without_images_is_finite() -> None:
    loss = CrossEntropy(0.0, "balanced")
    loss.set_class_counts(torch.tensor([4, 0]))
    assert loss.class_weights is not None
    assert loss.class_weights.isfinite().all()


@pytest.mark.parametrize("class_weights", ["inverse", [-1.0, 1.0], [0.0, 0.0], ["a"], 3, {"a": 1}, []])
def test_wrong_weights_are_rejected(class_weights: Any) -> None:
    with pytest.raises(ArgumentError) as error:
        CrossEntropy(0.0, class_weights)
    assert str(error.value) == (
        f"class_weights={class_weights}: must be null, balanced, or a list with the weight of each class, "
        "none of them below 0"
    )


def test_negative_gamma_is_rejected() -> None:
    with pytest.raises(ArgumentError, match="gamma=-1"):
        FocalLoss(-1.0, None)


def test_losses_have_no_state_in_checkpoints() -> None:
    losses: list[nn.Module] = [CrossEntropy(0.1, [1.0, 2.0]), FocalLoss(2.0, "balanced")]
    assert [loss.state_dict() for loss in losses] == [{}, {}]
