"""Tests of what is found in files of arrays, and of the settings that follow from it."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import command_line
from cnn_experiments.config.image_arrays import ImageShape, open_image_arrays
from cnn_experiments.errors import ConfigError
from tests.config.test_composition import expected_settings

pytestmark = pytest.mark.usefixtures("set_argv")

KERAS = ("x_train", "y_train", "x_test", "y_test")
MEDMNIST = ("train_images", "train_labels", "test_images", "test_labels")


def images(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def labels(num: int, classes: int = 3) -> np.ndarray:
    return np.arange(num) % classes


def save(path: Path, **arrays: Any) -> Path:
    """Save arrays as a .npz file, or as .npy files of a folder."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
        return path
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


def rejection(root: Path, *overrides: str) -> str:
    """Return the line with which arrays are rejected, in which the file is `ROOT`."""
    with pytest.raises(ConfigError) as error:
        ComposedConfig.from_overrides("data=arrays", f"data.root={root}", *overrides).validate()
    assert "\n" not in str(error.value)
    return str(error.value).replace(str(root), "ROOT")


@pytest.mark.parametrize("name", ["arrays.npz", "folder"])
@pytest.mark.parametrize("names", [KERAS, MEDMNIST])
def test_arrays_are_found_by_their_names(tmp_path: Path, name: str, names: tuple[str, ...]) -> None:
    split = (images(30, 5, 4), labels(30), images(9, 5, 4), labels(9, 2).reshape(9, 1))
    root = save(tmp_path / name, **dict(zip(names, split, strict=True)), val_images=images(2, 2))
    arrays = open_image_arrays(str(root))
    assert (arrays.names, arrays.class_names) == (names, ("0", "1", "2"))
    assert arrays.train == ImageShape(30, 1, 5, 4, channel_axis=None)
    assert arrays.test == ImageShape(9, 1, 5, 4, channel_axis=None)
    assert np.array_equal(arrays.read(names[0]), split[0])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 6, 7), ImageShape(8, 1, 6, 7, channel_axis=None)),
        ((8, 6, 7, 1), ImageShape(8, 1, 6, 7, channel_axis=3)),
        ((8, 6, 7, 3), ImageShape(8, 3, 6, 7, channel_axis=3)),
        ((8, 1, 6, 7), ImageShape(8, 1, 6, 7, channel_axis=1)),
        ((8, 3, 6, 7), ImageShape(8, 3, 6, 7, channel_axis=1)),
    ],
)
def test_channels_may_be_last_or_first_or_left_out(
    tmp_path: Path, shape: tuple[int, ...], expected: ImageShape
) -> None:
    arrays = open_image_arrays(str(save(tmp_path / "a.npz", images=images(*shape), labels=labels(8))))
    assert (arrays.train, arrays.test) == (expected, None)


def test_settings_that_follow_are_those_that_hydra_resolves(tmp_path: Path) -> None:
    names = np.array(["cat", "dog", "fox", "owl"])  # no image shows an owl
    root = save(tmp_path / "a.npz", images=images(40, 8, 8, 3), labels=labels(40), class_names=names)
    typed = ["data=arrays", f"data.root={root}", "data.test_size=10", "trainer.max_epochs=3"]
    config = ComposedConfig.from_overrides(*typed)
    config.validate()
    assert config.settings == expected_settings(*typed)[0]
    data = config.settings["data"]
    assert (data["channels"], data["classes"], data["val_size"]) == (3, 4, 4)
    assert config.settings["model"]["in_channels"] == 3
    assert open_image_arrays(str(root)).class_names == ("cat", "dog", "fox", "owl")


