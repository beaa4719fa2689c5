"""Steps on synthetic images, whose time is that of the steps of a run."""

import statistics
import time
from collections.abc import Callable

import lightning.pytorch as pl
import torch
from torch.nn import functional as F

from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.training.build import MEMORY_FORMATS, Settings, build_model, without_source


class SyntheticSteps:
    """Training and evaluation steps of a new network, as a run would make them.

    Args:
        settings: of the run.
        data: its data module, which need not be set up.
        trainer: tells the device and the precision.
        batch_size: the number of images of a step.
    """

    def __init__(self, settings: Settings, data: ImageDataModule, trainer: pl.Trainer, batch_size: int) -> None:
        self._device = trainer.strategy.root_device
        self._precision = trainer.precision_plugin
        self._data = data
        self._model = self._precision.convert_module(build_model(without_source(settings))).to(self._device)
        parameters = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        self._dtype = next((parameter.dtype for parameter in parameters), torch.float32)
        self._optimizer = torch.optim.SGD(parameters, lr=0.0) if parameters else None
        shape = (batch_size, data.channels, data.native_size, data.native_size)
        self._images = torch.randint(256, shape, dtype=torch.uint8, device=self._device)
        self._labels = torch.randint(data.classes, (batch_size,), device=self._device)
        self._memory_format = torch.contiguous_format

    def use_memory_format(self, name: str) -> None:
        """Let the network and the images of the following steps be contiguous, or channels_last."""
        self._memory_format = MEMORY_FORMATS[name]
        self._model.to(memory_format=self._memory_format)

    def train(self) -> None:
        """Make a training step, in which no weight changes."""
        self._model.train()
        inputs, targets = self._data.training_inputs(self._images.clone(), self._labels)
        with self._precision.forward_context():
            loss = F.cross_entropy(self._logits(inputs), targets)
        if self._optimizer is not None:
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
        self._wait()

    def evaluate(self) -> None:
        """Make an evaluation step."""
        self._model.eval()
        with torch.no_grad(), self._precision.forward_context():
            self._logits(self._data.preprocessing(self._images))
        self._wait()

    def _logits(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._model(inputs.to(self._dtype, memory_format=self._memory_format))
        return logits

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def seconds_of(step: Callable[[], None]) -> float:
    """Return the seconds of a call."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def median_seconds(step: Callable[[], None], num_steps: int, max_seconds: float) -> float:
    """Return the median seconds of a step; the first one is not counted.

    Args:
        step: makes a step.
        num_steps: how many are counted at most.
        max_seconds: after which no further one is made.
    """
    step()
    seconds: list[float] = []
    while len(seconds) < num_steps and sum(seconds) < max_seconds:
        seconds.append(seconds_of(step))
    return statistics.median(seconds)
