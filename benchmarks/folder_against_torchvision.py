"""Measure how long images in folders take until a network has seen them three times, against torchvision.

    python benchmarks/folder_against_torchvision.py

Generates 3,000 PNG and JPEG files of several sizes. Then the data set of `data=folder` and torchvision's ImageFolder
with a DataLoader make batches of 64 x 64 pixels for three epochs, in turn. Every time is that from the folder to the
last batch, and everything is made anew, but for `cached`: that is a second run, which finds the resized images of the
first. Prints the median seconds, and their ratios to those of `data=folder`.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import command_line
from cnn_experiments.runtime.environment import device_name
from cnn_experiments.training.build import build_data

NUM_IMAGES = 3000
NUM_CLASSES = 10
SIZES = ((320, 240), (160, 120), (250, 188), (512, 384), (128, 128), (150, 200))
SIZE = 64
BATCH_SIZE = 32
NUM_EPOCHS = 3
NUM_ROUNDS = 3


def main() -> None:
    """Measure, and print the times."""
    with tempfile.TemporaryDirectory() as directory:
        root, cache = Path(directory, "images"), Path(directory, "cache")
        write_images(root / "train", NUM_IMAGES)
        write_images(root / "test", NUM_CLASSES)
        candidates: dict[str, Callable[[int], int]] = {
            "data=folder": lambda number: read_with_data_module(root, cache / str(number)),
            "data=folder, cached": lambda number: read_with_data_module(root, cache / str(number)),
            "ImageFolder, DataLoader": lambda _: read_with_torchvision(root / "train", num_workers=0),
            "ImageFolder, DataLoader with 2 workers": lambda _: read_with_torchvision(root / "train", num_workers=2),
        }
        seconds: dict[str, list[float]] = {name: [] for name in candidates}
        for number in range(NUM_ROUNDS):
            for name, read in candidates.items():
                started = time.perf_counter()
                num_images = read(number)
                seconds[name].append(time.perf_counter() - started)
                assert num_images == NUM_EPOCHS * NUM_IMAGES, name
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    device = device_name(torch.device("cpu"))
    print(f"{NUM_IMAGES:,} files, {NUM_EPOCHS} epochs, {device}, {torch.get_num_threads()} threads")
    for name, median in medians.items():
        spread = ", ".join(f"{value:.1f}" for value in sorted(seconds[name]))
        print(f"{name}: {median:.1f} s ({spread}), {median / medians['data=folder']:.2f} times data=folder")


def write_images(folder: Path, num_images: int) -> None:
    """Write smooth random images, a third of them as PNG and the others as JPEG, of all sizes in turn."""
    generator = np.random.default_rng(0)
    for number in range(num_images):
        width, height = SIZES[number % len(SIZES)]
        coarse = generator.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        place = folder / f"class{number % NUM_CLASSES}" / f"{number}.{'png' if number % 3 == 0 else 'jpg'}"
        place.parent.mkdir(parents=True, exist_ok=True)
        image.save(place)


def read_with_data_module(root: Path, cache: Path) -> int:
    """Return the number of images in the batches of all epochs."""
    overrides = (f"data.root={root}", f"data.cache={cache}", f"data.resize={SIZE}", f"data.batch_size={BATCH_SIZE}")
    with command_line([]):  # the folder is listed anew
        data = build_data(ComposedConfig.from_overrides("data=folder", "data.val_size=0", *overrides).settings)
    data.setup("fit")
    loader = data.train_dataloader()
    num_images = 0
    for epoch in range(NUM_EPOCHS):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            images, _ = data.on_after_batch_transfer(batch, 0)
            num_images += len(images)
    return num_images


def read_with_torchvision(root: Path, num_workers: int) -> int:
    """Return the number of images in the batches of all epochs."""
    transform = transforms.Compose(
        [transforms.Resize((SIZE, SIZE)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    )
    dataset = datasets.ImageFolder(str(root), transform)
    loader = DataLoader(dataset, BATCH_SIZE, shuffle=True, num_workers=num_workers)
    return sum(len(images) for _ in range(NUM_EPOCHS) for images, _ in loader)


if __name__ == "__main__":
    main()
