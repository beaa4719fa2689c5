"""What is in a file of arrays, found without torch: `data.classes` and other settings follow from it."""

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cnn_experiments.config.hydra_internals import cached_by_command_line
from cnn_experiments.config.image_source import ROOT_KEY, SourceSizes, absolute_root
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.regular_file import open_to_read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXPECTED = (
    "a .npz file, or a folder of .npy files, with the arrays x_train, y_train, x_test and y_test, "
    "or train_images, train_labels, test_images and test_labels, or images and labels"
)
_WITH_TEST = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
"""Names as in the files of Keras, and as in those of MedMNIST."""
_WITHOUT_TEST = ("images", "labels")
_CLASS_NAMES = "class_names"
_MAX_LABEL = 2**31
"""No label is as large; one of 64 unsigned bits would become a negative number."""


@dataclass(frozen=True)
class ImageShape:
    """How the images of an array lie in it."""

    num_images: int
    channels: int
    height: int
    width: int
    channel_axis: int | None
    """1 or 3; None for gray images without this axis."""


@dataclass(frozen=True)
class StoredArrays:
    """A file of arrays, of which the labels have been read and the images have not."""

    root: Path
    names: tuple[str, ...]
    """Of the arrays: images and labels of the training set, and those of the test set if there is one."""
    class_names: tuple[str, ...]
    train: ImageShape
    test: ImageShape | None

    @property
    def channels(self) -> int:
        """Return the number of channels of the stored images."""
        return self.train.channels

    @property
    def sizes(self) -> SourceSizes:
        """Return the numbers of images and classes."""
        num_test = self.test.num_images if self.test else 0
        return SourceSizes(self.train.num_images, num_test, len(self.class_names), "arrays of a test set")

    @cached_property
    def content(self) -> str:
        """Return a hash of the arrays: that of their bytes, or of the checksums that a .npz file has of them."""
        digest = hashlib.sha256()
        has_class_names = _CLASS_NAMES in _array_names(self.root)
        for name in (*self.names, *([_CLASS_NAMES] if has_class_names else [])):
            digest.update(f"{name}\0".encode())
            digest.update(_checksum(self.root, name))
        return digest.hexdigest()[:16]

    def read(self, name: str) -> "NDArray[Any]":
        """Return an array; that of a .npy file is mapped into memory.

        Raises:
            ConfigError: it can't be read, or holds Python objects.
        """
        return _read(self.root, name)


def open_image_arrays(root: object) -> StoredArrays:
    """Return what is in a file of arrays; it is opened once for all combinations of a sweep.

    Raises:
        ConfigError: there is no such file, or its arrays are not images and labels.
    """
    try:
        return _open(absolute_root(root, EXPECTED))
    except OSError as error:
        raise ConfigError(ROOT_KEY, root, problem=f"can't be read: {error.strerror or error}") from error


@cached_by_command_line(maxsize=64)
def _open(absolute: str) -> StoredArrays:
    root = Path(absolute)
    if not root.exists():
        raise ConfigError(ROOT_KEY, root, problem=f"must be {EXPECTED}; there is nothing")
    found = _array_names(root)
    names = next((names for names in (*_WITH_TEST, _WITHOUT_TEST) if set(names) <= set(found)), None)
    if names is None:
        listed = ", ".join(sorted(found)) or "none"
        raise ConfigError(ROOT_KEY, root, problem=f"must be {EXPECTED}; its arrays are: {listed}")
    shapes = [_image_shape(root, name) for name in names[::2]]
    if len({(shape.channels, shape.height, shape.width) for shape in shapes}) > 1:
        raise ConfigError(ROOT_KEY, root, problem=f"{' and '.join(names[::2])} must have images of the same shape")
    num_classes = 0
    for name, shape in zip(names[1::2], shapes, strict=True):
        labels = read_labels(root, name)
        if len(labels) != shape.num_images:
            problem = f"{name} must have one label for each of the {shape.num_images:,} images, not {len(labels):,}"
            raise ConfigError(ROOT_KEY, root, problem=problem)
        largest = int(labels.max())
        if largest >= shapes[0].num_images:
            allowed = f"numbers of classes from 0, fewer than the {shapes[0].num_images:,} training images"
            raise ConfigError(ROOT_KEY, root, problem=f"{name} must be {allowed}; one label is {largest}")
        num_classes = max(num_classes, largest + 1)
    class_names = tuple(map(str, range(num_classes)))
    if _CLASS_NAMES in found:
        class_names = _class_names(root, num_classes)
    if len(class_names) < 2:
        raise ConfigError(ROOT_KEY, root, problem="must have images of at least two classes; all labels are 0")
    return StoredArrays(root, names, class_names, shapes[0], shapes[1] if len(shapes) > 1 else None)


