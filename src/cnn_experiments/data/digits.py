"""scikit-learn's handwritten digits (Alpaydin and Kaynak, 1998, UCI), embedded in that package."""

import functools

import torch
from torch import Tensor

from cnn_experiments.data.datamodule import ImageDataModule, stratified_order

_TEST_IMAGES = 360
_SPLIT_SEED = 0  # the package has no test set of its own; this one is the same for every run


@functools.cache
def _load() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(digits.target).long()
    order = stratified_order(labels, _SPLIT_SEED)
    return images[order], labels[order]


class Digits(ImageDataModule):
    """1,437 training and 360 test images of 8 x 8 pixels."""

    class_names = tuple("0123456789")
    native_size = 8
    train_images = 1437
    test_images = 360
    mean = 0.3060
    std = 0.3760

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Stratified; the grey values 0..16 are spread over 0..255."""
        images, labels = _load()
        part = slice(_TEST_IMAGES, None) if train else slice(_TEST_IMAGES)
        return images[part], labels[part]
