"""Tests of the pictures of class activation maps and of activations."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from cnn_experiments.predictions.figures import to_png
from cnn_experiments.tasks.activation_pictures import (
    ClassMap,
    ExplainedImage,
    activations_figure,
    image_figure,
    overview_figure,
)


def pixels_of(figure: Figure) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(to_png(figure))).convert("RGB")).astype(np.int64)


def is_red(picture: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where a picture is red: (H, W, 3) to (H, W)."""
    return (picture[..., 0] > 180) & (picture[..., 1:] < 80).all(axis=-1)


def gray_image(values: list[list[float]], class_name: str = "coat") -> ExplainedImage:
    """Return a gray image of 2 x 2 pixels with one map."""
    class_map = ClassMap("predicted", class_name, 0.75, np.array(values, dtype=np.float32))
    return ExplainedImage("image.png", np.full((1, 2, 2), 100, dtype=np.uint8), [class_map])


def test_image_is_red_where_the_map_is_high() -> None:
    picture = pixels_of(image_figure(gray_image([[1, 1, 0, 0]] * 4)))
    height, width, _ = picture.shape
    assert width > 1.6 * height  # two panels
    rows, columns = np.nonzero(is_red(picture))
    num_red_columns = columns.max() + 1 - columns.min()
    assert columns.min() == pytest.approx(0.51 * width, rel=0.02)
    assert num_red_columns == pytest.approx(140, abs=2)  # half of a panel
    assert len(columns) == num_red_columns * (rows.max() + 1 - rows.min())


def test_map_without_positive_values_leaves_the_image_as_it_is() -> None:
    picture = pixels_of(image_figure(gray_image([[0, 0], [0, 0]])))
    assert not is_red(picture).any()
    gray = (picture == 100).all(axis=-1)
    left, right = gray[:, : gray.shape[1] // 2].sum(), gray[:, gray.shape[1] // 2 :].sum()
    assert left == pytest.approx(280**2, rel=0.01)
    assert right == pytest.approx(280**2, rel=0.01)


def test_color_images_keep_their_colors_and_other_images_are_gray() -> None:
    color = np.array([0, 0, 200], dtype=np.uint8).reshape(3, 1, 1).repeat(2, axis=1).repeat(2, axis=2)
    assert (pixels_of(image_figure(ExplainedImage("", color, []))) == [0, 0, 200]).all(axis=-1).mean() > 0.5
    two_channels = np.array([50, 101], dtype=np.uint8).reshape(2, 1, 1).repeat(2, axis=1).repeat(2, axis=2)
    assert (pixels_of(image_figure(ExplainedImage("", two_channels, []))) == 76).all(axis=-1).mean() > 0.5


def test_overview_has_four_images_with_one_map_in_a_row() -> None:
    images = [gray_image([[1, 1], [1, 1]])] * 5
    one, four, five = (pixels_of(overview_figure(images[:number], "title")) for number in (1, 4, 5))
    assert four.shape[1] == five.shape[1] > 4 * one.shape[1]
    assert five.shape[0] > 1.7 * four.shape[0]
    assert is_red(five).sum() == pytest.approx(5 * is_red(one).sum(), rel=0.05)


def test_activations_have_one_scale_and_at_most_64_panels() -> None:
    activations = np.zeros((70, 2, 2), dtype=np.float32)
    activations[1] = 5
    activations[64:] = 9
    picture = pixels_of(activations_figure(activations, "features.0"))
    dark, bright = [68, 1, 84], [253, 231, 36]
    num_dark, num_bright = ((picture == color).all(axis=-1).sum() for color in (dark, bright))
    assert num_dark == pytest.approx(63 * num_bright, rel=0.02)
    assert num_bright == pytest.approx(100 * 100, rel=0.05)


def test_activations_that_are_all_equal_are_drawn() -> None:
    picture = pixels_of(activations_figure(np.ones((1, 2, 2), dtype=np.float32), "features.0"))
    assert (picture == [68, 1, 84]).all(axis=-1).any()


@pytest.mark.parametrize("name", ["$x^2$ and $", "a\x1b[31m", "鞋", "a very long name of a class of things", ""])
def test_names_of_classes_are_text(name: str) -> None:
    image = gray_image([[1, 0], [0, 0]], name)
    assert pixels_of(image_figure(image)).shape == pixels_of(image_figure(gray_image([[1, 0], [0, 0]]))).shape
