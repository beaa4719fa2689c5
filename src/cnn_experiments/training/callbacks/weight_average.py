"""Averages of a network's weights over the steps of its training, which are evaluated, tested and exported."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.loader import InMemoryLoader
from cnn_experiments.training.batch_norm import estimate_batch_norm

WEIGHT_AVERAGE_KEY = "weight_average"
"""The key in checkpoints with the weights that are trained; `state_dict` has their average."""


class WeightAverage(pl.Callback, ABC):
    """Keep an average of the weights beside those that are trained.

    The evaluation after an epoch uses the average, and every checkpoint has it as its `state_dict`, so that whatever
    uses a checkpoint uses the average, too. The weights that are trained are stored beside it, and a run resumes with
    both. Until something is averaged, both are the same.

    Buffers, such as the statistics of batch normalization, are averaged with the weights, and integers are copied, as
    timm and torchvision do. The average is kept in float32 or a more precise type.
    """

    def __init__(self) -> None:
        self.num_averaged = 0
        self._average: dict[str, Tensor] = {}
        self._trained: dict[str, Tensor] = {}
        """The weights that are trained, while those of the network are the average."""
        self._num_steps = 0

    @abstractmethod
    def newest_share(self, num_averaged: int) -> float:
        """Return the share of the newest weights in an average of so many."""

    @abstractmethod
    def is_due(self, trainer: pl.Trainer) -> bool:
        """Return whether the weights after this optimizer step belong to the average."""

    def check(self, trainer: pl.Trainer) -> None:
        """Check that a run with this Trainer can use the average.

        Raises:
            ArgumentError: it can't.
        """
        if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            strategy = type(trainer.strategy).__name__
            raise ArgumentError(
                "_target_", type(self).__name__, f"needs all weights in each process, unlike {strategy}"
            )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._average = {name: average.to(pl_module.device) for name, average in self._average.items()}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._num_steps = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._num_steps:  # gradients are accumulated
            return
        self._num_steps = trainer.global_step
        if self.is_due(trainer):
            self._add(_weights(pl_module))

    def _add(self, weights: dict[str, Tensor]) -> None:
        self.num_averaged += 1
        if self.num_averaged == 1:
            self._average = {name: _precise(weight).clone() for name, weight in weights.items()}
            return
        averages, newest = [], []
        for name, average in self._average.items():
            if average.is_floating_point():
                averages.append(average)
                newest.append(weights[name].to(average.dtype))
            else:
                average.copy_(weights[name])
        torch._foreach_lerp_(averages, newest, self.newest_share(self.num_averaged))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.num_averaged:
            self._load_average(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore_trained(pl_module)

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def _load_average(self, module: nn.Module) -> None:
        weights = _weights(module)
        self._trained = {name: weight.clone() for name, weight in weights.items()}
        _copy(self._average, weights)

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def _restore_trained(self, module: nn.Module) -> None:
        _copy(self._trained, _weights(module))
        self._trained = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the average in place of the weights that are trained, and these beside it."""
        state = checkpoint["state_dict"]
        checkpoint[WEIGHT_AVERAGE_KEY] = {"num_averaged": self.num_averaged, "trained": state | self._trained}
        checkpoint["state_dict"] = state | self._average

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore both, if training continues."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        stored = checkpoint[WEIGHT_AVERAGE_KEY]
        self.num_averaged = stored["num_averaged"]
        if self.num_averaged:
            self._average = {name: checkpoint["state_dict"][name].clone() for name in _weights(pl_module)}
        pl_module.load_state_dict(stored["trained"])


