"""Draws class activation maps over their images, and the activations of a stage."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnn_experiments.console import printable, shorten, shorten_path
from cnn_experiments.predictions.pictures import gray_or_rgb

MAX_CHANNELS = 64
"""The most channels of a stage that are drawn."""
_OVERVIEW_PANELS = 9
"""The most panels in a row of an overview."""
_MAX_LABEL = 18
"""Letters that fit above an image."""
_MAP_COLORS, _ACTIVATION_COLORS = "autumn_r", "viridis"
_OPACITY = 0.75
"""Of the color where a map has its largest value."""
_GAP = 0.06
"""Between panels, relative to their width."""
_GROUP_GAP = 0.3
_LETTER_WIDTH = 0.6
"""Relative to the size of the font, on average."""


@dataclass(frozen=True)
class ClassMap:
    """Which parts of an image speak for one class."""

    role: str
    """Why this class, such as `predicted`."""
    class_name: str
    probability: float
    values: NDArray[np.float32]
    """In 0..1; as many rows and columns as the image, or a multiple."""


@dataclass(frozen=True)
class ExplainedImage:
    """An image and its maps."""

    title: str
    pixels: NDArray[np.uint8]
    """(channels, H, W)."""
    maps: Sequence[ClassMap]


@dataclass(frozen=True)
class _Panel:
    title: str
    picture: NDArray[np.uint8]
    """(H, W, 3)."""


def image_figure(image: ExplainedImage) -> Figure:
    """Draw an image and its maps, side by side."""
    return _draw([[_image_panels(image)]], title="", panel_inches=2.8)


def overview_figure(images: Sequence[ExplainedImage], title: str) -> Figure:
    """Draw several images, each beside its maps."""
    groups = [_image_panels(image) for image in images]
    num_groups = max(1, _OVERVIEW_PANELS // max(map(len, groups)))
    rows = [groups[start : start + num_groups] for start in range(0, len(groups), num_groups)]
    return _draw(rows, title, panel_inches=1.4)


def activations_figure(activations: NDArray[np.float32], title: str) -> Figure:
    """Draw the first channels of a stage, a panel each, above it the mean of the channel's values.

    The smallest value of all is dark, the largest bright.

    Args:
        activations: (C, H, W).
        title: of the picture; the range of the values is added.
    """
    shown = activations[:MAX_CHANNELS]
    low, high = shown.min(), shown.max()
    colors = _colors(_ACTIVATION_COLORS, (shown - low) / (high - low or 1))
    panels = [
        _Panel(f"{i}: {channel.mean():.2g}", picture)
        for i, (channel, picture) in enumerate(zip(shown, colors, strict=True))
    ]
    num_columns = math.ceil(math.sqrt(len(panels)))
    rows = [[panels[start : start + num_columns]] for start in range(0, len(panels), num_columns)]
    first = f", first {MAX_CHANNELS} of {len(activations)} channels" if len(activations) > MAX_CHANNELS else ""
    return _draw(rows, f"{title}{first}\nchannel: mean; values from {low:.3g} to {high:.3g}", panel_inches=1.0)


def _image_panels(image: ExplainedImage) -> list[_Panel]:
    maps = [_Panel(_map_title(class_map), _overlay(image.pixels, class_map.values)) for class_map in image.maps]
    return [_Panel(shorten_path(printable(image.title), _MAX_LABEL), _rgb(image.pixels)), *maps]


def _map_title(class_map: ClassMap) -> str:
    role = class_map.role if class_map.values.any() else f"{class_map.role} (empty map)"
    probability = f"{class_map.probability:.1%}"
    class_name = shorten(printable(class_map.class_name), _MAX_LABEL - len(f" {probability}"))
    return f"{role}\n{class_name} {probability}"


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image in color, (H, W, 3)."""
    return np.moveaxis(np.broadcast_to(gray_or_rgb(pixels), (3, *pixels.shape[1:])), 0, -1)


def _colors(colormap: str, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the colors of values in 0..1: (..., H, W) to (..., H, W, 3)."""
    colors: NDArray[np.uint8] = matplotlib.colormaps[colormap](values, bytes=True)
    return colors[..., :3]


def _overlay(pixels: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image in color, (H, W, 3), that is the more covered the higher the values of the map are."""
    factor = values.shape[0] // pixels.shape[1]
    image = _rgb(pixels).repeat(factor, axis=0).repeat(factor, axis=1)
    opacity = _OPACITY * values[..., np.newaxis]
    covered: NDArray[np.uint8] = ((1 - opacity) * image + opacity * _colors(_MAP_COLORS, values)).astype(np.uint8)
    return covered


def _draw(rows: Sequence[Sequence[Sequence[_Panel]]], title: str, panel_inches: float) -> Figure:
    """Draw rows of groups of panels.

    All panels are on one pair of axes, whose unit is the width of a panel: axes of their own take ten times as long.
    """
    fontsize = 5 + 2 * panel_inches
    line_height = 1.4 * fontsize / 72 / panel_inches
    num_lines = max(len(panel.title.splitlines()) for row in rows for group in row for panel in group)
    label_height = (num_lines + 0.3) * line_height
    title_height = 1.2 * len(title.splitlines()) * line_height
    widths = [sum(len(group) * (1 + _GAP) for group in row) + (len(row) - 1) * _GROUP_GAP for row in rows]
    width, height = max(widths) + _GAP, title_height + len(rows) * (label_height + 1) + _GAP

    figure = Figure(figsize=(width * panel_inches, height * panel_inches))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    text: dict[str, Any] = {"ha": "center", "va": "bottom", "parse_math": False}
    y = height - title_height
    max_letters = math.floor(width * panel_inches * 72 / (fontsize + 1) / _LETTER_WIDTH)
    title = "\n".join(shorten_path(printable(line), max_letters) for line in title.splitlines())
    axes.text(width / 2, y, title, fontsize=fontsize + 1, **text)
    for row in rows:
        x, y = _GAP, y - label_height - 1
        for group in row:
            for panel in group:
                axes.imshow(panel.picture, extent=(x, x + 1, y, y + 1), interpolation="nearest")
                axes.text(x + 0.5, y + 1 + 0.2 * line_height, panel.title, fontsize=fontsize, **text)
                x += 1 + _GAP
            x += _GROUP_GAP
    axes.set(xlim=(0, width), ylim=(0, height), aspect="auto")
    return figure
