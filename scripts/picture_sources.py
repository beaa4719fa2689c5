"""Pictures of the docs that know what they show: its hash is in a text chunk of each PNG file, with one of the pixels.

A picture is outdated if the hash is another one than that of what it would show now, which needs no browser to compute.
"""

import base64
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cnn_experiments.predictions.figures import to_png

_SOURCE_CHUNK, _PIXELS_CHUNK = "Source hash", "Pixel hash"
_SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)
_SVG_IDS = re.compile(r'(?<=url\(#)[\w-]+|(?<=href="#)[\w-]+|(?<= id=")[\w.-]+')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_PICTURE_URI = re.compile(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)")
_TIME_OF_WRITING = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, cnn_experiments [\w.+]+")


def hash_of_command(overrides: Sequence[str], files: Iterable[Path]) -> str:
    """Return a hash of a command and of the contents of the files that it depends on, in this order."""
    return _hash([*(override.encode() for override in overrides), *(path.read_bytes() for path in files)])


def hash_of_figure(figure: Figure) -> str:
    """Return a hash of what a figure shows, which must not be drawn before: its layout would be another one."""
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return hash_of_page(file.getvalue())


def hash_of_page(html: str) -> str:
    """Return a hash of what a page shows, without the time when it was written.

    Its pictures count by their pixels, and the numbers of its charts by one decimal: these do not depend on the version
    of zlib or on the processor.
    """
    html = _TIME_OF_WRITING.sub("", html)
    html = _PICTURE_URI.sub(lambda match: _hash_of_png(base64.b64decode(match[1])), html)
    return _hash([_SVG.sub(lambda match: _rounded(match[0]), html).encode()])


def figure_picture(figure: Figure) -> Image.Image:
    """Return a figure in pixels."""
    with Image.open(io.BytesIO(to_png(figure))) as picture:
        return picture.convert("RGB")


def save_picture(path: Path, picture: Image.Image, source_hash: str) -> None:
    """Write a picture with the hash of what it shows, and that of its pixels."""
    information = PngInfo()
    information.add_text(_SOURCE_CHUNK, source_hash)
    information.add_text(_PIXELS_CHUNK, _hash_of_pixels(picture))
    picture.save(path, format="PNG", optimize=True, pnginfo=information)


def stored_hash(path: Path) -> str | None:
    """Return the hash of what a picture shows; None if there is no such picture, or it was saved by something else."""
    if not path.exists():
        return None
    with Image.open(path) as picture:
        has_its_pixels = picture.info.get(_PIXELS_CHUNK) == _hash_of_pixels(picture)
        return picture.info.get(_SOURCE_CHUNK) if has_its_pixels else None


def _rounded(svg: str) -> str:
    return _LONG_NUMBER.sub(lambda match: f"{round(float(match[0]), 1) + 0.0:.1f}", _SVG_IDS.sub("", svg))


def _hash_of_png(png: bytes) -> str:
    with Image.open(io.BytesIO(png)) as picture:
        return _hash_of_pixels(picture)


def _hash_of_pixels(picture: Image.Image) -> str:
    return _hash([np.asarray(picture.convert("RGBA")).tobytes()])


def _hash(contents: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]
