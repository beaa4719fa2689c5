"""Images of somebody's own, in one folder per class."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import PIL
import torch
from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.config.image_folder import ListedImage, list_image_folder
from cnn_experiments.console import print_line, relative_path
from cnn_experiments.data.datamodule import MEASURED, ImageDataModule, stratified_permutation
from cnn_experiments.data.image_cache import cache_directory, load_or_make
from cnn_experiments.data.image_files import ImageFileError, left_out_line, pillow_warnings, read_image_in_thread
from cnn_experiments.runtime.progress import with_progress

_SPLIT_SEED = 0  # a folder without a test set has the same one for every run
_WHITE = 255
_IMAGES_AT_ONCE = 256
"""Images that are in memory while the file of all of them is written."""
_MAX_NAMED = 3
"""How many unreadable files an error names."""


class ImageFolder(ImageDataModule):
    """Images in one folder per class, in the folders train and test, or in one that is split.

    Every file is read once, as `read_image` does: transparent pixels become white, and an image that is not square is
    padded with the color of its border. Mean and standard deviation are those of the training images. The resized
    images are kept in a file of the cache directory, which is never that of the images; it may be removed at any time,
    and is made again if an image changes.

    Args:
        root: the folder.
        content: a hash of the names and sizes of all images, and of the bytes of those without compression, which
            `root` must have.
        test_size: number of images of the test set, stratified by class, if there is no folder test.
        cache: directory of the resized images, or None for one below the user's cache directory.
        channels: 1 for gray, or 3 for RGB.
        resize: pixels per side.
        settings: the other parameters of ImageDataModule.

    Raises:
        ArgumentError: `root` has other images, `resize` is None, `channels` is another number, or there is no directory
            for `cache`.
        ConfigError: `root` is no folder of images, or `test_size` does not suit it.
    """

    def __init__(
        self,
        *,
        root: str,
        content: str,
        test_size: int | None,
        cache: str | None,
        channels: int,
        resize: int | None,
        **settings: Any,
    ) -> None:
        if channels not in (1, 3):
            raise ArgumentError("channels", channels, "must be 1 (gray) or 3 (RGB)")
        if resize is None:
            raise ArgumentError("resize", None, "must be the pixels per side: the images of a folder may have any size")
        listing = list_image_folder(root)
        if listing.content != content:
            problem = (
                f"must have the images of the run, with the same names and sizes ({content}, not {listing.content})"
            )
            raise ArgumentError("root", root, problem)
        self.root = listing.root
        self.class_names = listing.class_names
        self.num_train_images, self.num_test_images = listing.sizes.split(test_size)
        self.native_size = resize
        self.mean = self.std = MEASURED
        self.background = _WHITE
        self._listing = listing
        self._cache = cache_directory(cache)
        super().__init__(channels=channels, resize=resize, **settings)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return a split; the images of both are resized when the first is asked for, if they have never been.

        Raises:
            ArgumentError: files can't be read, or there is no room for the resized images.
        """
        images = load_or_make(self._cache, self._cache_name, self._shape, self._resized_images())
        labels = torch.tensor([image.label for image in self._files])
        split = slice(self.num_train_images) if train else slice(self.num_train_images, None)
        return images[split], labels[split]

    @cached_property
    def _files(self) -> Sequence[ListedImage]:
        """Return the files of the training set, then those of the test set."""
        listed = self._listing.train
        if self._listing.test:
            return [*listed, *self._listing.test]
        order = stratified_permutation(torch.tensor([image.label for image in listed]), _SPLIT_SEED)
        test, train = order[: self.num_test_images], order[self.num_test_images :]
        return [listed[place] for place in (*train.sort().values.tolist(), *test.sort().values.tolist())]

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        return len(self._files), self.channels, self.native_size, self.native_size

    @cached_property
    def _cache_name(self) -> str:
        """Return a hash of all that the resized images depend on."""
        digest = hashlib.sha256(f"{PIL.__version__} {self._shape} {self.background} {self._listing.content}".encode())
        for image in self._files:
            line = f"{image.path}\0{image.num_bytes}\0{image.modified_ns}\0"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()[:32]

    def _resized_images(self) -> Iterator[Tensor]:
        """Yield all images, uint8 (channels, native_size, native_size), read by several threads.

        Raises:
            ArgumentError: files can't be read; all have been tried.
        """
        started = time.monotonic()
        num_images, size = len(self._files), f"{self.native_size} x {self.native_size} pixels"
        print_line(f"resizing {num_images:,} images of {relative_path(self.root)} to {size}")
        if self._listing.num_left_out:
            print_line(left_out_line(self._listing.num_left_out, f"in {relative_path(self.root)}"), "yellow")
        unreadable: list[str] = []
        for file, image in zip(with_progress(self._files, "resizing images"), self._read_all(), strict=True):
            if isinstance(image, ImageFileError):
                unreadable.append(f"{file.path} ({image})")
            elif not unreadable:
                yield image
        if unreadable:
            named = ", ".join(unreadable[:_MAX_NAMED])
            more = f" and {len(unreadable) - _MAX_NAMED:,} more" if len(unreadable) > _MAX_NAMED else ""
            problem = f"{len(unreadable):,} of {num_images:,} images can't be read: {named}{more}"
            raise ArgumentError("root", str(self.root), problem)
        print_line(f"resized in {time.monotonic() - started:.1f} s")

    def _read_all(self) -> Iterator[Tensor | ImageFileError]:
        """Yield all images in order, or why one can't be read."""
        with pillow_warnings(), ThreadPoolExecutor(max(1, torch.get_num_threads())) as threads:
            for start in range(0, len(self._files), _IMAGES_AT_ONCE):
                yield from threads.map(self._read, self._files[start : start + _IMAGES_AT_ONCE])

    def _read(self, file: ListedImage) -> Tensor | ImageFileError:
        try:
            return read_image_in_thread(
                self.root / file.path, channels=self.channels, size=self.native_size, background=_WHITE
            )
        except ImageFileError as error:
            return error