def read_labels(root: Path, name: str) -> "NDArray[np.int64]":
    """Return an array of labels, int64 (N,).

    Raises:
        ConfigError: they are not the numbers of classes.
    """
    labels = _read(root, name)
    if labels.ndim == 2 and labels.shape[1] == 1:  # as in CIFAR of Keras, and in MedMNIST
        labels = labels[:, 0]
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or not len(labels):
        problem = (
            f"{name} must be integers of the shape (N,), the numbers of the classes from 0, not {_describe(labels)}"
        )
        raise ConfigError(ROOT_KEY, root, problem=problem)
    if wrong := [label for label in (int(labels.min()), int(labels.max())) if not 0 <= label < _MAX_LABEL]:
        raise ConfigError(ROOT_KEY, root, problem=f"{name} must be numbers of classes from 0, not {wrong[0]}")
    return labels.astype("int64")


def _class_names(root: Path, num_classes: int) -> tuple[str, ...]:
    names = _read(root, _CLASS_NAMES)
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) < num_classes or len(set(names.tolist())) < len(names):
        problem = f"{_CLASS_NAMES} must be at least {num_classes} different strings, one for each label"
        raise ConfigError(ROOT_KEY, root, problem=f"{problem}, not {_describe(names)}")
    return tuple(names.tolist())


def _image_shape(root: Path, name: str) -> ImageShape:
    """Return how the images of an array lie in it, from its header.

    Raises:
        ConfigError: they are no images in integers, or have neither 1 nor 3 channels.
    """
    shape, dtype = _header(root, name)
    described = f"{dtype} of the shape {shape}"
    if dtype.kind == "f":
        remedy = "numbers in 0..1 become integers with (255 * images).round().astype('uint8')"
        problem = f"{name} must be integers in 0..255, not {described}"
        raise ConfigError(ROOT_KEY, root, problem=problem, remedy=remedy)
    if dtype.kind not in "iu" or len(shape) not in (3, 4) or not all(shape):
        allowed = "integers in 0..255 of the shape (N, H, W), (N, H, W, C) or (N, C, H, W)"
        raise ConfigError(ROOT_KEY, root, problem=f"{name} must be {allowed}, not {described}")
    if len(shape) == 3:
        return ImageShape(shape[0], 1, shape[1], shape[2], channel_axis=None)
    axis = next((axis for axis in (3, 1) if shape[axis] in (1, 3)), None)
    if axis is None:
        problem = f"{name} must have 1 channel (gray) or 3 (RGB), last or second in its shape, which is {shape}"
        raise ConfigError(ROOT_KEY, root, problem=problem)
    height, width = (shape[place] for place in (1, 2, 3) if place != axis)
    return ImageShape(shape[0], shape[axis], height, width, channel_axis=axis)


def _array_names(root: Path) -> list[str]:
    """Return the names of all arrays of a .npz file, or of a folder."""
    if root.is_dir():
        return [path.stem for path in root.glob("*.npy")]
    return [name.removesuffix(".npy") for name in _members(root)]


def _members(root: Path) -> Mapping[str, zipfile.ZipInfo]:
    try:
        with open_to_read(root) as file, zipfile.ZipFile(file) as archive:
            return {entry.filename: entry for entry in archive.infolist()}
    except OSError:
        raise
    except Exception as error:  # what zipfile raises for a file that is no archive, or a damaged one, is not documented
        raise ConfigError(ROOT_KEY, root, problem=f"must be {EXPECTED}; this file is no .npz, or damaged") from error


def _checksum(root: Path, name: str) -> bytes:
    if not root.is_dir():
        entry = _members(root)[f"{name}.npy"]
        return f"{entry.CRC} {entry.file_size}".encode()
    with open_to_read(root / f"{name}.npy") as file:
        return hashlib.file_digest(file, "blake2b").digest()  # type: ignore[arg-type]


def _header(root: Path, name: str) -> tuple[tuple[int, ...], "np.dtype[Any]"]:
    from numpy.lib import format as npy

    def read(file: IO[bytes]) -> tuple[tuple[int, ...], "np.dtype[Any]"]:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        return shape, dtype

    with _damage_described(root, name):
        if root.is_dir():
            with open_to_read(root / f"{name}.npy") as file:
                return read(file)
        with open_to_read(root) as file, zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as member:
            return read(member)


def _read(root: Path, name: str) -> "NDArray[Any]":
    import numpy as np

    with _damage_described(root, name):
        if root.is_dir():
            # `c`: torch takes no array that is read-only, and nothing writes into this one.
            array: NDArray[Any] = np.load(root / f"{name}.npy", mmap_mode="c", allow_pickle=False)
            return array
        with open_to_read(root) as file, np.load(file, allow_pickle=False) as archive:
            return archive[name]


@contextmanager
def _damage_described(root: Path, name: str) -> Iterator[None]:
    """Turn what numpy and zipfile raise for an array that is damaged, or that numpy did not write, into one line.

    Raises:
        ConfigError: anything was raised inside, except an error of the operating system.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # also RuntimeError for an encrypted file, and MemoryError for a shape without an end
        message = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(ROOT_KEY, root, problem=f"{name} can't be read: {message}") from error


def _describe(array: "NDArray[Any]") -> str:
    return f"{array.dtype} of the shape {array.shape}"
