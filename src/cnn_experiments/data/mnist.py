"""MNIST and two data sets in its format: Kuzushiji-MNIST and QMNIST."""

from typing import ClassVar

from torchvision import datasets

from cnn_experiments.data.downloaded import mirror_of
from cnn_experiments.data.idx import IDXDataModule


class MNIST(IDXDataModule):
    """Gray images of handwritten digits, 28 x 28 pixels (LeCun et al., 1998, Proceedings of the IEEE)."""

    title = "MNIST"
    subdirectory = "MNIST/raw"
    md5: ClassVar = dict(datasets.MNIST.resources)
    mirrors = tuple(datasets.MNIST.mirrors)
    class_names = tuple("0123456789")
    num_train_images = 60_000
    num_test_images = 10_000
    mean = 0.1307  # as in the MNIST example of PyTorch
    std = 0.3081


class KMNIST(IDXDataModule):
    """Gray images of ten cursive Japanese characters, 28 x 28 pixels (Clanuwat et al., 2018, arXiv 1812.01718)."""

    title = "Kuzushiji-MNIST"
    subdirectory = "KMNIST/raw"
    md5: ClassVar = dict(datasets.KMNIST.resources)
    mirrors = tuple(datasets.KMNIST.mirrors)
    class_names = tuple(datasets.KMNIST.classes)
    num_train_images = 60_000
    num_test_images = 10_000
    mean = 0.1918  # widely used with torchvision's KMNIST; not recomputed here
    std = 0.3483


_QMNIST_FILES = [*datasets.QMNIST.resources["train"], *datasets.QMNIST.resources["test"]]


class QMNIST(IDXDataModule):
    """MNIST reconstructed from its originals, with all 60,000 test images (Yadav and Bottou, 2019, arXiv 1905.10498).

    The first 10,000 of the test images are those of MNIST.
    """

    title = "QMNIST"
    subdirectory = "QMNIST/raw"
    md5: ClassVar = {url.rpartition("/")[2]: checksum for url, checksum in _QMNIST_FILES}
    mirrors = (mirror_of(_QMNIST_FILES[0][0]),)
    class_names = tuple("0123456789")
    num_train_images = 60_000
    num_test_images = 60_000
    mean = MNIST.mean  # the training images are those of MNIST but for few gray levels
    std = MNIST.std
