"""An exported file compared with the network that it was written from, on images."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cnn_experiments.data import transforms
from cnn_experiments.training.export.formats import Logits
from cnn_experiments.training.export.image_classifier import ImageClassifier
from cnn_experiments.training.trained_network import TrainedNetwork

_TOLERANCE = 1e-2
"""The largest difference of a logit that is accepted, in standard deviations of a logit over the images. Another order
of the sums in float32 changes logits by up to 2e-3 of it in the deepest networks; a wrong resize, or another eps of
batch normalization, by 4e-2 and more (docs/how_to/export.md)."""

_OTHER_PIXELS = 0.1
"""The same where this machine resizes with another rounding than the file, so that pixels are one gray level off."""

_ROUNDING = 1e-5
"""The same in parts of the largest logit: what another order of the sums in float32 may change. It counts for a
network whose logits hardly depend on the image."""

_NUM_ENLARGED = 8


@dataclass(frozen=True)
class Comparison:
    """How far the logits of a file are from those of the network."""

    num_images: int
    largest_difference: float
    """Of any logit; NaN if one is not a number."""
    spread: float
    """The standard deviation of a logit over the images, in all of them."""
    largest_logit: float
    """Of the network, in absolute value."""
    num_other_classes: int
    """How many images have another class with the highest logit."""
    has_same_pixels: bool
    """Whether the preprocessing of the file and that of this machine round alike."""

    @property
    def tolerance(self) -> float:
        """Return the largest difference that is accepted."""
        share = _TOLERANCE if self.has_same_pixels else _OTHER_PIXELS
        return max(share * self.spread, _ROUNDING * self.largest_logit)

    @property
    def is_close(self) -> bool:
        """Return whether the file computes what the network computes, but for rounding."""
        return self.largest_difference <= self.tolerance

    def __str__(self) -> str:
        return (
            f"largest difference of a logit {self.largest_difference:.1e} (the standard deviation over "
            f"the images is {self.spread:.2g}), {self.num_other_classes} images of another class"
        )


def compare(file_logits: Logits, trained: TrainedNetwork, images: Tensor, *, has_preprocessing: bool) -> Comparison:
    """Compare a file that was loaded with the network, on batches of one, two and many images.

    Args:
        file_logits: of the file.
        trained: the network, with its own preprocessing.
        images: uint8 (N, channels, native_size, native_size).
        has_preprocessing: whether the file holds the preprocessing too; then some images are compared at another size,
            which is not square.
    """
    batches = [batch for batch in images.tensor_split([1, 3]) if len(batch)]
    expected = [trained.logits(images)]
    if has_preprocessing:
        native_size = trained.data.native_size
        enlarged = interpolate(images[:_NUM_ENLARGED], (2 * native_size + 1, 3 * native_size + 2))
        batches.append(enlarged)
        expected.append(trained.logits(transforms.resize(enlarged, native_size)))
    with torch.inference_mode():
        actual = torch.cat([file_logits(batch) for batch in batches])
    reference = torch.cat(expected)
    return Comparison(
        num_images=len(images),
        largest_difference=float((actual - reference).abs().max()),
        spread=float((reference - reference.mean(0)).std()),
        largest_logit=float(reference.abs().max()),
        num_other_classes=int((actual.argmax(1) != reference.argmax(1)).sum()),
        has_same_pixels=not has_preprocessing or _has_same_pixels(trained, images[:_NUM_ENLARGED]),
    )


def _has_same_pixels(trained: TrainedNetwork, images: Tensor) -> bool:
    """Return whether this machine resizes to the pixels that the file computes.

    Torch works with integers on CPUs with AVX2 and with floats on others: pixels may be one gray level off then.
    """
    inputs = ImageClassifier(trained.network, trained.data).preprocess(images)
    return torch.allclose(inputs, trained.data.preprocessing(images), atol=1e-5)
