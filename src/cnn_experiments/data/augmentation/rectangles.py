"""Rectangles in images, with sides of its own for every image."""

import torch
from torch import Tensor


def rectangle_mask(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor, height: int, width: int) -> Tensor:
    """Return which pixels are in the rectangle of their image, bool (N, 1, height, width).

    Args:
        top: the first row, (N, 1).
        bottom: the row after the last, (N, 1).
        left: the first column, (N, 1).
        right: the column after the last, (N, 1).
        height: pixels of an image.
        width: pixels of an image.
    """
    rows, columns = torch.arange(height, device=top.device), torch.arange(width, device=top.device)
    in_rows = (rows >= top) & (rows < bottom)
    in_columns = (columns >= left) & (columns < right)
    return in_rows[:, None, :, None] & in_columns[:, None, None, :]
