"""Tests of the archives of Fashion-MNIST: their location and their content."""

import gzip
import hashlib
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

from cnn_experiments.data import fashion_mnist
from tests.conftest import compose_settings


def test_mirrors_use_https() -> None:
    assert len(fashion_mnist.MIRRORS) >= 2
    assert all(url.startswith("https://") and url.endswith("/") for url in fashion_mnist.MIRRORS)


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


def test_archives_are_downloaded_where_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    checksums = {}
    for split, num_images in (("train", 3), ("t10k", 2)):
        for kind, header_bytes, content in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
            archive = gzip.compress(bytes(header_bytes) + bytes([num_images]) * content * num_images)
            file = f"{split}-{kind}-ubyte.gz"
            (mirror / file).write_bytes(archive)
            checksums[file] = hashlib.md5(archive).hexdigest()  # noqa: S324
    monkeypatch.setattr(fashion_mnist, "MD5", checksums)
    monkeypatch.setattr(fashion_mnist, "MIRRORS", [f"{mirror.as_uri()}/"])
    data = instantiate(compose_settings(f"data.root={tmp_path / 'data'}")["data"], _convert_="all")
    data.prepare_data()
    images, labels = data.load(train=True)
    assert images.shape == (3, 1, 28, 28)
    assert images.unique().tolist() == [3]
    assert labels.tolist() == [3, 3, 3]
    assert data.load(train=False)[1].tolist() == [2, 2]


def test_root_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNN_EXPERIMENTS_DATA", raising=False)
    assert compose_settings()["data"]["root"] == "data"
    monkeypatch.setenv("CNN_EXPERIMENTS_DATA", "elsewhere")
    assert compose_settings()["data"]["root"] == "elsewhere"
