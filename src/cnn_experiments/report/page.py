"""What the HTML pages share: one self-contained file each, which loads nothing."""

import base64
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from cnn_experiments.console import printable
from cnn_experiments.predictions.mistakes import Mistake
from cnn_experiments.predictions.pictures import to_picture

_PICTURE_PIXELS = 112
"""The longer side of a picture on the page."""


def _finalize(value: Any) -> Any:
    """Replace control characters in what a template shows; a chart is markup, which is ready."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_ENVIRONMENT = Environment(
    loader=PackageLoader(__package__, "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    finalize=_finalize,
)


def render(template: str, **content: Any) -> str:
    """Return a page.

    Args:
        template: its file, relative to this package. It extends base.html.jinja.
        content: what it shows: a title, notes, and what its own blocks need.
    """
    written = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, cnn_experiments {version('cnn_experiments')}"
    return _ENVIRONMENT.get_template(template).render(written=written, **content)


def picture_items(mistakes: Iterable[Mistake], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what pictures.html.jinja needs of mistakes.

    Args:
        mistakes: in the order in which they are shown.
        class_names: of all classes.
    """
    return [
        {
            "picture": _picture_uri(mistake.image),
            "label": class_names[mistake.label],
            "predicted": class_names[mistake.predicted],
            "confidence": f"{mistake.confidence:.1%}",
            "index": mistake.index,
        }
        for mistake in mistakes
    ]


def _picture_uri(image: NDArray[np.uint8]) -> str:
    """Return an image (C, H, W) as a PNG file inside a URI; a large one is reduced to what the page shows."""
    file = io.BytesIO()
    longer_side = max(1, *image.shape[1:])
    to_picture(image, min(longer_side, _PICTURE_PIXELS)).save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
