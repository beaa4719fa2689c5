"""Augmentation of whole batches on their device, with parameters of its own for every image.

A transform maps uint8 images (N, C, H, W) to uint8 images of the same shape. A `BatchMix` mixes inputs of the network,
and their targets, with those of other images. All draw from torch's default generators, whose states checkpoints hold.

torchvision.transforms.v2 draws one parameter for a whole batch, and kornia 0.9 takes floating-point images, draws on
the CPU and chooses one operation of TrivialAugment for a whole batch. This is why these are own code; what torchvision
does image by image (equalizing, stretching the contrast, grayscale) is torchvision's.
"""

from cnn_experiments.data.augmentation.erasing import RandomErasing
from cnn_experiments.data.augmentation.geometry import RandomAffine, RandomCrop, RandomHorizontalFlip, RandomRotation
from cnn_experiments.data.augmentation.mixing import BatchMix, CutMix, MixUp
from cnn_experiments.data.augmentation.pipeline import Augmentation, AugmentationPipeline
from cnn_experiments.data.augmentation.random_operations import RandAugment, TrivialAugmentWide

__all__ = [
    "Augmentation",
    "AugmentationPipeline",
    "BatchMix",
    "CutMix",
    "MixUp",
    "RandAugment",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "TrivialAugmentWide",
]
