"""Data sets held in memory as uint8 and turned into network inputs by batch, on the device."""

from cnn_experiments.data.cifar import CIFAR10, CIFAR100
from cnn_experiments.data.datamodule import MEASURED, ImageDataModule
from cnn_experiments.data.digits import Digits
from cnn_experiments.data.emnist import EMNIST
from cnn_experiments.data.fashion_mnist import FashionMNIST
from cnn_experiments.data.image_arrays import ImageArrays
from cnn_experiments.data.image_folder import ImageFolder
from cnn_experiments.data.mnist import KMNIST, MNIST, QMNIST
from cnn_experiments.data.svhn import SVHN

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "EMNIST",
    "KMNIST",
    "MEASURED",
    "MNIST",
    "QMNIST",
    "SVHN",
    "Digits",
    "FashionMNIST",
    "ImageArrays",
    "ImageDataModule",
    "ImageFolder",
]
