"""What can be checked of augmentation before training: each part is tried on random images."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cnn_experiments.config.instantiate import attribute_errors_to
from cnn_experiments.data.augmentation import Augmentation, BatchMix
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import ConfigError

_BATCH_SIZES = (8, 2)


def check_augmentation(settings: Mapping[str, Any], data: ImageDataModule) -> None:
    """Check that each part returns images of the type and shape that it got, and the same again for the same draws.

    The random generators have the same states afterwards. A part may change the images in place: they are copies.

    Raises:
        ConfigError: a part does not, or raises an error.
    """
    parts = data.augmentation.transforms | data.augmentation.mixes
    for name, part in parts.items():
        key = f"augment.{name}"
        with attribute_errors_to(key, settings["augment"][name]), _kept_generators():
            for batch_size in dict.fromkeys(min(size, data.batch_size) for size in _BATCH_SIZES):
                outputs = _apply(part, data, batch_size)
                if problem := _problem(outputs, *_random_batch(part, data, batch_size)):
                    raise ConfigError(key, problem=problem)
            if not _repeats_itself(part, data, batch_size):
                problem = (
                    "must give the same images again if the generators of torch, NumPy (numpy.random) and Python "
                    "(random) have the same states, from which a resumed run goes on"
                )
                raise ConfigError(key, problem=problem)


def _random_batch(part: Augmentation, data: ImageDataModule, num_images: int) -> tuple[Tensor, ...]:
    """Return the arguments of a part: images, or inputs of the network and targets."""
    generator = torch.Generator().manual_seed(0)
    if not isinstance(part, BatchMix):
        shape = (num_images, data.channels, data.native_size, data.native_size)
        return (torch.randint(256, shape, dtype=torch.uint8, generator=generator),)
    inputs = torch.randn(num_images, data.channels, data.size, data.size, generator=generator)
    labels = torch.randint(data.classes, (num_images,), generator=generator)
    return inputs, F.one_hot(labels, data.classes).float()


def _apply(part: Augmentation, data: ImageDataModule, num_images: int) -> Any:
    return part(*_random_batch(part, data, num_images))


def _problem(outputs: Any, *inputs: Tensor) -> str | None:
    """Return what is wrong with what a part returned for these inputs, or None."""
    kinds = ("images",) if len(inputs) == 1 else ("inputs", "targets")
    if len(inputs) == 1:
        outputs = (outputs,)
    if not isinstance(outputs, tuple) or len(outputs) != len(inputs):
        return "must return two tensors, inputs and targets"
    for kind, output, expected in zip(kinds, outputs, inputs, strict=True):
        if not isinstance(output, Tensor):
            return f"must return {kind} as a tensor, not {type(output).__name__}"
        if (output.dtype, output.shape, output.device) != (expected.dtype, expected.shape, expected.device):
            return f"must return {kind} as {_describe(expected)}, as it gets them, not as {_describe(output)}"
    if len(inputs) == 2 and not torch.allclose(outputs[1].sum(1), torch.ones(len(outputs[1])), atol=1e-3):
        return "must return shares of the classes that sum to 1 for each image"
    return None


def _describe(tensor: Tensor) -> str:
    place = "" if tensor.device.type == "cpu" else f" on {tensor.device}"
    return f"{str(tensor.dtype).removeprefix('torch.')} of the shape {tuple(tensor.shape)}{place}"


def _repeats_itself(part: Augmentation, data: ImageDataModule, num_images: int) -> bool:
    results = []
    for _ in range(2):
        with _kept_generators():
            outputs = _apply(part, data, num_images)
            results.append(outputs if isinstance(outputs, tuple) else (outputs,))
    return all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@contextmanager
def _kept_generators() -> Iterator[None]:
    """Restore the states of the generators of torch, NumPy and Python afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
