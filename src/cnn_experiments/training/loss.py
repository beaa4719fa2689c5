"""Losses: modules that are called with logits (N, num_classes) and targets, and return a scalar.

Targets are class numbers, int64 (N,), or after MixUp and CutMix the shares of the classes, float (N, num_classes). A
loss is in training mode for training steps, and in evaluation mode for evaluations.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_experiments.arguments import ArgumentError

ClassWeights = Sequence[float] | Literal["balanced"] | None


class ClassWeightedLoss(nn.Module):
    """A loss in which classes may have weights, which count in training alone.

    Args:
        class_weights: the weight of each class; `balanced` for weights inverse to the number of training images of the
            class, with which the mean weight of a training image is 1; None for equal weights.

    Raises:
        ArgumentError: the weights are neither.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: ClassWeights) -> None:
        super().__init__()
        weights = list(class_weights) if isinstance(class_weights, list | tuple) else []
        is_valid = all(isinstance(weight, int | float) and weight >= 0 for weight in weights) and any(weights)
        if class_weights not in (None, "balanced") and not is_valid:
            problem = "must be null, balanced, or a list with the weight of each class, none of them below 0"
            raise ArgumentError("class_weights", class_weights, problem)
        self.is_balanced = class_weights == "balanced"
        self.register_buffer("class_weights", torch.tensor(weights).float() if weights else None, persistent=False)

    def set_class_counts(self, counts: Tensor) -> None:
        """Compute the weights of balanced classes.

        Args:
            counts: the number of training images of each class, int64 (num_classes,).
        """
        self.class_weights = (counts.sum() / (len(counts) * counts.clamp(min=1))).float()

    @property
    def training_weights(self) -> Tensor | None:
        """Return the weights of the classes, (num_classes,), in training mode; else None."""
        return self.class_weights if self.training else None


class CrossEntropy(ClassWeightedLoss):
    """Cross-entropy, in training with label smoothing (Szegedy et al., 2016, arXiv 1512.00567) and class weights.

    Args:
        label_smoothing: the fraction of the target that is spread over all classes, in [0, 1).
        class_weights: see ClassWeightedLoss.
    """

    def __init__(self, label_smoothing: float, class_weights: ClassWeights) -> None:
        super().__init__(class_weights)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss, a scalar."""
        smoothing = self.label_smoothing if self.training else 0.0
        return F.cross_entropy(logits, targets, weight=self.training_weights, label_smoothing=smoothing)


class FocalLoss(ClassWeightedLoss):
    """Focal loss (Lin et al., 2017, arXiv 1708.02002): cross-entropy in which well-classified images count less.

    Args:
        gamma: the exponent of 1 - p, where p is the probability of the target; 0 is cross-entropy.
        class_weights: see ClassWeightedLoss; the paper's alpha.

    Raises:
        ArgumentError: `gamma` is negative.
    """

    def __init__(self, gamma: float, class_weights: ClassWeights) -> None:
        super().__init__(class_weights)
        if gamma < 0:
            raise ArgumentError("gamma", gamma, "must be a number >= 0")
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss, a scalar; for shares of classes, that of each class in its share."""
        log_probabilities = F.log_softmax(logits, dim=1)
        is_soft = targets.is_floating_point()
        shares = (targets if is_soft else F.one_hot(targets, logits.shape[1])).to(logits.dtype)
        if (weights := self.training_weights) is not None:
            shares = shares * weights.to(logits.dtype)
        # Zero has no finite gradient for a gamma below 1.
        complement = -torch.expm1(log_probabilities).clamp(max=-torch.finfo(logits.dtype).tiny)
        total = -(shares * complement**self.gamma * log_probabilities).sum()
        return total / (len(logits) if is_soft else shares.sum())  # as in torch's cross-entropy
