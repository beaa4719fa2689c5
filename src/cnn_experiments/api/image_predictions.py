"""What a network makes of images from files, PIL, numpy or torch."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cnn_experiments.api.tables import data_frame, html_notes, html_table, to_html
from cnn_experiments.console import printable
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.image_files import ImageFileError, convert_image_for, find_image_files
from cnn_experiments.errors import ConfigError
from cnn_experiments.predictions.pictures import to_pil
from cnn_experiments.runs.stages import format_shape
from cnn_experiments.runtime.progress import with_progress
from cnn_experiments.training.file_predictions import (
    class_probabilities,
    has_wrong_background,
    image_warnings,
    is_blank,
    try_to_read,
)
from cnn_experiments.training.trained_network import TrainedNetwork

if TYPE_CHECKING:
    from pandas import DataFrame

ImageSource = str | Path | Image.Image | Tensor | NDArray[np.uint8] | Sequence[Any]
"""What `predict` takes."""

_MAX_SHOWN = 25
"""Images that the HTML shows."""
_PICTURE_PIXELS = 48
"""The height of an image in the HTML."""
_COLOR_CHANNELS = (3, 4)
"""Of RGB, and of RGB with transparency."""
_NUM_NEXT = 2
"""The classes that follow the most probable one."""


@dataclass(frozen=True, eq=False)
class ReadImages:
    """Images of a source, as the data set stores its own."""

    names: Sequence[str]
    """The paths of files; of other images their numbers, from 0."""
    pixels: Tensor
    """uint8 (N, channels, native_size, native_size)."""
    unreadable: dict[str, str]
    """The files that could not be read, and why."""
    left_out: Sequence[str]
    """What folders have besides images."""


@dataclass(frozen=True, eq=False)
class ImagePredictions:
    """The probabilities of the classes for some images. Jupyter shows the images with their most probable classes.

    For each image, in the order in which they were given, a file that can't be read left out: `names`, `images` as the
    network got them, `classes` and `confidence`, which are the most probable class and its probability, and
    `probabilities` of all `class_names`. `to_frame()` returns these as a table of pandas, `unreadable` says which files
    could not be read, and `warnings` what is suspicious.
    """

    names: Sequence[str]
    """The paths of files; of other images their numbers, from 0."""
    images: NDArray[np.uint8]
    """What the network got, before resizing and scaling, (N, channels, native_size, native_size)."""
    probabilities: NDArray[np.float64]
    """(N, num_classes)."""
    class_names: Sequence[str]
    unreadable: dict[str, str]
    """The files that could not be read, and why."""
    warnings: Sequence[str]
    """What is suspicious about the images, such as another background than that of the images of the training, and how
    many files of a folder are no images."""

    @property
    def classes(self) -> list[str]:
        """Return the name of the most probable class of each image."""
        return [self.class_names[index] for index in self.probabilities.argmax(axis=1)]

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Return the probability of the most probable class of each image, (N,)."""
        confidence: NDArray[np.float64] = self.probabilities.max(axis=1, initial=0.0)
        return confidence

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        lines = [
            f"{name}: {predicted} {confidence:.1%}"
            for name, predicted, confidence in zip(self.names, self.classes, self.confidence, strict=True)
        ]
        if len(lines) > _MAX_SHOWN:
            lines = [*lines[:_MAX_SHOWN], f"... and {len(lines) - _MAX_SHOWN:,} more"]
        return "\n".join(map(printable, [*lines, *self._notes()]))

    def _repr_html_(self) -> str:
        rows = [self._row(number) for number in range(min(len(self), _MAX_SHOWN))]
        header = ["", "image", "class", "probability", "next"]
        table = html_table(header, rows, [True, True, True, False, True]) if rows else ""
        more = [f"... and {len(self) - _MAX_SHOWN:,} more"] if len(self) > _MAX_SHOWN else []
        return table + html_notes([*more, *self._notes()])

    def _row(self, number: int) -> list[str]:
        first, *others = np.argsort(-self.probabilities[number], kind="stable")[: _NUM_NEXT + 1]
        texts = [self._format(number, place) for place in others]
        return [
            _picture_html(self.images[number]),
            to_html(self.names[number]),
            to_html(self.class_names[first]),
            f"{self.probabilities[number, first]:.1%}",
            to_html(", ".join(texts)),
        ]

    def _format(self, number: int, place: int) -> str:
        return f"{self.class_names[place]} {self.probabilities[number, place]:.1%}"

    def _notes(self) -> list[str]:
        unreadable = [f"{name}: {problem}" for name, problem in self.unreadable.items()]
        return [*self.warnings, *unreadable]

    def to_frame(self) -> "DataFrame":
        """Return the classes and all probabilities as a DataFrame of pandas, one row for each image.

        Raises:
            ConfigError: pandas is not installed.
        """
        columns: dict[str, list[Any]] = {
            "image": list(self.names),
            "class": self.classes,
            "probability": self.confidence.tolist(),
        }
        for place, name in enumerate(self.class_names):
            columns[f"probability of {name}"] = self.probabilities[:, place].tolist()
        return data_frame(columns)


def predict(
    trained: TrainedNetwork, source: ImageSource, *, device: torch.device | str, invert: bool
) -> ImagePredictions:
    """Return what a network makes of images, preprocessed as in training; a damaged file is left out and named.

    Raises:
        ConfigError: as `read_images`.
        RunFailedError: the network returns something that is not finite.
    """
    read = read_images(trained.data, source, "images", invert=invert)
    return ImagePredictions(
        names=read.names,
        images=read.pixels.numpy(),
        probabilities=class_probabilities(trained, read.pixels, device).numpy(),
        class_names=trained.data.class_names,
        unreadable=read.unreadable,
        warnings=[
            *image_warnings(
                trained.data,
                num_wrong_backgrounds=sum(has_wrong_background(trained.data, image) for image in read.pixels),
                num_blank=sum(map(is_blank, read.pixels)),
                num_images=len(read.pixels),
                inverting="invert=True",
                invert=invert,
            ),
            *read.left_out,
        ],
    )


