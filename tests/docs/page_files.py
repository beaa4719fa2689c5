"""The files that a reader of a page has: images of their own, or runs of an earlier page."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.conftest import ROOT
from tests.own_images import write_folder


def write_kept_runs(directory: Path) -> None:
    """Copy the runs that the repository has in `docs/runs`."""
    shutil.copytree(ROOT / "docs" / "runs", directory / "docs" / "runs")


def write_photos(directory: Path) -> None:
    """Write a folder `photos` with dark shapes on white, larger than the images that networks are trained on."""
    (directory / "photos").mkdir()
    for number, name in enumerate(("boot.png", "shirt.jpg", "trousers.png")):
        photo = Image.new("RGB", (120, 100), "white")
        ImageDraw.Draw(photo).ellipse((20, 10 + 10 * number, 100, 90), fill="navy")
        photo.save(directory / "photos" / name)


def write_images_of_three_classes(directory: Path) -> None:
    """Write a folder with a folder per class, images without classes, and a file of arrays."""
    write_folder(directory / "photos", num_images=60, names=("boots", "shirts", "trousers"))
    write_folder(directory / "new", num_images=1)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 16, 16), dtype=np.uint8)
    labels = np.arange(60) % 3
    np.savez(directory / "mine.npz", x_train=pixels[:40], y_train=labels[:40], x_test=pixels[40:], y_test=labels[40:])


def write_files_of_readme(directory: Path) -> None:
    """Write the photos and the kept runs."""
    write_photos(directory)
    write_kept_runs(directory)


PAGE_FILES: dict[str, Callable[[Path], None]] = {
    "README": write_files_of_readme,
    "docs/quick_start": write_photos,
    "docs/how_to/trained_network": write_photos,
    "docs/how_to/data_sets": write_images_of_three_classes,
    "docs/how_to/published": write_kept_runs,
}
"""By page: a function that makes its files in the directory where its commands are run."""
