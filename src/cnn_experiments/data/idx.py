"""The IDX format of MNIST (https://yann.lecun.com/exdb/mnist/), and the data sets that have MNIST's files."""

import functools
import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnn_experiments.data.downloaded import DownloadedDataModule

_DTYPES: dict[int, np.dtype[Any]] = {0x08: np.dtype("u1"), 0x0C: np.dtype(">i4")}
"""The types of values by their code in the third byte of a file, as far as images and labels have them."""


def read_idx(content: bytes) -> Tensor:
    """Return the tensor in the content of an IDX file, which starts with two zero bytes, a type and the shape.

    Raises:
        ValueError: it is no such file, or it is too short or too long.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        raise ValueError("not an IDX file of 8-bit or 32-bit integers")
    dtype, num_dimensions = _DTYPES[content[2]], content[3]
    header_bytes = 4 + 4 * num_dimensions
    shape = [int(length) for length in np.frombuffer(content[4:header_bytes], ">u4")]
    if len(shape) != num_dimensions or len(content) != header_bytes + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an IDX file of the shape {tuple(shape)} has {len(content)} bytes")
    values = np.frombuffer(content, dtype, offset=header_bytes).reshape(shape)
    return torch.from_numpy(values.astype(dtype.newbyteorder("=")))


def read_images_and_labels(images: bytes, labels: bytes) -> tuple[Tensor, Tensor]:
    """Return the images, uint8 (N, 1, H, W), and the labels, int64 (N,), of two compressed IDX files.

    Labels may have several columns, as QMNIST's have: the first one is the class.
    """
    classes = read_idx(gzip.decompress(labels)).long()
    return read_idx(gzip.decompress(images)).unsqueeze(1), classes if classes.ndim == 1 else classes[:, 0].contiguous()


@functools.lru_cache(maxsize=2)
def _read_split(images: Path, labels: Path) -> tuple[Tensor, Tensor]:
    return read_images_and_labels(images.read_bytes(), labels.read_bytes())


class IDXDataModule(DownloadedDataModule):
    """Gray images of 28 x 28 pixels in four compressed IDX files.

    `md5` names them in this order: images and labels of the training set, images and labels of the test set.
    """

    native_size = 28
    native_channels = 1

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Read a split directly from its compressed files, whose checksums `prepare_data` has verified."""
        files = [self.directory / file for file in self.md5]
        return _read_split(*(files[:2] if train else files[2:]))
