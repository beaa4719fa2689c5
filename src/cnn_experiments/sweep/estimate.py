"""How long runs will take."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch.nn import functional as F

from cnn_experiments.config.schema import flat
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.sweep.run import Run
from cnn_experiments.training.build import build_data, build_model

_AROUND = 1.5  # seconds of a run beside its training and test
_LONG_ENOUGH = 1.0  # seconds of measuring
_COUNTED = 3  # steps measured


def estimates(runs: Sequence[Run], complete: Sequence[Run]) -> dict[Path, float]:
    """Seconds that each run still takes by itself, by its folder.

    As long as complete runs of the same network, data and epochs took; where there is none, from a few steps on made-up
    images, which are taken here.
    """
    took: dict[str, list[float]] = {}
    for run in complete:
        took.setdefault(_work(run), []).append(sum(run.standing.results["seconds"].values()))
    found = {}
    for run in runs:
        work = _work(run)
        if work not in took:
            took[work] = [_measured(run.combination.config)]
        left = 1 - run.standing.results.get("epochs", 0) / run.combination.settings["trainer"]["max_epochs"]
        found[run.folder] = statistics.median(took[work]) * left + _AROUND
    return found


def _work(run: Run) -> str:
    """What the time depends on: everything but the optimizer, its schedule, and where it all begins."""
    groups = ("model.", "data.", "trainer.", "compile", "memory_format")
    settings: Mapping[str, Any] = flat(run.combination.settings)
    return str([(key, value) for key, value in settings.items() if key.startswith(groups) and key != "data.seed"])


def _measured(config: DictConfig) -> float:
    data, model = build_data(config), build_model(config)
    on_gpu = torch.cuda.is_available() and config.trainer.accelerator != "cpu"
    device = torch.device("cuda" if on_gpu else "cpu")
    model.to(device)
    optimizer = instantiate(config.optimizer, _convert_="all")(model.parameters())
    labels = torch.randint(data.classes, (data.batch_size,), device=device)
    size = (data.batch_size, data.channels, data.native_size, data.native_size)
    batch = torch.randint(256, size, dtype=torch.uint8, device=device), labels

    def train() -> None:
        loss = F.cross_entropy(model(data.on_after_batch_transfer(batch, 0)[0]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def look() -> None:
        with torch.no_grad():
            model(data.on_after_batch_transfer(batch, 0)[0])

    step, pass_ = _seconds(train), _seconds(look)
    training, validation, test = _batches(config, data)
    epoch = training * step + validation * pass_
    return config.trainer.max_epochs * epoch + test * pass_


def _batches(config: DictConfig, data: ImageDataModule) -> tuple[int, int, int]:
    """In an epoch's training, behind it, and in the test."""
    limits = [config.trainer[f"limit_{stage}_batches"] for stage in ("train", "val", "test")]
    num_eval_images = {"val": data.val_size, "test": data.num_test_images, None: 0}[data.protocol.eval_split]
    images = (data.num_train_images - data.val_size, num_eval_images, data.num_test_images)
    training, validation, test = (
        _limited(ceil(number / data.batch_size), limit) for number, limit in zip(images, limits, strict=True)
    )
    return training, validation, test


def _limited(batches: int, limit: float | None) -> int:
    if limit is None:
        return batches
    return int(batches * limit) if isinstance(limit, float) else min(batches, limit)


def _seconds(work: Callable[[], None]) -> float:
    """Of one repetition, the first not counted."""
    work()
    spent: list[float] = []
    while len(spent) < _COUNTED and sum(spent) < _LONG_ENOUGH:
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)
