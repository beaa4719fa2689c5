"""Image files of any size and color model, found by their names and read as images of a data set."""

import glob
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from cnn_experiments.config.image_folder import IMAGE_SUFFIXES, is_image, natural_order
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import ConfigError, suggest
from cnn_experiments.runs.regular_file import open_to_read, reading_problem

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""No other: EPS, for example, is a program that Pillow would execute."""
_FORMAT_NAMES = "PNG, JPEG, GIF, BMP, WebP, TIFF or PPM"
_MODES = {1: "L", 3: "RGB"}
_DRAFT_SCALE = 4
"""A JPEG file is decoded at 1/2, 1/4 or 1/8 of its size if that is at least this many times the size asked for, which
takes a quarter of the time for the photograph of a phone."""


class ImageFileError(ValueError):
    """A file that can't be read as an image, for a reason that one line without the path explains."""


@dataclass(frozen=True)
class FoundImages:
    """The image files that a setting names."""

    paths: list[Path]
    """In natural order: `2.png` before `10.png`."""
    left_out: str | None = None
    """One line that says how many files are no images by their names, or None if all are."""


def find_image_files(source: str) -> FoundImages:
    """Return the image files that a setting names.

    Args:
        source: a file, whatever its name; a folder, whose subfolders count too; or a glob pattern, in which `**` stands
            for folders within each other. In a folder and of a pattern, only files with `IMAGE_SUFFIXES` count, and
            hidden ones don't.

    Raises:
        ConfigError: there is nothing, or no image.
    """
    path = os.path.expanduser(source)
    try:
        exists = path != "" and Path(path).exists()
    except (OSError, ValueError) as error:
        raise ConfigError("input", source, problem=f"can't be used: {reading_problem(error)}") from error
    endings = ", ".join(IMAGE_SUFFIXES)
    if exists and not Path(path).is_dir():
        return FoundImages([Path(path)])
    if exists:
        files, place = list(_files_below(Path(path))), f"in {source}"
        problem = f"must be a folder with images; there is no {endings} in it or in its subfolders"
    elif glob.has_magic(path):
        try:
            files, place = [match for match in _matches(Path(path)) if not match.is_dir()], f"matched by {source}"
        except (OSError, ValueError) as error:  # ValueError: `**` is a part of a name
            raise ConfigError("input", source, problem=f"can't be used: {reading_problem(error)}") from error
        problem = f"must be a pattern that matches images; it matches no {endings}"
    else:
        problem = "must be an image, a folder of images or a pattern such as 'images/*.png'; there is no such file"
        raise ConfigError("input", source, problem=problem, suggestion=_nearest_path(Path(path)))
    images = sorted((file for file in files if _is_image(file)), key=lambda path: natural_order(path.as_posix()))
    if not images:
        raise ConfigError("input", source, problem=problem)
    num_others = len(files) - len(images)
    return FoundImages(images, left_out_line(num_others, place) if num_others else None)


def left_out_line(num_others: int, place: str) -> str:
    """Return one line that says how many files of a place are no images by their names."""
    others = "1 other file" if num_others == 1 else f"{num_others:,} other files"
    return f"{others} {place} {'is' if num_others == 1 else 'are'} left out; images are {_FORMAT_NAMES}"


def _files_below(folder: Path) -> Iterable[Path]:
    """Yield the files of a folder and its subfolders; hidden ones and links to folders are left out."""

    def fail(error: OSError) -> None:
        raise ConfigError("input", error.filename, problem=f"can't be read: {reading_problem(error)}") from error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _matches(pattern: Path) -> Iterable[Path]:
    """Yield what a pattern matches; hidden files and links to folders, which may be loops, are left out."""
    parts = pattern.parts
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    folder, names = Path(*parts[:first]), [*parts[first:], *(["*"] if parts[-1] == "**" else [])]
    for path in folder.glob("/".join(names)):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _is_image(path: Path) -> bool:
    return is_image(path.name)


def _nearest_path(missing: Path) -> str | None:
    """Return the folder or image with the name nearest to the first one that is missing in a path, or None."""
    for parent, name in zip(missing.parents, (missing.name, *(path.name for path in missing.parents)), strict=False):
        if parent.is_dir():
            try:
                names = [path.name for path in parent.iterdir() if _is_image(path) or path.is_dir()]
            except OSError:
                return None
            nearest = suggest(name, names)
            return str(parent / nearest) if nearest else None
    return None


def read_image(path: Path, *, channels: int, size: int, background: int = 0, invert: bool = False) -> Tensor:
    """Read a file as an image of a data set. One that has its size and channels is returned bit for bit.

    The first frame of an animation is read. An orientation in the metadata is applied, 16-bit pixels are scaled to
    8 bits, and transparent pixels show the background. An image that is too large or too small is resized, bilinear
    with antialiasing, until its longer side has the size; then one that is not square is padded on both sides with the
    median color of its border, so that nothing is distorted or cut off.

    Args:
        path: of a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM file, whatever its name.
        channels: 1 for gray, or 3 for RGB.
        size: pixels per side.
        background: value 0..255 of transparent pixels in the image that is returned.
        invert: whether dark and light are exchanged.

    Returns:
        uint8 (channels, size, size).

    Raises:
        ImageFileError: the file can't be read, is no image, is damaged, or is too large.
    """
    with pillow_warnings():
        return read_image_in_thread(path, channels=channels, size=size, background=background, invert=invert)


