"""The logits of all images that were tested or predicted."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from cnn_experiments.data.datamodule import ImageDataModule, StoredSplit
from cnn_experiments.data.loader import InMemoryLoader
from cnn_experiments.predictions.file import Predictions, SplitPredictions, num_stored_mistakes
from cnn_experiments.runs.metrics import Split


@dataclass(frozen=True)
class _Recorded:
    """What was recorded of a split, in the order of its images."""

    positions: Tensor
    """int64 (N,): the place of each image in the split."""
    logits: Tensor
    """float32 (N, num_classes)."""


class PredictionRecorder(pl.Callback):
    """Keep the logits of the test, and those of `Trainer.predict`, of all processes."""

    def __init__(self) -> None:
        self._batches: list[Tensor] = []
        self._recorded: dict[Split, _Recorded] = {}

    def predictions(self, data: ImageDataModule) -> Predictions:
        """Return what was recorded, with the images of the most confident mistakes."""
        splits = {
            split: _split_predictions(data.stored_split(split), recorded) for split, recorded in self._recorded.items()
        }
        images = data.stored_split(data.tested_split).images
        tested = splits[data.tested_split]
        mistakes = tested.mistakes()
        mistakes = mistakes[: num_stored_mistakes(len(mistakes), images[0].nbytes)]
        positions = self._recorded[data.tested_split].positions[torch.from_numpy(mistakes)]
        return Predictions(
            class_names=tuple(data.class_names),
            splits=splits,
            mistake_index=tested.index[mistakes],
            mistake_images=images[positions].numpy(),
        )

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._batches.append(outputs.detach())

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._record(trainer, trainer.test_dataloaders, _data_module(trainer).tested_split)

    on_predict_batch_end = on_test_batch_end

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._record(trainer, trainer.predict_dataloaders, "val")

    def _record(self, trainer: pl.Trainer, loader: Any, split: Split) -> None:
        assert isinstance(loader, InMemoryLoader)
        logits = torch.cat(self._batches).float()
        positions = torch.cat(list(islice(loader.batch_indices(), len(self._batches))))
        self._batches = []
        if trainer.world_size > 1:
            logits = torch.cat(gather_all_tensors(logits))
            positions = torch.cat(gather_all_tensors(positions.to(logits.device)))
        order = positions.argsort()
        self._recorded[split] = _Recorded(positions[order].cpu(), logits[order].cpu())


def _data_module(trainer: pl.Trainer) -> ImageDataModule:
    data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it
    assert isinstance(data, ImageDataModule)
    return data


def _split_predictions(stored: StoredSplit, recorded: _Recorded) -> SplitPredictions:
    return SplitPredictions(
        index=stored.index[recorded.positions].numpy(),
        label=stored.labels[recorded.positions].numpy(),
        logits=recorded.logits.numpy(),
    )
