"""Image files and arrays as a user might have them, made for tests."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((12, 12), (20, 10), (9, 15))
"""Width and height of the images, in turn."""


def make_pixels(label: int, number: int) -> np.ndarray:
    """Return uint8 (H, W, 3): noise around a gray value that says the class."""
    width, height = SIZES[number % len(SIZES)]
    noise = np.random.default_rng([label, number]).integers(0, 40, (height, width, 3))
    return (noise + 60 * label).astype(np.uint8)


def write_class(folder: Path, label: int, num_images: int, first: int = 0) -> None:
    """Write PNG and JPEG files, in turn, into the folder of a class."""
    folder.mkdir(parents=True)
    for number in range(first, first + num_images):
        suffix = ("png", "jpg")[number % 2]
        Image.fromarray(make_pixels(label, number)).save(folder / f"{number}.{suffix}")


def write_folder(root: Path, num_images: int = 12, names: tuple[str, ...] = ("cat", "dog", "fox")) -> Path:
    """Write a folder with one folder per class, and return it."""
    for label, name in enumerate(names):
        write_class(root / name, label, num_images)
    return root


def write_split_folder(root: Path) -> Path:
    """Write a folder with folders train (12 images per class) and test (4), and return it."""
    for label, name in enumerate(("cat", "dog", "fox")):
        write_class(root / "train" / name, label, 12)
        write_class(root / "test" / name, label, 4, first=12)
    return root
