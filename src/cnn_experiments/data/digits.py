"""scikit-learn's handwritten digits (Alpaydin and Kaynak, 1998, UCI), embedded in that package."""

import functools
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnn_experiments.data.datamodule import ImageDataModule, stratified_permutation

_SPLIT_SEED = 0  # scikit-learn has no test set of its own; this split is the same for every run


@functools.cache
def _load_permuted() -> tuple[Tensor, Tensor]:
    pixels, numbers = _load_rows()
    images = torch.from_numpy(pixels).reshape(-1, 8, 8).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(numbers).long()
    order = stratified_permutation(labels, _SPLIT_SEED)
    return images[order], labels[order]


def _load_rows() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pixels (1797, 64) and the labels (1797); importing scikit-learn, which takes a second, is avoided."""
    package = find_spec("sklearn")
    file = Path(str(package and package.origin)).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        rows = np.loadtxt(file, delimiter=",")
        return rows[:, :64], rows[:, 64]
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


class Digits(ImageDataModule):
    """Gray images of handwritten digits, 8 x 8 pixels, with gray values 0..16 scaled to 0..255."""

    class_names = tuple("0123456789")
    native_size = 8
    native_channels = 1
    num_train_images = 1437
    num_test_images = 360
    mean = 0.3060
    std = 0.3760

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return one of the two splits, which are stratified by class."""
        images, labels = _load_permuted()
        split = slice(self.num_test_images, None) if train else slice(self.num_test_images)
        return images[split], labels[split]