def read_images(data: ImageDataModule, source: ImageSource, argument: str, *, invert: bool) -> ReadImages:
    """Return the images of a source; a damaged file is left out and named.

    Args:
        data: the data module of the network.
        source: of the images.
        argument: the argument that names the source, for errors.
        invert: whether dark and light are exchanged.

    Raises:
        ConfigError: there is no such file, no image can be read, or values are of another type or shape.
    """
    names: list[str] = []
    images: list[Tensor] = []
    unreadable: dict[str, str] = {}
    left_out: list[str] = []
    try:
        for path, image in _read(data, source, invert, left_out):
            if isinstance(image, Tensor):
                names.append(str(len(names) if path is None else path))
                images.append(image)
            else:
                unreadable[str(path)] = str(image)
    except ConfigError as error:
        if error.key not in ("input", "images"):  # of the data module
            raise
        raise error.with_key(argument) from error
    if not images:
        name, problem = next(iter(unreadable.items()), (argument, "there is none"))
        raise ConfigError(name, problem=problem)
    return ReadImages(names, torch.stack(images), unreadable, left_out)


def _read(
    data: ImageDataModule, source: ImageSource, invert: bool, left_out: list[str]
) -> Iterator[tuple[Path | None, Tensor | ImageFileError]]:
    """Yield the images of a source, uint8 (channels, native_size, native_size), those of files with their paths.

    For a file that can't be read, the reason is yielded. What a folder has besides images is added to `left_out`.
    """
    if isinstance(source, str | Path):
        found = find_image_files(str(source))
        left_out.extend([found.left_out] if found.left_out else [])
        for path in with_progress(found.paths, "reading images"):
            yield path, try_to_read(data, path, invert=invert)
    elif isinstance(source, Image.Image):
        yield None, convert_image_for(data, source, invert=invert)
    elif isinstance(source, Tensor | np.ndarray):
        values = _uint8_values(source)
        if _is_color_picture(values, data.channels):
            yield None, convert_image_for(data, Image.fromarray(values.numpy()), invert=invert)
        else:
            for image in _stored_images(data, values):
                yield None, _fit(data, image, invert)
    elif isinstance(source, Sequence):
        for item in source:
            yield from _read(data, item, invert, left_out)
    else:
        problem = "must be a path, an image of PIL, values of numpy or torch, or a list of these"
        raise ConfigError("images", type(source).__name__, problem=problem)


def _uint8_values(values: Tensor | NDArray[Any]) -> Tensor:
    """Return values on the CPU.

    Raises:
        ConfigError: they are of another type than uint8.
    """
    tensor = values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    if tensor.dtype != torch.uint8:
        name = str(tensor.dtype).removeprefix("torch.")
        raise ConfigError("images", name, problem="must be uint8, 0 to 255, as the data set stores them")
    return tensor


def _is_color_picture(values: Tensor, channels: int) -> bool:
    """Return whether values are RGB or RGBA as `np.asarray` makes them of an image of PIL, other than as stored."""
    if values.ndim != 3 or not values.numel():
        return False
    height, _, last = values.shape
    return last in _COLOR_CHANNELS and last != channels and height not in (channels, 3)


def _stored_images(data: ImageDataModule, values: Tensor) -> Tensor:
    """Return (N, channels, H, W) of one or several images, whose channels may be last or left out if it is one.

    Raises:
        ConfigError: the shape fits in no way, or in two.
    """
    shape = format_shape(values.shape) or "a number"
    channels = data.channels
    if channels == 1 and values.ndim == 3 and values.shape[0] == 3 and values.shape[2] != 1:
        problem = "may be 3 gray images or one color image: write (3, 1, H, W) for 3, or (H, W, 3) for one"
        raise ConfigError("images", shape, problem=problem)
    candidates = []
    if values.ndim == 2 and channels == 1:
        candidates.append(values[None, None])
    if values.ndim == 3:
        if channels == 1 and values.shape[2] != 1:
            candidates.append(values[:, None])
        elif channels > 1 and values.shape[0] == channels:
            candidates.append(values[None])
        if values.shape[2] == channels:
            candidates.append(values.movedim(2, 0)[None])
    if values.ndim == 4:
        if values.shape[1] == channels:
            candidates.append(values)
        if values.shape[3] == channels and not (channels == 1 and values.shape[1] == 1):
            candidates.append(values.movedim(3, 1))
    if len(candidates) == 1 and candidates[0].numel():
        return candidates[0]
    problem = f"must be (N, {channels}, H, W), as the data set stores them"
    if len(candidates) > 1:
        problem = f"{problem}; this may also have its channels last"
    raise ConfigError("images", shape, problem=problem)


def _fit(data: ImageDataModule, image: Tensor, invert: bool) -> Tensor:
    """Return an image (channels, H, W) in the size of the stored images; one that has it stays as it is."""
    if image.shape[1:] == (data.native_size, data.native_size):
        return 255 - image if invert else image
    return convert_image_for(data, to_pil(image.numpy()), invert=invert)


def _picture_html(image: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    to_pil(image).save(file, format="PNG")
    content = base64.b64encode(file.getvalue()).decode()
    style = f"height: {_PICTURE_PIXELS}px; image-rendering: pixelated; margin: 0"
    return f'<img src="data:image/png;base64,{content}" alt="" style="{style}">'
