"""Augmentation that mixes each image, and its class, with another one of the batch."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.distributions import Beta

from cnn_experiments.data.augmentation.checks import check_alpha, check_probability
from cnn_experiments.data.augmentation.rectangles import rectangle_mask


class BatchMix(ABC):
    """What mixes the images of a batch, and their classes in the same shares, after they have been normalized."""

    @abstractmethod
    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return mixed inputs and targets of the same shapes and types.

        Args:
            inputs: float (N, C, H, W), what the network would see.
            targets: float (N, num_classes), the share of each class; they sum to 1.
        """


class MixUp(BatchMix):
    """Mix each image with the one before it in the batch (Zhang et al., 2018, arXiv 1710.09412).

    Unlike in the paper, the share of the image is drawn for each image, and not for the batch. torchvision's MixUp
    draws it for the batch, too.

    Args:
        alpha: the share of the image is Beta(alpha, alpha) distributed.
        p: the probability that an image is mixed.
    """

    def __init__(self, alpha: float, p: float) -> None:
        self.alpha = check_alpha(alpha)
        self.p = check_probability(p)

    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        shares = _random_shares(self.alpha, inputs)
        is_mixed = torch.rand(len(inputs), device=inputs.device) < self.p
        shares = torch.where(is_mixed, shares, 1.0)[:, None]
        mixed_targets = shares * targets + (1 - shares) * targets.roll(1, 0)
        shares = shares[..., None, None]
        return shares * inputs + (1 - shares) * inputs.roll(1, 0), mixed_targets


class CutMix(BatchMix):
    """Put a rectangle of the image before it in the batch into each image (Yun et al., 2019, arXiv 1905.04899).

    Unlike in the paper, the rectangle is drawn for each image, and not for the batch. torchvision's CutMix draws it for
    the batch too.

    Args:
        alpha: the share of the image is Beta(alpha, alpha) distributed, before the rectangle is clipped to the image.
        p: the probability that a rectangle of an image is replaced.
    """

    def __init__(self, alpha: float, p: float) -> None:
        self.alpha = check_alpha(alpha)
        self.p = check_probability(p)

    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        num_images, _, height, width = inputs.shape
        side = (1 - _random_shares(self.alpha, inputs)).sqrt()[:, None]
        is_mixed = torch.rand(num_images, 1, device=inputs.device) < self.p
        y = torch.randint(height, (num_images, 1), device=inputs.device)
        x = torch.randint(width, (num_images, 1), device=inputs.device)
        half_height, half_width = (side * height / 2).floor(), (side * width / 2).floor()
        top, bottom = (y - half_height).clamp(min=0), (y + half_height).clamp(max=height)
        left, right = (x - half_width).clamp(min=0), (x + half_width).clamp(max=width)
        replaced = rectangle_mask(top, bottom, left, right, height, width) & is_mixed[..., None, None]
        replaced_shares = (bottom - top) * (right - left) * is_mixed / (height * width)
        mixed = torch.where(replaced, inputs.roll(1, 0), inputs)
        return mixed, (1 - replaced_shares) * targets + replaced_shares * targets.roll(1, 0)


def _random_shares(alpha: float, inputs: Tensor) -> Tensor:
    """Return a share for each image, float32 (N,), on their device."""
    concentration = torch.full((len(inputs),), float(alpha), device=inputs.device)
    shares: Tensor = Beta(concentration, concentration, validate_args=False).sample()
    return shares
