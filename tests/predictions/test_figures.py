"""Tests of the figures."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cnn_experiments.predictions.figures import (
    confusion_colors,
    confusion_matrix_figure,
    coverage_figure,
    mistakes_figure,
    reliability_figure,
    to_png,
)
from tests.predictions.stored_predictions import make_predictions, make_split


def texts(figure: Figure) -> list[str]:
    """Return the texts in the axes of a figure and beside them."""
    return [text.get_text() for text in (*figure.texts, *(text for axes in figure.axes for text in axes.texts))]


def pixels(figure: Figure) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.asarray(Image.open(io.BytesIO(to_png(figure))).convert("RGB"))


def test_confusion_matrix_has_the_counts_that_are_not_0_and_their_shares() -> None:
    figure = confusion_matrix_figure(make_predictions(labels=(0, 0, 0, 1, 1, 2), predicted=(0, 0, 1, 1, 0, 2)))
    assert texts(figure) == ["2", "66.7%", "1", "33.3%", "1", "50.0%", "1", "50.0%", "1", "100.0%"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cat", "dog", "bird"]


def test_shares_below_a_percent_are_not_written() -> None:
    figure = confusion_matrix_figure(make_predictions(labels=[0] * 201, predicted=[1, 2, 2, *[0] * 198]))
    assert texts(figure) == ["198", "98.5%", "1", "2"]


def test_cells_are_blue_or_red_and_stronger_with_the_share_of_the_true_class() -> None:
    colors = confusion_colors(np.array([[1, 3], [0, 0]]))
    blue, red = np.array([59, 130, 196]) / 255, np.array([209, 73, 91]) / 255
    assert np.allclose(colors[0, 0], [*blue, 0.75 * 0.5])
    assert np.allclose(colors[0, 1], [*red, 0.75 * 0.75**0.5])
    assert np.allclose(colors[1, :, 3], 0)


@pytest.mark.parametrize(("num_classes", "num_texts"), [(2, 4), (12, 24), (13, 13), (20, 20), (21, 0), (50, 0)])
def test_many_classes_have_names_but_no_numbers(num_classes: int, num_texts: int) -> None:
    names = [f"class number {number}" for number in range(num_classes)]
    labels = list(range(num_classes))
    figure = confusion_matrix_figure(make_predictions(labels, labels, names))
    assert len(texts(figure)) == num_texts
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()][:2] == ["class number 0", "class number 1"]
    assert len(figure.axes[0].get_xticks()) == num_classes


def test_a_hundred_classes_are_numbered_at_the_axes() -> None:
    labels = list(range(100))
    figure = confusion_matrix_figure(make_predictions(labels, labels, [f"class {number}" for number in labels]))
    assert texts(figure) == []
    assert pixels(figure).shape == (800, 840, 3)
    assert len(figure.axes[0].get_xticks()) < 20


@pytest.mark.parametrize("channels", [1, 3])
def test_mistakes_are_shown_with_classes_and_confidence(channels: int) -> None:
    figure = mistakes_figure(make_predictions(channels=channels, size=28))
    assert texts(figure) == ["true dog\npredicted cat\n96.5%", "true cat\npredicted dog\n78.7%"]
    shown = pixels(figure)
    assert shown.shape == (164, 720, 3)
    assert (shown[:112, 16:128] == 3).all()
    assert (shown[:112, 160:272] == 1).all()
    assert (shown[:, 288:] == 255).all()


def test_25_mistakes_at_most_are_shown() -> None:
    figure = mistakes_figure(make_predictions([0] * 40, [1] * 40))
    assert len(texts(figure)) == 25
    assert pixels(figure).shape == (5 * 164, 720, 3)


def test_as_many_mistakes_as_asked_for_are_shown() -> None:
    predictions = make_predictions([0] * 40, [1] * 40)
    assert pixels(mistakes_figure(predictions, 9)).shape == (2 * 164, 720, 3)
    assert [len(texts(mistakes_figure(predictions, most))) for most in (1, 9, 1000)] == [1, 9, 40]


def test_network_without_mistakes_has_a_picture_that_says_so() -> None:
    assert texts(mistakes_figure(make_predictions([0, 1], [0, 1]))) == ["no mistakes"]


def test_reliability_has_a_bar_for_each_bin() -> None:
    figure = reliability_figure(make_split([0, 0], [0, 0]))
    accuracy, counts = figure.axes
    heights = [bar.get_height() for bar in accuracy.containers[0]]  # type: ignore[union-attr]
    assert heights == [0] * 8 + [1] + [0] * 2 + [1] + [0] * 3  # the confidences are 0.576 and 0.787
    assert accuracy.get_title() == "calibration error 0.3184"
    assert [bar.get_height() for bar in counts.containers[0]] == [0] * 8 + [0.5] + [0] * 2 + [0.5] + [0] * 3  # type: ignore[union-attr]


def test_coverage_is_drawn_up_to_all_images() -> None:
    (line,) = coverage_figure(make_split([0, 0, 0, 0], [0, 1, 0, 0])).axes[0].lines
    x, y = line.get_data()
    assert np.asarray(x).tolist() == [0.25, 0.5, 0.75, 1]
    assert np.asarray(y).tolist() == [1, 1, 2 / 3, 0.75]


@pytest.mark.parametrize("name", ["$x^{2$ \\frac{1", "模型 😀", "\x1b[31m\n", "x" * 1000, ""], ids=ascii)
def test_names_of_classes_are_text(name: str) -> None:
    predictions = make_predictions(class_names=(name, "dog", name))
    for figure in (confusion_matrix_figure(predictions), mistakes_figure(predictions)):
        assert to_png(figure).startswith(b"\x89PNG")


def test_split_without_images_is_drawn() -> None:
    empty = make_predictions([], [])
    split = empty.splits["test"]
    drawn: list[Figure] = [confusion_matrix_figure(empty), mistakes_figure(empty), reliability_figure(split)]
    assert all(to_png(figure).startswith(b"\x89PNG") for figure in (*drawn, coverage_figure(split)))
