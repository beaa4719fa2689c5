"""Tests of writing and reading predictions.npz."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_experiments.predictions.file import Predictions, SplitPredictions, num_stored_mistakes

TEST = SplitPredictions(
    index=np.array([0, 1, 2, 3]),
    label=np.array([0, 1, 1, 0]),
    logits=np.array([[2, 0], [3, 0], [0, 1], [0, 0.5]], dtype=np.float32),
)
VAL = SplitPredictions(np.array([7]), np.array([1]), np.array([[0, 1]], dtype=np.float32))
PREDICTIONS = Predictions(
    ("cat", "dög"), {"test": TEST, "val": VAL}, np.array([1, 3]), np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
)


def test_file_holds_what_was_saved(tmp_path: Path) -> None:
    PREDICTIONS.save(tmp_path / "predictions.npz")
    loaded = Predictions.load(tmp_path / "predictions.npz")
    assert loaded.class_names == ("cat", "dög")
    assert list(loaded.splits) == ["val", "test"]
    for name in ("test", "val"):
        for key in ("index", "label", "logits"):
            assert np.array_equal(getattr(loaded.splits[name], key), getattr(PREDICTIONS.splits[name], key))
    assert np.array_equal(loaded.mistake_index, [1, 3])
    assert np.array_equal(loaded.mistake_images, PREDICTIONS.mistake_images)
    assert loaded.evaluated is loaded.splits["test"]


def test_same_predictions_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        PREDICTIONS.save(tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_mistakes_are_sorted_by_confidence() -> None:
    assert TEST.predicted.tolist() == [0, 0, 1, 1]
    assert TEST.mistakes().tolist() == [1, 3]
    assert TEST.probabilities[1].tolist() == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(3))])


def test_probabilities_of_large_logits_are_finite() -> None:
    split = replace(VAL, logits=np.array([[1e4, -1e4]], dtype=np.float32))
    assert split.probabilities.tolist() == [[1.0, 0.0]]


def test_images_of_many_small_mistakes_or_few_large_ones_are_stored() -> None:
    assert num_stored_mistakes(3, 784) == 3
    assert num_stored_mistakes(9000, 784) == 1337
    assert num_stored_mistakes(9000, 3 * 224 * 224) == 25


def write_changed(path: Path, **changes: Any) -> None:
    """Write the file with other arrays; None leaves one out."""
    PREDICTIONS.save(path)
    with np.load(path) as arrays:
        content = {key: value for key, value in (dict(arrays) | changes).items() if value is not None}
    np.savez(path, **content)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"class_names": None}, "it has no class_names"),
        ({"test_logits": np.zeros((4, 2))}, "its test_logits is float64 of 2 dimensions"),
        ({"test_logits": np.zeros((4, 3), np.float32)}, "its arrays of the split test do not belong together"),
        ({"val_label": np.array([1, 1])}, "its arrays of the split val do not belong together"),
        ({"test_label": np.array([0, 1, 2, 0])}, "its test_label has other classes than the 2 in class_names"),
        ({"test_label": np.array([0, 1, -1, 0])}, "its test_label has other classes than the 2 in class_names"),
        ({"mistake_index": np.array([1, 9])}, "its mistakes do not belong together"),
        ({"mistake_index": np.array([1])}, "its mistakes do not belong together"),
        ({"test_index": None, "val_index": None}, "it has no split"),
    ],
)
def test_damaged_file_is_rejected(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    write_changed(tmp_path / "predictions.npz", **changes)
    with pytest.raises(ValueError, match=f"^{problem}$"):
        Predictions.load(tmp_path / "predictions.npz")


def test_file_that_is_no_archive_or_has_objects_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    PREDICTIONS.save(path)
    content = path.read_bytes()
    for damaged in (b"", b"text", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^damaged, or another program wrote it \("):
            Predictions.load(path)
    np.savez(path, class_names=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Predictions.load(path)


def test_archive_that_expands_without_end_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**31,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("class_names.npy", "w") as file:
        file.write(header.getvalue())
        for _ in range(1100):
            file.write(bytes(2**20))
    with pytest.raises(ValueError, match="its arrays are larger than 1,073,741,824 bytes"):
        Predictions.load(path)


def test_missing_file_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Predictions.load(tmp_path / "predictions.npz")
