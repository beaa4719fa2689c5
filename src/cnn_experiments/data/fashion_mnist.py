"""Fashion-MNIST (Xiao et al., 2017, https://arxiv.org/abs/1708.07747): 60,000 training and 10,000 test images."""

from typing import ClassVar

from torchvision import datasets

from cnn_experiments.data.idx import IDXDataModule


class FashionMNIST(IDXDataModule):
    """Gray images of clothing, 28 x 28 pixels, in ten classes."""

    title = "Fashion-MNIST"
    subdirectory = "FashionMNIST/raw"
    md5: ClassVar = dict(datasets.FashionMNIST.resources)
    mirrors = (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://s3.eu-central-1.amazonaws.com/fashion-mnist/",
    )
    class_names = tuple(datasets.FashionMNIST.classes)
    num_train_images = 60_000
    num_test_images = 10_000
    mean = 0.2860
    std = 0.3530