class ExponentialMovingAverage(WeightAverage):
    """Average the weights after every optimizer step; those of earlier steps count less and less.

    After step t the average moves by 1 - d towards the weights, with d = min(decay, (1 + t) / (10 + t)): the average of
    a short run spans about a tenth of its steps, however close to 1 the decay is. The warm-up is that of TensorFlow's
    ExponentialMovingAverage.

    Args:
        decay: the share of the average that stays in every step of a long run.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ArgumentError("decay", decay, "must be a number in [0, 1)")
        self._decay = decay

    def newest_share(self, num_averaged: int) -> float:
        """Return 1 - d."""
        return 1 - min(self._decay, (1 + num_averaged) / (10 + num_averaged))

    def is_due(self, trainer: pl.Trainer) -> bool:
        """Return True: every step counts."""
        return True


class StochasticWeightAverage(WeightAverage):
    """Average the weights at the ends of the last epochs, all with the same share.

    After Izmailov et al. (2018, https://arxiv.org/abs/1803.05407). The learning rate is left to the scheduler. The
    statistics of batch normalization are estimated for every new average, by a pass over the training images, which are
    not augmented. An epoch that is cut short is not averaged.

    Args:
        start: the first epoch that counts, from 1; or the share of `max_epochs` before it, a float in [0, 1).
    """

    def __init__(self, start: int | float) -> None:
        super().__init__()
        is_share = isinstance(start, float)
        if not (0 <= start < 1 if is_share else start >= 1):
            raise ArgumentError("start", start, "must be an epoch, from 1, or a share of the epochs, a float in [0, 1)")
        self._start = start

    def check_start(self, max_epochs: int, num_complete_epochs: int) -> None:
        """Check that an epoch is averaged.

        Args:
            max_epochs: of the run.
            num_complete_epochs: those that are not cut short, of which `trainer.max_steps` may leave fewer.

        Raises:
            ArgumentError: none is.
        """
        if self._start > max_epochs:
            raise ArgumentError("start", self._start, f"must be at most trainer.max_epochs={max_epochs}")
        if (first := self._first_epoch(max_epochs)) > num_complete_epochs:
            problem = (
                f"must be less: epoch {first} is the first that is averaged, and trainer.max_steps leaves "
                f"{num_complete_epochs} complete"
            )
            raise ArgumentError("start", self._start, problem)

    def _first_epoch(self, max_epochs: int) -> int:
        if isinstance(self._start, int):
            return self._start
        return int(round(self._start * max_epochs, 6)) + 1  # 0.29 * 100 is a little less than 29

    def newest_share(self, num_averaged: int) -> float:
        """Return the same share as of every other epoch."""
        return 1 / num_averaged

    def is_due(self, trainer: pl.Trainer) -> bool:
        """Return whether this is the last step of an epoch that counts."""
        return trainer.is_last_batch and trainer.current_epoch + 1 >= self._first_epoch(trainer.max_epochs or 0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        num_averaged = self.num_averaged
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.num_averaged > num_averaged > 0:
            self._estimate_batch_norm(trainer, pl_module)

    def _estimate_batch_norm(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the average the statistics of its own, the same ones in every process."""
        self._load_average(pl_module)
        with trainer.precision_plugin.forward_context():
            estimate_batch_norm(pl_module, _training_images(trainer, pl_module.device))
        for name, weight in _weights(pl_module).items():
            if weight.is_floating_point():  # not how many batches were seen
                self._average[name].copy_(weight)
        self._restore_trained(pl_module)


def _training_images(trainer: pl.Trainer, device: torch.device) -> Iterator[Tensor]:
    """Yield as many batches of the network's inputs as an epoch has, not augmented."""
    data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it
    assert isinstance(data, ImageDataModule)
    stored = data.stored_split("train")
    loader = InMemoryLoader(stored.stored_images, stored.labels, data.batch_size, index=stored.index, seed=data.seed)
    for images, _ in islice(loader, int(trainer.num_training_batches)):
        yield data.preprocessing(images.to(device))


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and the buffers that checkpoints have, which share the memory of those of the module."""
    return {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}


def _precise(weight: Tensor) -> Tensor:
    """Return a weight in a type in which small steps of an average are not lost."""
    if weight.is_floating_point() and torch.finfo(weight.dtype).bits < torch.finfo(torch.float32).bits:
        return weight.float()
    return weight


def _copy(sources: dict[str, Tensor], targets: dict[str, Tensor]) -> None:
    for name, source in sources.items():
        targets[name].copy_(source)
