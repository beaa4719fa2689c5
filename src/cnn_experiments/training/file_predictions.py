"""What a trained network predicts for image files, with one batch of images in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.image_files import ImageFileError, border_color, mean_brightness, read_image_for
from cnn_experiments.errors import RunFailedError
from cnn_experiments.training.trained_network import TrainedNetwork

_DARK, _LIGHT = 1 / 3, 2 / 3
"""Mean brightness of data sets whose images are objects on a dark, or on a light background. Others have any."""


_TOLERATED_SHARE = 0.1
"""Share of images with another background than that of the training images, above which a warning is printed."""


@dataclass(frozen=True)
class FilePrediction:
    """The probabilities of the classes for one file, or why it could not be read."""

    path: Path
    probabilities: Tensor | None
    """float64 (classes,), on the CPU."""
    problem: str | None
    """One line without the path."""
    has_wrong_background: bool
    """Whether the background is light although that of the training images is dark, or the reverse."""
    is_blank: bool
    """Whether all pixels have the same color."""


def predict_files(
    trained: TrainedNetwork, paths: Iterable[Path], *, invert: bool = False, device: torch.device | str = "cpu"
) -> Iterator[FilePrediction]:
    """Yield the prediction for each file, in order; the images are preprocessed as in training.

    Args:
        trained: the network and its data set, whose `batch_size` files are read at a time.
        paths: of images of any size and color model, see `read_image`.
        invert: whether dark and light are exchanged.
        device: on which the network computes.

    Raises:
        ConfigError: the images of the network's data set are neither gray nor RGB.
        RunFailedError: the network returns something that is not finite.
    """
    paths = iter(paths)
    while batch := list(islice(paths, trained.data.batch_size)):
        images = [try_to_read(trained.data, path, invert=invert) for path in batch]
        readable = [image for image in images if isinstance(image, Tensor)]
        probabilities = iter(class_probabilities(trained, torch.stack(readable), device) if readable else ())
        for path, image in zip(batch, images, strict=True):
            if isinstance(image, Tensor):
                yield FilePrediction(
                    path,
                    next(probabilities),
                    problem=None,
                    has_wrong_background=has_wrong_background(trained.data, image),
                    is_blank=is_blank(image),
                )
            else:
                yield FilePrediction(path, None, str(image), has_wrong_background=False, is_blank=False)


def background_kind(data: ImageDataModule) -> str | None:
    """Return whether the images of a data set are objects on a `dark` or a `light` background, or None if on any."""
    brightness = mean_brightness(data)
    return "dark" if brightness < _DARK else "light" if brightness > _LIGHT else None


def has_wrong_background(data: ImageDataModule, image: Tensor) -> bool:
    """Return whether the border of an image is light in a data set of dark backgrounds, or the reverse."""
    is_light = border_color(image).double().mean().item() > 127.5
    return background_kind(data) == ("dark" if is_light else "light")


def is_blank(image: Tensor) -> bool:
    """Return whether all pixels of an image have the same color."""
    return bool((image == image[:, :1, :1]).all())


def image_warnings(
    data: ImageDataModule, *, num_wrong_backgrounds: int, num_blank: int, num_images: int, inverting: str, invert: bool
) -> list[str]:
    """Return what is suspicious about the images that a network got, each in one line with what may mend it.

    Args:
        data: of the network.
        num_wrong_backgrounds: the images of which `has_wrong_background` is true.
        num_blank: the images of which `is_blank` is true.
        num_images: all images.
        inverting: what inverts all images, as the user types it.
        invert: whether they were inverted.
    """
    warnings = []
    if problem := _background_problem(data, num_wrong_backgrounds, num_images):
        warnings.append(
            f"inverted, {problem}: leave out {inverting}" if invert else f"{problem}: {inverting} inverts all images"
        )
    if num_blank:
        blank = f"{num_blank:,} of {num_images:,} images have one color only"
        cause = "an object as dark or as light as the background that replaces transparency needs"
        warnings.append(blank if invert else f"{blank}; {cause} {inverting}")
    return warnings


def _background_problem(data: ImageDataModule, num_wrong: int, num_images: int) -> str | None:
    """Return that images have another background than those that the network was trained on; None if almost none has.

    Args:
        data: of the network.
        num_wrong: the images of which `has_wrong_background` is true.
        num_images: all images.
    """
    if num_wrong <= _TOLERATED_SHARE * num_images:
        return None
    learned, shown = "light objects on a dark", "dark objects on a light"
    if background_kind(data) != "dark":
        learned, shown = shown, learned
    images = f"{num_wrong:,} of {num_images:,} images show {shown} background"
    return f"{images}, but the network was trained on {learned} one"


def try_to_read(data: ImageDataModule, path: Path, *, invert: bool) -> Tensor | ImageFileError:
    """Return a file as an image of a data set, uint8 (channels, native_size, native_size), or why it can't be read.

    Raises:
        ConfigError: the images of the data set are neither gray nor RGB.
    """
    try:
        return read_image_for(data, path, invert=invert)
    except ImageFileError as error:
        return error


def class_probabilities(trained: TrainedNetwork, images: Tensor, device: torch.device | str) -> Tensor:
    """Return the probabilities of the classes, float64 (N, classes), on the CPU.

    Args:
        trained: the network and its data set.
        images: uint8 (N, channels, native_size, native_size).
        device: on which the network computes.

    Raises:
        RunFailedError: the network returns something that is not finite.
    """
    logits = trained.logits(images, device)
    if not logits.isfinite().all():
        raise RunFailedError(f"{trained.checkpoint}: the network's outputs are NaN or infinite")
    return logits.double().softmax(dim=1)
