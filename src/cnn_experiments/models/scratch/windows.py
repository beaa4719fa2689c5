"""Padding, and the windows of an image that correlation and pooling visit."""

from torch import Tensor
from torch.nn.functional import pad

Pair = tuple[int, int]
"""A number for the vertical and one for the horizontal direction."""


def windows_naive(x: Tensor, size: Pair, stride: Pair, padding: Pair, fill: float = 0.0) -> list[list[Tensor]]:
    """Return the windows of (H, W) in rows, as `windows` does."""
    x = _pad(x, size, padding, fill)
    (h, w), (vertical, horizontal) = size, stride
    return [
        [x[i : i + h, j : j + w] for j in range(0, x.shape[1] - w + 1, horizontal)]
        for i in range(0, x.shape[0] - h + 1, vertical)
    ]


def windows(x: Tensor, size: Pair, stride: Pair, padding: Pair, fill: float = 0.0) -> Tensor:
    """Return the windows of `size` = (h, w), a view of the padded image: (..., H, W) to (..., H', W', h, w).

    H' is (H + 2 * padding - h) // stride + 1, and W' likewise: rows and columns that fill no further window are left
    out.

    Args:
        x: images.
        size: height and width of a window.
        stride: rows and columns from one window to the next.
        padding: rows above and below, and columns left and right, that are added first.
        fill: their value.

    Raises:
        ValueError: a window is larger than the padded image.
    """
    return _pad(x, size, padding, fill).unfold(-2, size[0], stride[0]).unfold(-2, size[1], stride[1])


def unfold2d(x: Tensor, size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
    """Return the windows of `size` = (h, w) as columns: (..., C, H, W) to (..., C * h * w, number of windows).

    A column has the values of one window in all channels. The columns are in the order of the output's pixels, row by
    row.
    """
    patches = windows(x, size, stride, padding)  # (..., C, H', W', h, w)
    return patches.movedim((-2, -1), (-4, -3)).flatten(-2).flatten(-4, -2)


def _pad(x: Tensor, size: Pair, padding: Pair, fill: float) -> Tensor:
    """Return the padded image, into which at least one window of `size` fits."""
    vertical, horizontal = padding
    height, width = x.shape[-2] + 2 * vertical, x.shape[-1] + 2 * horizontal
    if size[0] > height or size[1] > width:
        raise ValueError(f"a window of {size[0]} x {size[1]} does not fit into a padded image of {height} x {width}")
    if not any(padding):
        return x
    return pad(x, (horizontal, horizontal, vertical, vertical), value=fill)
