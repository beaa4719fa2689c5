"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html): small color photographs."""

import functools
import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from cnn_experiments.data.download import TarArchive
from cnn_experiments.data.downloaded import DownloadedDataModule, mirror_of

_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
"""`fine_label_names` of its file `meta`: the names are needed before the file is there."""


def _unpickle(file: Path, md5: str) -> dict[str, Any]:
    """Return the content of a pickle, which could execute anything, after a check of its bytes."""
    content = file.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise ValueError(f"{file} is damaged: its MD5 is not {md5}")
    batch = pickle.loads(content, encoding="latin1")  # noqa: S301
    assert isinstance(batch, dict)
    return batch


@functools.lru_cache(maxsize=2)
def _read_split(files: tuple[tuple[Path, str], ...], labels_key: str) -> tuple[Tensor, Tensor]:
    batches = [_unpickle(*file) for file in files]
    images = np.concatenate([batch["data"] for batch in batches])
    labels = [label for batch in batches for label in batch[labels_key]]
    return torch.from_numpy(images).view(-1, 3, 32, 32), torch.tensor(labels)


class _CIFAR(DownloadedDataModule):
    """Color photographs, 32 x 32 pixels, in the Python version of the files."""

    labels_key: ClassVar[str]
    train_files: ClassVar[Sequence[str]]
    test_files: ClassVar[Sequence[str]]

    native_size = 32
    native_channels = 3
    num_train_images = 50_000
    num_test_images = 10_000

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Read a split from its pickles, each after a check of its MD5."""
        files = self.train_files if train else self.test_files
        return _read_split(tuple((self.directory / file, self.md5[file]) for file in files), self.labels_key)


def _checksums(dataset: type[datasets.CIFAR10]) -> dict[str, str]:
    """Return the MD5 of each file that torchvision's class looks for."""
    return {**dict(dataset.train_list), **dict(dataset.test_list), dataset.meta["filename"]: dataset.meta["md5"]}


class CIFAR10(_CIFAR):
    """Color photographs, 32 x 32 pixels, of ten kinds of animals and vehicles."""

    title = "CIFAR-10"
    subdirectory = datasets.CIFAR10.base_folder
    md5: ClassVar = _checksums(datasets.CIFAR10)
    mirrors = (mirror_of(datasets.CIFAR10.url),)
    archive = TarArchive(datasets.CIFAR10.filename, datasets.CIFAR10.tgz_md5)
    labels_key = "labels"
    train_files = tuple(dict(datasets.CIFAR10.train_list))
    test_files = tuple(dict(datasets.CIFAR10.test_list))
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    mean = (0.4914, 0.4822, 0.4465)  # widely used; of all pixels of the training images, not of the means of images
    std = (0.2470, 0.2435, 0.2616)


class CIFAR100(_CIFAR):
    """Color photographs, 32 x 32 pixels, in a hundred classes of twenty kinds."""

    title = "CIFAR-100"
    subdirectory = datasets.CIFAR100.base_folder
    md5: ClassVar = _checksums(datasets.CIFAR100)
    mirrors = (mirror_of(datasets.CIFAR100.url),)
    archive = TarArchive(datasets.CIFAR100.filename, datasets.CIFAR100.tgz_md5)
    labels_key = "fine_labels"
    train_files = tuple(dict(datasets.CIFAR100.train_list))
    test_files = tuple(dict(datasets.CIFAR100.test_list))
    class_names = tuple(_CIFAR100_CLASSES.split())
    mean = (0.5071, 0.4865, 0.4409)  # as for CIFAR-10
    std = (0.2673, 0.2564, 0.2762)