@pytest.mark.parametrize("name", ["a.npz", "a"])
def test_content_depends_on_the_arrays_alone(tmp_path: Path, name: str) -> None:
    def content(root: Path) -> str:
        with command_line([]):
            return open_image_arrays(str(root)).content

    first = save(tmp_path / name, images=images(9, 4, 4), labels=labels(9))
    (tmp_path / "other").mkdir()
    assert content(save(tmp_path / "other" / name, images=images(9, 4, 4), labels=labels(9))) == content(first)
    (tmp_path / "changed").mkdir()
    changed = save(tmp_path / "changed" / name, images=images(9, 4, 4) ^ np.uint8(1), labels=labels(9))
    assert content(changed) != content(first)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"images": images(9, 4, 4, dtype="float32")}, "images must be integers in 0..255, not float32 of the shape (9, 4, 4); numbers in 0..1 become integers with (255 * images).round().astype('uint8')"),
        ({"images": images(9, 4, 4, 5)}, "images must have 1 channel (gray) or 3 (RGB), last or second in its shape, which is (9, 4, 4, 5)"),
        ({"images": images(9, 16)}, "images must be integers in 0..255 of the shape (N, H, W), (N, H, W, C) or (N, C, H, W), not uint8 of the shape (9, 16)"),
        ({"images": images(8, 4, 4)}, "labels must have one label for each of the 8 images, not 9"),
        ({"labels": labels(9).astype(float)}, "labels must be integers of the shape (N,), the numbers of the classes from 0, not float64 of the shape (9,)"),
        ({"labels": np.eye(9, dtype=int)}, "labels must be integers of the shape (N,), the numbers of the classes from 0, not int64 of the shape (9, 9)"),
        ({"labels": labels(9) - 1}, "labels must be numbers of classes from 0, not -1"),
        ({"labels": np.where(labels(9), 2**63, 0).astype("uint64")}, "labels must be numbers of classes from 0, not 9223372036854775808"),
        ({"labels": labels(9) * 40}, "labels must be numbers of classes from 0, fewer than the 9 training images; one label is 80"),
        ({"labels": labels(9, 1)}, "must have images of at least two classes; all labels are 0"),
        ({"class_names": np.array(["a", "b"])}, "class_names must be at least 3 different strings, one for each label, not <U1 of the shape (2,)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.npz", "a"])
def test_arrays_that_are_no_images_and_labels_are_rejected(
    tmp_path: Path, name: str, arrays: dict[str, Any], problem: str
) -> None:
    root = save(tmp_path / name, **({"images": images(9, 4, 4), "labels": labels(9)} | arrays))
    assert rejection(root) == f"data.root=ROOT: {problem}"


@pytest.mark.parametrize("name", ["a.npz", "a"])
def test_python_objects_are_not_loaded(tmp_path: Path, name: str) -> None:
    root = save(tmp_path / name, images=images(9, 4, 4), labels=np.array([{}] * 9))
    assert rejection(root).startswith("data.root=ROOT: labels can't be read: ")


def test_labels_of_an_endless_shape_are_rejected(tmp_path: Path) -> None:
    root = save(tmp_path / "a.npz", images=images(9, 4, 4))
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(root, "a") as archive:
        archive.writestr("labels.npy", header.getvalue())
    assert rejection(root).startswith("data.root=ROOT: labels can't be read: Unable to allocate")


def test_array_that_cannot_be_decompressed_is_rejected(tmp_path: Path) -> None:
    root = save(tmp_path / "a.npz", images=np.zeros((9, 40, 40), "uint8"), labels=labels(9))
    with zipfile.ZipFile(root) as archive:
        start = archive.getinfo("labels.npy").header_offset + 30 + len("labels.npy")
    content = bytearray(root.read_bytes())
    content[start + 20 : start + 60] = b"\xff" * 40
    root.write_bytes(content)
    assert rejection(root).startswith("data.root=ROOT: labels can't be read: Error -3 while decompressing data")


def test_files_without_the_arrays_are_rejected(tmp_path: Path) -> None:
    expected = (
        "data.root=ROOT: must be a .npz file, or a folder of .npy files, with the arrays x_train, y_train, x_test and "
        "y_test, or train_images, train_labels, test_images and test_labels, or images and labels"
    )
    assert rejection(tmp_path / "nothing.npz") == f"{expected}; there is nothing"
    root = save(tmp_path / "a.npz", x_train=images(9, 4, 4), y_train=labels(9))
    assert rejection(root) == f"{expected}; its arrays are: x_train, y_train"
    root.write_bytes(root.read_bytes()[:200])
    with command_line([]):
        assert rejection(root) == f"{expected}; this file is no .npz, or damaged"
    assert rejection(save(tmp_path / "folder")) == f"{expected}; its arrays are: none"


def test_train_and_test_images_must_have_one_shape(tmp_path: Path) -> None:
    arrays = (images(9, 4, 4), labels(9), images(9, 4, 5), labels(9))
    root = save(tmp_path / "a.npz", **dict(zip(KERAS, arrays, strict=True)))
    assert rejection(root) == "data.root=ROOT: x_train and x_test must have images of the same shape"
