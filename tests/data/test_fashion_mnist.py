"""Tests of Fashion-MNIST: its mirrors and its real images."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

from cnn_experiments.data.fashion_mnist import FashionMNIST
from tests.conftest import compose_settings


def test_mirrors_use_https() -> None:
    assert len(FashionMNIST.mirrors) >= 2
    assert all(url.startswith("https://") for url in FashionMNIST.mirrors)


def test_real_images_have_the_shape_statistics_and_labels_of_the_data_set(fashion_mnist_root: Path) -> None:
    data = instantiate(compose_settings(f"data.root={fashion_mnist_root}")["data"], _convert_="all")
    data.prepare_data()
    images, labels = data.load(train=True)
    assert images.shape == (60_000, 1, 28, 28)
    assert images.dtype == torch.uint8
    assert labels.bincount().tolist() == [6000] * 10
    pixels = images.double() / 255
    assert pixels.mean().item() == pytest.approx(data.mean, abs=1e-4)
    assert pixels.std().item() == pytest.approx(data.std, abs=1e-4)
    test_images, test_labels = data.load(train=False)
    assert test_images.shape == (10_000, 1, 28, 28)
    assert test_labels[:5].tolist() == [9, 2, 1, 1, 6]


def test_root_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNN_EXPERIMENTS_DATA", raising=False)
    assert compose_settings()["data"]["root"] == "data"
    monkeypatch.setenv("CNN_EXPERIMENTS_DATA", "elsewhere")
    assert compose_settings()["data"]["root"] == "elsewhere"
