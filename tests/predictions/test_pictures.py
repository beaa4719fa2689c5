"""Tests of how images are shown."""

import numpy as np
import pytest

from cnn_experiments.predictions.pictures import gray_or_rgb, to_picture


def test_small_images_are_enlarged_by_repeating_pixels() -> None:
    picture = to_picture(np.array([[[0, 255], [7, 8]]], dtype=np.uint8), 4)
    assert (picture.mode, picture.size) == ("L", (4, 4))
    assert np.asarray(picture).tolist() == [[0, 0, 255, 255]] * 2 + [[7, 7, 8, 8]] * 2


@pytest.mark.parametrize(
    ("shape", "mode", "size"),
    [
        ((1, 28, 28), "L", (112, 112)),
        ((3, 32, 32), "RGB", (112, 112)),
        ((3, 224, 224), "RGB", (112, 112)),
        ((4, 10, 20), "L", (112, 56)),
        ((1, 500, 1), "L", (1, 112)),
        ((1, 0, 5), "L", (112, 112)),
        ((0, 5, 5), "L", (112, 112)),
    ],
    ids=str,
)
def test_images_of_any_shape_are_shown(shape: tuple[int, int, int], mode: str, size: tuple[int, int]) -> None:
    picture = to_picture(np.zeros(shape, dtype=np.uint8), 112)
    assert (picture.mode, picture.size) == (mode, size)


def test_color_channels_keep_their_order() -> None:
    picture = to_picture(np.array([10, 20, 30], dtype=np.uint8).reshape(3, 1, 1), 2)
    assert picture.getpixel((1, 1)) == (10, 20, 30)


def test_channels_that_are_no_colors_are_averaged() -> None:
    two_images = np.array([[[[0]], [[101]]], [[[2]], [[4]]]], dtype=np.uint8)
    assert gray_or_rgb(two_images).tolist() == [[[[50]]], [[[3]]]]
    assert gray_or_rgb(two_images).dtype == np.uint8
    assert gray_or_rgb(two_images.astype(np.float32)).tolist() == [[[[50.5]]], [[[3.0]]]]
    assert to_picture(two_images[1], 2).getpixel((1, 1)) == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_and_color_images_stay_as_they_are(channels: int) -> None:
    image = np.arange(channels * 4, dtype=np.uint8).reshape(channels, 2, 2)
    assert gray_or_rgb(image).tolist() == image.tolist()
