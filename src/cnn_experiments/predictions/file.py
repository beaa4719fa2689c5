"""predictions.npz: the logits of every image of the test, and of the images held out for validation."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cnn_experiments.runs.atomic import atomic_write_bytes
from cnn_experiments.runs.metrics import SPLITS, Split
from cnn_experiments.runs.regular_file import open_to_read

_MAX_BYTES = 2**30
"""The longest file that is read, and the most that its arrays need in memory."""
_NOT_NPZ = (zipfile.BadZipFile, EOFError, KeyError, MemoryError, RuntimeError, TokenError, zlib.error)
"""What reading another file raises: encrypted, of an unknown compression, or with a header of a huge array."""
_MAX_MISTAKE_BYTES = 2**20
MIN_MISTAKES = 25
"""The images of so many mistakes are stored, however large they are; more if they fit into a MiB."""


@dataclass(frozen=True)
class SplitPredictions:
    """The logits of the images of one split."""

    index: NDArray[np.int64]
    """The place of each image in the data set as stored, (N,): in the test set, or of the split `val` in the training
    set."""
    label: NDArray[np.int64]
    """The true class of each image, (N,)."""
    logits: NDArray[np.float32]
    """The output of the network, (N, num_classes)."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Return the class with the highest logit of each image, (N,)."""
        return self.logits.argmax(axis=1)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Return the softmax of the logits, (N, num_classes)."""
        shifted = self.logits.astype(np.float64) - self.logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    def mistakes(self) -> NDArray[np.int64]:
        """Return the rows of the images whose predicted class is wrong, the most confident one first."""
        rows = np.flatnonzero(self.predicted != self.label)
        confidence = self.probabilities[rows].max(axis=1, initial=0.0)
        return rows[np.argsort(-confidence, kind="stable")]


@dataclass(frozen=True, repr=False)
class Predictions:
    """The content of predictions.npz."""

    class_names: tuple[str, ...]
    splits: Mapping[Split, SplitPredictions]
    """By split. A run writes `test`, and `val` if images were held out."""
    mistake_index: NDArray[np.int64]
    """The `index` of the most confident mistakes of `evaluated`, the most confident one first, (M,)."""
    mistake_images: NDArray[np.uint8]
    """Their images, (M, C, H, W), as the data set stores them."""

    def __repr__(self) -> str:
        splits = ", ".join(f"{name}: {len(split.index):,} images" for name, split in self.splits.items())
        return f"Predictions({splits}; {len(self.class_names)} classes)"

    @property
    def evaluated(self) -> SplitPredictions:
        """Return the predictions of the test split, or of the only one."""
        return self.splits.get("test") or next(iter(self.splits.values()))

    def save(self, path: Path) -> None:
        """Write the file as a whole.

        Raises:
            OSError: it cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {
            "class_names": np.array(self.class_names, dtype=np.str_),
            "mistake_index": self.mistake_index,
            "mistake_images": self.mistake_images,
        }
        for name, split in self.splits.items():
            arrays |= {f"{name}_index": split.index, f"{name}_label": split.label, f"{name}_logits": split.logits}
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **arrays)
        atomic_write_bytes(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file. Nothing in it is executed.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read, or is no regular file.
            ValueError: it is damaged; the message says how.
        """
        with open_to_read(path) as file:
            try:
                with zipfile.ZipFile(file) as archive:
                    if sum(entry.file_size for entry in archive.infolist()) > _MAX_BYTES:
                        raise ValueError(f"its arrays are larger than {_MAX_BYTES:,} bytes")
                file.seek(0)
                with np.load(file, allow_pickle=False) as arrays:
                    return cls._from_arrays(dict(arrays))
            except _NOT_NPZ as error:
                raise ValueError(f"damaged, or another program wrote it ({error})") from error

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        def array(name: str, kind: type[np.generic], num_dims: int) -> NDArray[Any]:
            if name not in arrays:
                raise ValueError(f"it has no {name}")
            value = arrays[name]
            if not isinstance(value, np.ndarray):
                raise ValueError(f"its {name} is no array")
            if value.dtype.type is not kind or value.ndim != num_dims:
                raise ValueError(f"its {name} is {value.dtype} of {value.ndim} dimensions")
            return value

        names = tuple(map(str, array("class_names", np.str_, 1)))
        splits: dict[Split, SplitPredictions] = {}
        for name in SPLITS:
            if f"{name}_index" not in arrays:
                continue
            split = SplitPredictions(
                array(f"{name}_index", np.int64, 1),
                array(f"{name}_label", np.int64, 1),
                array(f"{name}_logits", np.float32, 2),
            )
            if not len(split.index) == len(split.label) == len(split.logits) or split.logits.shape[1] != len(names):
                raise ValueError(f"its arrays of the split {name} do not belong together")
            if split.label.size and not 0 <= split.label.min() <= split.label.max() < len(names):
                raise ValueError(f"its {name}_label has other classes than the {len(names)} in class_names")
            splits[name] = split
        if not splits:
            raise ValueError("it has no split")
        mistake_index = array("mistake_index", np.int64, 1)
        mistake_images = array("mistake_images", np.uint8, 4)
        predictions = cls(names, splits, mistake_index, mistake_images)
        if len(mistake_index) != len(mistake_images) or not np.isin(mistake_index, predictions.evaluated.index).all():
            raise ValueError("its mistakes do not belong together")
        return predictions


def num_stored_mistakes(num_mistakes: int, image_bytes: int) -> int:
    """Return how many of the most confident mistakes are stored with their images.

    Args:
        num_mistakes: how many there are.
        image_bytes: the size of one image.
    """
    return min(num_mistakes, max(MIN_MISTAKES, _MAX_MISTAKE_BYTES // image_bytes))
