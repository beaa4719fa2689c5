"""Figures of what a network gets wrong, which TensorBoard and the page of a run show."""

import io
import math
import warnings
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cnn_experiments.console import printable, shorten
from cnn_experiments.predictions.file import Predictions, SplitPredictions
from cnn_experiments.predictions.measures import NUM_BINS, calibration, confusion_matrix, coverage, shares_of_classes
from cnn_experiments.predictions.mistakes import Mistake, stored_mistakes
from cnn_experiments.predictions.pictures import to_picture

NUM_MISTAKES = 25
MAX_NUMBERED_CLASSES = 20
"""Classes up to which the cells of a confusion matrix have numbers."""
_MAX_CLASSES_WITH_SHARES = 12
_MIN_SHARE = 0.01
"""Smaller shares are not written: each text takes a millisecond."""
_LINE_OFFSET = 0.17
"""Of the count and of the share from the middle of a cell, whose height is 1."""
_MAX_NAMED_CLASSES = 50
_MAX_CHARACTERS = 14
"""Characters of a class's name that a figure shows."""
_RIGHT_COLOR, _WRONG_COLOR, _GAP_COLOR = "#3b82c4", "#d1495b", "#e8929f"
_OPACITY = 0.75
"""Of the strongest color of a cell, on which the text is readable in light and dark mode."""
_DPI = 100
_PICTURE_PIXELS, _TILE_PIXELS = 112, (144, 164)
"""Of a mistake: the longer side of its picture, and width and height with its caption."""
_MISTAKE_COLUMNS = 5
_STYLE: Any = {"axes.axisbelow": True, "text.parse_math": False}


def confusion_matrix_figure(predictions: Predictions) -> Figure:
    """Draw the confusion matrix of the evaluated split: counts and their share of the true class, which colors them."""
    matrix = confusion_matrix(predictions.evaluated)
    num_classes = len(matrix)
    names = [short_class_name(name) for name in predictions.class_names]
    with mpl.rc_context(_STYLE | {"font.size": 9}):
        inches = min(8.0, 2.4 + 0.5 * num_classes)
        figure = Figure(figsize=(inches + 0.4, inches), dpi=_DPI)
        margin = 1.2 / inches  # of the longest names
        axes = figure.add_axes((margin, margin, 0.98 - margin, 0.98 - margin))
        axes.imshow(confusion_colors(matrix), aspect="auto", interpolation="nearest")
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        axes.tick_params(length=0)
        if num_classes <= _MAX_NAMED_CLASSES:
            axes.set_xticks(range(num_classes), names, rotation=90 if num_classes > 2 else 0)
            axes.set_yticks(range(num_classes), names)
            axes.tick_params(labelsize=9 if num_classes <= MAX_NUMBERED_CLASSES else 6)
        if num_classes <= MAX_NUMBERED_CLASSES:
            _write_numbers(axes, matrix)
        return figure


def _write_numbers(axes: Axes, matrix: NDArray[np.int64]) -> None:
    """Write the count into each cell that has one, and below it a share of the true class that is not negligible."""
    shares = shares_of_classes(matrix)
    has_shares = len(matrix) <= _MAX_CLASSES_WITH_SHARES
    for row, column in np.argwhere(matrix):
        y = row - _LINE_OFFSET if has_shares else row
        axes.text(column, y, f"{matrix[row, column]:,}", ha="center", va="center", fontsize=8)
        if has_shares and shares[row, column] >= _MIN_SHARE:
            share = f"{shares[row, column]:.1%}"
            axes.text(column, row + _LINE_OFFSET, share, ha="center", va="center", fontsize=6)


