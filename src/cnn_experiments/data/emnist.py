"""EMNIST (Cohen et al., 2017, https://arxiv.org/abs/1702.05373): handwritten letters and digits in six splits."""

import functools
import string
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor
from torchvision import datasets

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.downloaded import DownloadedDataModule, mirror_of
from cnn_experiments.data.idx import read_images_and_labels
from cnn_experiments.errors import suggest

_ARCHIVE = "gzip.zip"


@dataclass(frozen=True)
class _Split:
    """The facts of one of the six data sets; mean and standard deviation are those of lightning-bolts, three digits."""

    num_train_images: int
    num_test_images: int
    mean: float
    std: float


_SPLITS = {
    "balanced": _Split(112_800, 18_800, mean=0.175, std=0.333),
    "byclass": _Split(697_932, 116_323, mean=0.174, std=0.332),
    "bymerge": _Split(697_932, 116_323, mean=0.174, std=0.332),
    "digits": _Split(240_000, 40_000, mean=0.173, std=0.332),
    "letters": _Split(124_800, 20_800, mean=0.172, std=0.331),
    "mnist": _Split(60_000, 10_000, mean=0.173, std=0.332),
}


@functools.lru_cache(maxsize=2)
def _read_split(archive: Path, prefix: str) -> tuple[Tensor, Tensor]:
    with zipfile.ZipFile(archive) as files:
        names = [f"gzip/{prefix}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
        images, labels = read_images_and_labels(*(files.read(name) for name in names))
    return images.transpose(2, 3).contiguous(), labels


class EMNIST(DownloadedDataModule):
    """Gray images of handwritten characters, 28 x 28 pixels, of one of six splits.

    The files hold each image with rows and columns exchanged; here they are upright, as users of torchvision's class
    have to make them. The labels of `letters`, 1 to 26 in the files, are 0 to 25, and torchvision's empty class `N/A`
    is left out.

    Args:
        split: `balanced`, `byclass`, `bymerge`, `digits`, `letters` or `mnist`.
        settings: the parameters of DownloadedDataModule.

    Raises:
        ArgumentError: there is no such split.
    """

    title = "EMNIST"
    subdirectory = "EMNIST/raw"
    md5: ClassVar = {_ARCHIVE: datasets.EMNIST.md5}
    mirrors = (mirror_of(datasets.EMNIST.url),)
    native_size = 28
    native_channels = 1

    def __init__(self, *, split: str, **settings: Any) -> None:
        if split not in _SPLITS:
            problem = f"must be one of {', '.join(_SPLITS)}"
            raise ArgumentError("split", split, problem, suggest(str(split), _SPLITS))
        self.split = split
        is_letters = split == "letters"
        self.class_names = tuple(string.ascii_lowercase if is_letters else datasets.EMNIST.classes_split_dict[split])
        facts = _SPLITS[split]
        self.num_train_images, self.num_test_images = facts.num_train_images, facts.num_test_images
        self.mean, self.std = facts.mean, facts.std
        super().__init__(**settings)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Read a part of the split directly from the archive, whose checksum `prepare_data` has verified."""
        part = "train" if train else "test"
        images, labels = _read_split(self.directory / _ARCHIVE, f"emnist-{self.split}-{part}")
        return images, labels - 1 if self.split == "letters" else labels
