"""Data sets held in memory as bytes and turned into network inputs a batch at a time, on the device."""

from cnn_experiments.data.digits import Digits
from cnn_experiments.data.fashion_mnist import FashionMNIST

__all__ = ["Digits", "FashionMNIST"]