def confusion_colors(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a color for each cell of a confusion matrix, (C, C, 4) of red, green, blue and opacity in 0..1.

    Images that are right are blue, mistakes are red. The opacity is the square root of the share of the true class, so
    that rare mistakes are seen.
    """
    is_right = np.eye(len(matrix), dtype=bool)[..., None]
    colors = np.where(is_right, to_rgb(_RIGHT_COLOR), to_rgb(_WRONG_COLOR))
    return np.concatenate([colors, _OPACITY * np.sqrt(shares_of_classes(matrix))[..., None]], axis=2)


def mistakes_figure(predictions: Predictions, most: int = NUM_MISTAKES) -> Figure:
    """Draw the most confident mistakes with their true and predicted classes and confidence.

    Args:
        predictions: of a network.
        most: how many are drawn at most.
    """
    mistakes = stored_mistakes(predictions, most)
    tile_width, tile_height = _TILE_PIXELS
    num_rows = max(1, math.ceil(len(mistakes) / _MISTAKE_COLUMNS))
    width, height = _MISTAKE_COLUMNS * tile_width, num_rows * tile_height
    sheet = np.full((height, width, 3), 255, dtype=np.uint8)
    captions = []
    for place, mistake in enumerate(mistakes):
        top, left = place // _MISTAKE_COLUMNS * tile_height, place % _MISTAKE_COLUMNS * tile_width
        picture = np.asarray(to_picture(mistake.image, _PICTURE_PIXELS).convert("RGB"))
        left_of_picture = left + (tile_width - picture.shape[1]) // 2
        sheet[top : top + picture.shape[0], left_of_picture : left_of_picture + picture.shape[1]] = picture
        captions.append((left + tile_width / 2, top + _PICTURE_PIXELS + 4, _caption(mistake, predictions.class_names)))
    with mpl.rc_context(_STYLE | {"font.size": 7}):
        figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        figure.figimage(sheet, origin="upper")  # an image of axes would be resampled, which takes long
        for x, y, text in captions or [(width / 2, height // 2, "no mistakes")]:
            figure.text(x / width, 1 - y / height, text, ha="center", va="top")
        return figure


def _caption(mistake: Mistake, class_names: tuple[str, ...]) -> str:
    label, predicted = (short_class_name(class_names[number]) for number in (mistake.label, mistake.predicted))
    return f"true {label}\npredicted {predicted}\n{mistake.confidence:.1%}"


def reliability_figure(split: SplitPredictions) -> Figure:
    """Draw the accuracy by confidence, and how many images have each confidence."""
    result = calibration(split)
    edges = np.arange(NUM_BINS) / NUM_BINS
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 4.2), dpi=_DPI)
        axes, counts = figure.subplots(
            2,
            1,
            sharex=True,
            height_ratios=(3, 1),
            gridspec_kw={"left": 0.15, "right": 0.97, "top": 0.92, "hspace": 0.1},
        )
        bar: dict[str, Any] = {"width": 1 / NUM_BINS, "align": "edge", "edgecolor": "none"}
        axes.bar(edges, np.nan_to_num(result.accuracy), color=_RIGHT_COLOR, label="accuracy", **bar)
        low, high = np.fmin(result.accuracy, result.confidence), np.fmax(result.accuracy, result.confidence)
        gap = np.nan_to_num(high - low)
        axes.bar(edges, gap, bottom=np.nan_to_num(low), color=_GAP_COLOR, label="gap", **bar)
        axes.axline((0, 0), (1, 1), color=mpl.rcParams["text.color"], linestyle=":", linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=f"calibration error {result.error:.4f}")
        axes.legend(loc="upper left", frameon=False)
        counts.bar(edges, result.count / max(1, result.count.sum()), color=_RIGHT_COLOR, **bar)
        counts.set(xlabel="confidence", ylabel="images", ylim=(0, 1))
        return figure


def coverage_figure(split: SplitPredictions) -> Figure:
    """Draw the accuracy on the images that a network is most confident about, by their share."""
    result = coverage(split)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 3.4), dpi=_DPI)
        axes = figure.add_axes((0.15, 0.14, 0.82, 0.76))
        num_images = len(result.coverage)
        places = np.unique(np.linspace(0, num_images - 1, min(500, num_images)).astype(np.int64))
        axes.plot(result.coverage[places], result.accuracy[places], color=_RIGHT_COLOR, linewidth=1.6)
        axes.set(xlim=(0, 1), xlabel="share of the images answered", ylabel="accuracy")
        axes.set_title(f"mean error rate {result.area:.4f}")
        axes.grid(visible=True, alpha=0.35)
        return figure


def short_class_name(name: str) -> str:
    """Return a class's name as a figure shows it."""
    return shorten(printable(name), _MAX_CHARACTERS)


def to_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 1})
    return file.getvalue()
