"""Data sets held in memory as uint8 and turned into network inputs by batch, on the device."""

from cnn_experiments.data.digits import Digits
from cnn_experiments.data.fashion_mnist import FashionMNIST

__all__ = ["Digits", "FashionMNIST"]
