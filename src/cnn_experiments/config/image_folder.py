"""What is in a folder of images, found without torch: `data.classes` and other settings follow from it."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from cnn_experiments.config.hydra_internals import cached_by_command_line
from cnn_experiments.config.image_source import ROOT_KEY, SourceSizes, absolute_root
from cnn_experiments.errors import ConfigError, suggest
from cnn_experiments.runs.regular_file import open_to_read

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
"""Endings, in any case, of the names of files that count as images in a folder or of a pattern."""
_UNCOMPRESSED_SUFFIXES = (".bmp", ".ppm", ".pgm", ".pbm")

EXPECTED = "a folder with one folder of images per class, or with two folders train and test of this kind"
_TRAIN, _TEST = "train", "test"
_OTHER_SPLITS = ("val", "valid", "validation", "dev")
_MAX_NAMED = 3
"""How many classes a message names."""


class ListedImage(NamedTuple):
    """An image file that has not been opened."""

    path: str
    """Relative to the folder that was listed, with slashes."""
    label: int
    num_bytes: int
    """-1 for a link that leads to nothing."""
    modified_ns: int


@dataclass(frozen=True)
class ImageFolderListing:
    """The image files of a folder, by split and class."""

    root: Path
    class_names: tuple[str, ...]
    """In natural order: `class2` before `class10`."""
    train: Sequence[ListedImage]
    """Those of the folder train; all of them if there are no folders train and test."""
    test: Sequence[ListedImage]
    """Those of the folder test; none if there are no folders train and test."""
    num_left_out: int
    """Files that are no images by their names, or in no folder of a class, and links to folders; hidden ones are not
    counted."""

    @cached_property
    def content(self) -> str:
        """Return a hash of the names and sizes of all images: equal for a copy of the folder elsewhere.

        The size of a file without compression does not depend on its pixels, so that its bytes count, too.
        """
        digest = hashlib.sha256()
        for image in (*self.train, *self.test):
            digest.update(f"{image.path}\0{image.num_bytes}\0".encode(errors="surrogateescape"))
            if image.path.lower().endswith(_UNCOMPRESSED_SUFFIXES):
                digest.update(_checksum(self.root / image.path))
        return digest.hexdigest()[:16]

    @property
    def sizes(self) -> SourceSizes:
        """Return the numbers of images and classes."""
        return SourceSizes(len(self.train), len(self.test), len(self.class_names), "folders train and test")


def list_image_folder(root: object) -> ImageFolderListing:
    """Return the images of a folder; they are listed once for all combinations of a sweep.

    There are two layouts: `train/CLASS/...` and `test/CLASS/...`, or `CLASS/...`. Subfolders of a class count too.
    Hidden files and folders do not, and neither do links to folders below that of a class.

    Raises:
        ConfigError: it is no such folder.
    """
    try:
        return _list(absolute_root(root, EXPECTED))
    except OSError as error:
        raise ConfigError(ROOT_KEY, root, problem=f"can't be read: {error.strerror}: {error.filename}") from error


@cached_by_command_line(maxsize=64)
def _list(absolute: str) -> ImageFolderListing:
    root = Path(absolute)
    if not root.is_dir():
        parent = root.parent
        names = [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
        nearest = suggest(root.name, names, cutoff=0.6)
        problem = f"must be {EXPECTED}; there is no such folder"
        raise ConfigError(ROOT_KEY, root, problem=problem, suggestion=str(parent / nearest) if nearest else None)
    folders = _class_folders(root)
    names = [folder.name for folder in folders]
    splits = [name for name in (_TRAIN, _TEST, *_OTHER_SPLITS) if name in names]
    if _TRAIN in splits and len(splits) > 1:
        if _TEST not in splits:
            problem = f"must be {EXPECTED}; it has the folders {' and '.join(splits)}, but none of the name test"
            raise ConfigError(ROOT_KEY, root, problem=problem)
        return _list_splits(root)
    images, num_left_out = _list_classes(root, root, names)
    _check_classes(root, "", names, images)
    return ImageFolderListing(root, tuple(names), images, (), num_left_out)


def _list_splits(root: Path) -> ImageFolderListing:
    """List the folders train and test, which must have the same classes; all others count as left out."""
    names = {split: [folder.name for folder in _class_folders(root / split)] for split in (_TRAIN, _TEST)}
    for split, other in ((_TRAIN, _TEST), (_TEST, _TRAIN)):
        if missing := [name for name in names[split] if name not in names[other]]:
            problem = f"must have the same classes in train and test; {other} has no folder {_join(missing)}"
            raise ConfigError(ROOT_KEY, root, problem=problem)
    num_left_out = sum(len(files) for name, files in _files_of_folders(root) if name not in (_TRAIN, _TEST))
    splits = {}
    for split in (_TRAIN, _TEST):
        splits[split], num_others = _list_classes(root, root / split, names[split])
        num_left_out += num_others
        _check_classes(root, split, names[split], splits[split])
    return ImageFolderListing(root, tuple(names[_TRAIN]), splits[_TRAIN], splits[_TEST], num_left_out)


def _files_of_folders(root: Path) -> Iterator[tuple[str, list[ListedImage]]]:
    """Yield what is directly in a folder, and the name and the files of each folder in it."""
    for entry in _entries(root):
        if entry.is_dir():
            yield entry.name, list(_files_below(entry.path, root, label=0))
        else:
            yield "", [ListedImage(entry.name, 0, 0, 0)]


def _list_classes(root: Path, folder: Path, names: Sequence[str]) -> tuple[list[ListedImage], int]:
    """Return the images of the classes in a folder, in natural order, and the number of its other files."""
    images: list[ListedImage] = []
    num_left_out = sum(not entry.is_dir() for entry in _entries(folder))
    for label, name in enumerate(names):
        files = list(_files_below(str(folder / name), root, label))
        of_class = [file for file in files if is_image(file.path)]
        num_left_out += len(files) - len(of_class)
        images += sorted(of_class, key=lambda file: natural_order(file.path))
    return images, num_left_out


def _check_classes(root: Path, split: str, names: Sequence[str], images: Sequence[ListedImage]) -> None:
    """Check that there are at least two classes in the folder of a split, and that each has an image."""
    place = f" in {split}" if split else ""
    if len(names) < 2:
        has_images = any(is_image(entry.name) for entry in _entries(root / split))
        alone = "there are images, but no folder" if has_images else "there is none"
        found = f"there is one, {names[0]}" if names else alone
        problem = f"must have at least two folders{place}, one of images per class; {found}"
        raise ConfigError(ROOT_KEY, root, problem=problem)
    if unprintable := [name for name in names if not _is_utf8(name)]:
        problem = f"the names of classes must be UTF-8; one is {unprintable[0]!a}"
        raise ConfigError(ROOT_KEY, root, problem=problem)
    labels = {image.label for image in images}
    if empty := [name for label, name in enumerate(names) if label not in labels]:
        endings = ", ".join(IMAGE_SUFFIXES)
        problem = f"must have images of every class{place}; there is no {endings} in the folder {_join(empty)}"
        raise ConfigError(ROOT_KEY, root, problem=problem)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _class_folders(folder: Path) -> list[Path]:
    folders = [Path(entry.path) for entry in _entries(folder) if entry.is_dir()]
    return sorted(folders, key=lambda path: natural_order(path.name))


def _files_below(folder: str, root: Path, label: int) -> Iterator[ListedImage]:
    """Yield the files of a folder and its subfolders; links to folders, which may be loops, count as files."""
    prefix_length = len(str(root)) + 1
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path, root, label)
            continue
        path = entry.path[prefix_length:].replace(os.sep, "/")
        try:
            status = entry.stat()
        except FileNotFoundError:
            yield ListedImage(path, label, -1, 0)
        else:
            is_link_to_folder = entry.is_dir()
            yield ListedImage(f"{path}/" if is_link_to_folder else path, label, status.st_size, status.st_mtime_ns)


def _entries(folder: str | Path) -> list["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def is_image(path: str) -> bool:
    """Return whether a file counts as an image, by its name."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def natural_order(path: str) -> tuple[list[list[str | int]], str]:
    """Return a key that sorts paths by folder, and numbers in names by value, and `01` before `1`."""
    folders = path.split("/")
    words = [[int(word) if word.isdecimal() else word for word in re.split(r"(\d+)", folder)] for folder in folders]
    return words, path


def _checksum(path: Path) -> bytes:
    """Return a hash of the bytes of a file; nothing if it can't be read, which is an error when its pixels are."""
    try:
        with open_to_read(path) as file:
            return hashlib.file_digest(file, "blake2b").digest()  # type: ignore[arg-type]
    except OSError:
        return b""


def _join(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_MAX_NAMED])
    return listed if len(names) <= _MAX_NAMED else f"{listed} and {len(names) - _MAX_NAMED} more"
