"""Tests of arrays as a data set."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnn_experiments.config.hydra_internals import command_line
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.image_files import read_image_for
from cnn_experiments.errors import ConfigError
from cnn_experiments.training.build import build_data, check_images
from tests.config.test_image_arrays import save
from tests.conftest import compose_settings


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def make(root: Path, *overrides: str) -> ImageDataModule:
    with command_line([]):
        return build_data(compose_settings("data=arrays", f"data.root={root}", "data.batch_size=4", *overrides))


def keras(images: np.ndarray, num_test: int = 6) -> dict[str, Any]:
    labels = np.arange(len(images)) % 3
    return {
        "x_train": images[num_test:],
        "y_train": labels[num_test:],
        "x_test": images[:num_test],
        "y_test": labels[:num_test],
    }


@pytest.mark.parametrize("name", ["a.npz", "a"])
@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_images_are_those_of_the_file(tmp_path: Path, name: str, dtype: str) -> None:
    images = random_images(30, 3, 8, 8)
    layouts = {"first": images, "last": np.moveaxis(images, 1, 3), "gray": images[:, 0]}
    for layout, array in layouts.items():
        (tmp_path / layout).mkdir()
        data = make(save(tmp_path / layout / name, **keras(array.astype(dtype))))
        channels = 1 if layout == "gray" else 3
        for train, part in ((True, slice(6, None)), (False, slice(6))):
            loaded, labels = data.load_checked(train=train)
            assert torch.equal(loaded, torch.from_numpy(images[part, :channels]))
            assert labels.tolist() == [number % 3 for number in range(30)][part]


def test_array_that_is_not_square_is_padded_as_a_file_is(tmp_path: Path) -> None:
    images = random_images(30, 5, 9)
    data = make(save(tmp_path / "a.npz", **keras(images)))
    data.setup("fit")
    loaded, _ = data.load_checked(train=False)
    assert loaded.shape == (6, 1, 9, 9)
    for image, pixels in zip(loaded, images, strict=False):
        Image.fromarray(pixels).save(tmp_path / "image.png")
        assert torch.equal(image, read_image_for(data, tmp_path / "image.png"))


def test_arrays_without_a_test_set_are_split_by_class_for_every_seed_alike(tmp_path: Path) -> None:
    images, labels = random_images(30, 4, 4), np.arange(30) % 3
    root = save(tmp_path / "a.npz", images=images, labels=labels)
    data = make(root, "data.test_size=9")
    train, test = data.load_checked(train=True), data.load_checked(train=False)
    assert (train[1].bincount().tolist(), test[1].bincount().tolist()) == ([7, 7, 7], [3, 3, 3])
    rows = sorted(torch.cat([train[0], test[0]]).flatten(1).tolist())
    assert rows == sorted(images.reshape(30, -1).tolist())
    assert torch.equal(make(root, "data.test_size=9", "seed=1").load_checked(train=False)[0], test[0])


def test_gray_arrays_can_be_repeated_and_are_measured(tmp_path: Path) -> None:
    images = random_images(30, 4, 4)
    data = make(save(tmp_path / "a.npz", **keras(images)), "data.channels=3", "data.val_size=0")
    data.setup("fit")
    (mean,) = set(data.mean)  # type: ignore[arg-type]
    assert mean == pytest.approx(images[6:].mean() / 255)
    inputs, _ = data.on_after_batch_transfer((data.stored_split("train").images, torch.zeros(24)), 0)
    assert inputs.shape == (24, 3, 4, 4)
    assert inputs.mean().item() == pytest.approx(0, abs=1e-6)


def test_pixel_that_is_no_byte_is_rejected_before_training(tmp_path: Path) -> None:
    images = random_images(30, 4, 4).astype(np.int16)
    images[20, 1, 2] = 256
    root = save(tmp_path / "a.npz", **keras(images))
    settings = compose_settings("data=arrays", f"data.root={root}", "data.batch_size=4")
    data = build_data(settings)
    with pytest.raises(ConfigError) as error:
        check_images(settings, data)
    low = images[6:].min()
    assert str(error.value) == f"data.root={root}: x_train must be in 0..255, not in {low}..256"


def test_arrays_of_another_run_are_rejected(tmp_path: Path) -> None:
    with command_line([]):
        root = save(tmp_path / "a.npz", **keras(random_images(30, 4, 4)))
        settings = compose_settings("data=arrays", f"data.root={root}", "data.batch_size=4")
    save(tmp_path / "a.npz", **keras(random_images(33, 4, 4)))
    with command_line([]), pytest.raises(ConfigError, match="must have the images of the run"):
        build_data(settings)
