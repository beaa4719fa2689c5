"""Fashion-MNIST (Xiao et al., 2017, https://arxiv.org/abs/1708.07747): 60,000 training and 10,000 test images."""

import functools
import gzip
import os
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.download import download_files

MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://s3.eu-central-1.amazonaws.com/fashion-mnist/",
)
MD5 = dict(torchvision.datasets.FashionMNIST.resources)
"""Checksum of each of the four archives, 30 MB together, by file name."""
_SUBDIRECTORY = "FashionMNIST/raw"  # as in torchvision


@functools.lru_cache(maxsize=2)
def _read_split(directory: Path, train: bool) -> tuple[Tensor, Tensor]:
    prefix = "train" if train else "t10k"

    def read(kind: str, header_bytes: int) -> Tensor:
        content = gzip.decompress((directory / f"{prefix}-{kind}-ubyte.gz").read_bytes())
        return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header_bytes)

    return read("images-idx3", 16).view(-1, 1, 28, 28), read("labels-idx1", 8).long()


def _check_root(typed: str, root: Path) -> None:
    """Check that a directory is there and can be read, or can be made."""
    absolute = root.absolute()
    problem = None
    for path in (absolute, *absolute.parents):
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:  # a name that is too long, or has a null character
            problem = f"must be a directory ({error.strerror if isinstance(error, OSError) else error})"
            break
        needed = os.R_OK | os.X_OK if path == absolute else os.W_OK | os.X_OK
        if not path.is_dir():
            problem = f"must be a directory; {path} is none"
        elif not os.access(path, needed):
            problem = f"no permission for {path}"
        break
    if problem:
        raise ArgumentError("root", typed, problem)


class FashionMNIST(ImageDataModule):
    """Gray images of clothing, 28 x 28 pixels, in ten classes.

    Args:
        root: directory whose subdirectory FashionMNIST/raw holds the four archives.
        settings: the parameters of ImageDataModule.

    Raises:
        ValueError: `root` is not a directory, or can't be read or made.
    """

    class_names = tuple(torchvision.datasets.FashionMNIST.classes)
    native_size = 28
    num_train_images = 60_000
    num_test_images = 10_000
    mean = 0.2860
    std = 0.3530

    def __init__(self, *, root: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.root = Path(root).expanduser()
        _check_root(root, self.root)

    def prepare_data(self) -> None:
        """Download the archives that are missing or damaged.

        Raises:
            RunFailedError: the download is not possible.
        """
        download_files(self.root, _SUBDIRECTORY, MD5, MIRRORS, name="Fashion-MNIST")

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Read a split directly from its archives, whose checksums `prepare_data` has verified."""
        return _read_split((self.root / _SUBDIRECTORY).absolute(), train)