@contextmanager
def pillow_warnings() -> Iterator[None]:
    """Let Pillow reject images that are too large, and skip metadata that is damaged without a word.

    This changes the whole process, so that only one thread may do it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_image_in_thread(path: Path, *, channels: int, size: int, background: int = 0, invert: bool = False) -> Tensor:
    """Do what `read_image` does, in one of several threads that work within `pillow_warnings`."""
    try:
        with open_to_read(path) as file:
            image = _decode(file, _MODES[channels], size, 255 - background if invert else background)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageFileError(f"too large: an image may have {Image.MAX_IMAGE_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise ImageFileError(f"not a {_FORMAT_NAMES} image, or damaged at its beginning") from error
    except Exception as error:  # Pillow raises anything for a damaged file: SyntaxError, struct.error, IndexError
        if isinstance(error, OSError) and error.strerror:
            raise ImageFileError(error.strerror) from error
        raise ImageFileError(f"damaged: {_one_line(str(error) or type(error).__name__)}") from error
    return _to_square(image, size, invert=invert)


def read_image_for(data: ImageDataModule, path: Path, *, invert: bool = False) -> Tensor:
    """Read a file as `read_image` does, with the channels and the size of a data set's stored images.

    Transparent pixels become black if the images of the data set are dark on average, such as light objects on black,
    and white otherwise.

    Raises:
        ImageFileError: as `read_image`.
        ConfigError: the images of the data set are neither gray nor RGB.
    """
    _check_channels(data, "input", path)
    background = _background(data)
    return read_image(path, channels=data.channels, size=data.native_size, background=background, invert=invert)


def convert_image_for(data: ImageDataModule, image: Image.Image, *, invert: bool = False) -> Tensor:
    """Convert an image of PIL as `read_image_for` converts that of a file.

    Returns:
        uint8 (channels, native_size, native_size).

    Raises:
        ConfigError: the images of the data set are neither gray nor RGB, or this image is damaged.
    """
    _check_channels(data, "images", type(image).__name__)
    background = 255 - _background(data) if invert else _background(data)
    try:
        converted = _to_mode(ImageOps.exif_transpose(image), _MODES[data.channels], background)
    except OSError as error:  # of the file, which PIL may not have read yet
        raise ConfigError("images", type(image).__name__, problem=_one_line(reading_problem(error))) from error
    return _to_square(converted, data.native_size, invert=invert)


def _check_channels(data: ImageDataModule, key: str, value: object) -> None:
    if data.channels not in _MODES:
        problem = f"the network needs images of {data.channels} channels; images can have 1 (gray) or 3 (RGB)"
        raise ConfigError(key, value, problem=problem)


def _background(data: ImageDataModule) -> int:
    if data.background is not None:
        return data.background
    return 0 if mean_brightness(data) < 0.5 else 255


def mean_brightness(data: ImageDataModule) -> float:
    """Return the mean of all training pixels of a data set, in 0..1."""
    return data.mean if isinstance(data.mean, int | float) else fmean(data.mean)


def border_color(image: Tensor) -> Tensor:
    """Return the median color, (..., C), of the pixels at the border of an image, (..., C, H, W)."""
    sides = [image[..., 0, :], image[..., -1, :], image[..., 1:-1, 0], image[..., 1:-1, -1]]
    return torch.cat(sides, dim=-1).median(dim=-1).values


def _decode(file: IO[bytes], mode: str, size: int, background: int) -> Image.Image:
    """Return the first frame of an image in 8 bits per channel.

    Args:
        file: of the image, at its beginning.
        mode: of the result, `L` or `RGB`.
        size: to which the image will be resized.
        background: value of transparent pixels.
    """
    Image.open(file, formats=_FORMATS).verify()  # of a PNG: decoding does not compare all its checksums
    file.seek(0)
    image = Image.open(file, formats=_FORMATS)
    image.draft(None, (_DRAFT_SCALE * size, _DRAFT_SCALE * size))
    ImageOps.exif_transpose(image, in_place=True)
    return _to_mode(image, mode, background)


def _to_mode(image: Image.Image, mode: str, background: int) -> Image.Image:
    """Return an image in 8 bits per channel, with transparent pixels in the background's value."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image)
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, (background, background, background, 255))
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    if image.mode == mode:
        image.load()
        return image
    return (image if image.mode in ("1", "L") else image.convert("RGB")).convert(mode)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale integers of 16 bits to 8; floats, which Pillow uses for the same range as 8 bits, are rounded."""
    pixels = np.asarray(image).astype(np.float64)
    pixels = np.nan_to_num(pixels) if image.mode == "F" else pixels / 257
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


def _to_square(image: Image.Image, size: int, *, invert: bool) -> Tensor:
    """Return uint8 (C, size, size)."""
    pixels = pad_to_square(_to_tensor(_fit(image, size)), size)
    return 255 - pixels if invert else pixels


def _fit(image: Image.Image, size: int) -> Image.Image:
    """Resize until the longer side has `size` pixels."""
    longer = max(image.size)
    if longer == size:
        return image
    width, height = (max(1, round(side * size / longer)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _to_tensor(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.movedim(-1, 0).contiguous()


def pad_to_square(image: Tensor, size: int) -> Tensor:
    """Return images, (..., C, H, W) with a longer side of `size`, padded with the color of the border."""
    height, width = image.shape[-2:]
    if height == width:
        return image
    padded = border_color(image)[..., None, None].expand(*image.shape[:-2], size, size).clone()
    top, left = (size - height) // 2, (size - width) // 2
    padded[..., top : top + height, left : left + width] = image
    return padded


def _one_line(message: str) -> str:
    return " ".join(message.split())
