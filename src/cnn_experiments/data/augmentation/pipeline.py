"""What is applied to the images of the training, in which order."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from cnn_experiments.data.augmentation.mixing import BatchMix

Augmentation = Callable[[Tensor], Tensor] | BatchMix
"""Maps uint8 images (N, C, H, W) to such images of the same shape, or mixes inputs and targets."""


class AugmentationPipeline:
    """Apply transforms to uint8 images in their order, and mix what the network will see of them.

    Of several parts that mix, one is chosen at random for each batch, all with the same probability.

    Args:
        parts: transforms and mixes, by name.
    """

    def __init__(self, parts: Mapping[str, Augmentation]) -> None:
        self.transforms = {name: part for name, part in parts.items() if not isinstance(part, BatchMix)}
        self.mixes = {name: part for name, part in parts.items() if isinstance(part, BatchMix)}

    def transform(self, images: Tensor) -> Tensor:
        """Return transformed images, uint8 (N, C, H, W)."""
        for transform in self.transforms.values():
            images = transform(images)
        return images

    def mix(self, inputs: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets: mixed, with the shares of the classes (N, num_classes), or else as they are.

        Args:
            inputs: float (N, C, H, W).
            labels: int64 (N,).
            num_classes: the number of classes.
        """
        if not self.mixes:
            return inputs, labels
        mixes = list(self.mixes.values())
        place = int(torch.randint(len(mixes), ())) if len(mixes) > 1 else 0
        return mixes[place](inputs, F.one_hot(labels, num_classes).to(inputs.dtype))
