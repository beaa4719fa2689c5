"""SVHN (Netzer et al., 2011, http://ufldl.stanford.edu/housenumbers/): digits of house numbers in photographs."""

import functools
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from cnn_experiments.data.downloaded import DownloadedDataModule, mirror_of

_FILES = {split: datasets.SVHN.split_list[split] for split in ("train", "test")}
"""URL, name and MD5 of the file of each split; the 531,131 further, easier training images are not used."""


@functools.lru_cache(maxsize=2)
def _read_split(file: Path) -> tuple[Tensor, Tensor]:
    from scipy.io import loadmat

    content = loadmat(file)
    images = np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1))  # stored as (H, W, C, N)
    labels = content["y"].ravel().astype(np.int64)
    return torch.from_numpy(images), torch.from_numpy(labels % 10)  # the label of the digit 0 is 10


class SVHN(DownloadedDataModule):
    """Color images of single digits of house numbers, 32 x 32 pixels, with their neighbors at the edges."""

    title = "SVHN"
    subdirectory = "."
    md5: ClassVar = {name: checksum for _, name, checksum in _FILES.values()}
    mirrors = (mirror_of(_FILES["train"][0]),)
    class_names = tuple("0123456789")
    native_size = 32
    native_channels = 3
    num_train_images = 73_257
    num_test_images = 26_032
    mean = (0.4377, 0.4438, 0.4728)  # widely used
    std = (0.1980, 0.2010, 0.1970)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Read a split from its MATLAB file, whose checksum `prepare_data` has verified."""
        return _read_split(self.directory / _FILES["train" if train else "test"][1])
