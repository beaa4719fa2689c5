"""The one LightningModule: loss, metrics and optimizer around any network."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

Stage = Literal["train", "val", "test"]
Batch = tuple[Tensor, Tensor]

_SUMS = "train_metrics"
"""Their place in a checkpoint."""


class MeanLoss(Metric):
    """The loss averaged over images, from each batch's own average; summed on the device, with no synchronisation."""

    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, target: Tensor) -> None:
        """Adds a batch of len(target) images."""
        self.total += loss * len(target)
        self.images += len(target)

    def compute(self) -> Tensor:
        """A scalar."""
        return self.total / self.images


def stage_metrics(stage: Stage, classes: int) -> MetricCollection:
    """What is measured in a stage: F1 not in training, where it would cost a synchronisation a step."""
    metrics: dict[str, Metric | MetricCollection] = {
        "loss": MeanLoss(),
        "acc": MulticlassAccuracy(classes, average="micro", validate_args=False),
    }
    if stage != "train":
        metrics["f1"] = MulticlassF1Score(classes, average="macro", validate_args=False)
    if stage == "test":
        metrics["each"] = MulticlassAccuracy(classes, average=None, validate_args=False)
    return MetricCollection(metrics, prefix=f"{stage}/", compute_groups=False)


class Classifier(pl.LightningModule):
    """Trains and measures a network that maps float images (N, C, H, W) to scores (N, len(class_names)).

    Cross-entropy, smoothed in training alone; accuracy over all images (micro), F1 averaged over classes (macro), and
    on the test set the accuracy of every class. Every figure is logged once an epoch, as `train/loss`, `val/acc`,
    `test/f1`, `test/acc/Sandal`.

    Args:
        model: the network.
        optimizer: makes the optimizer from the network's parameters.
        scheduler: makes the learning-rate schedule from the optimizer and the number of its steps in the whole run.
        class_names: one name for each of the scores.
        label_smoothing: share of the target spread over all classes, from 0 up to 1.
        memory_format: of the network's weights and inputs.
        compiled: whether torch.compile speeds the network up. Its modules and checkpoints stay as they are.
        after_epoch: what the images are that it is measured on after every epoch, which its figures are named after.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer, int], LRScheduler],
        class_names: Sequence[str],
        label_smoothing: float,
        memory_format: torch.memory_format,
        compiled: bool,
        after_epoch: Stage,
    ) -> None:
        super().__init__()
        self.model = model.to(memory_format=memory_format)
        self.label_smoothing = label_smoothing
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._class_names = class_names
        self._memory_format = memory_format
        self._to_be_compiled = compiled
        self._after_epoch = after_epoch

        stages: tuple[Stage, ...] = ("train", "val", "test")
        # nn.ModuleDict refuses the key "train", which is a method of every module.
        self.metrics = nn.ModuleDict({f"{stage}_metrics": stage_metrics(stage, len(class_names)) for stage in stages})

    def configure_model(self) -> None:
        """Compiles the network in place, once."""
        if self._to_be_compiled:
            torch.compiler.reset()  # an earlier network of this process would be kept alive
            self.model.compile()
            self._to_be_compiled = False

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, classes) of images (N, C, H, W)."""
        # Another type than float32 with a precision such as bf16-true.
        scores: Tensor = self.model(x.to(self.dtype, memory_format=self._memory_format))
        return scores

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, self._after_epoch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, "test")

    def _step(self, batch: Batch, stage: Stage) -> Tensor:
        images, labels = batch
        scores = self(images)
        loss = F.cross_entropy(scores, labels, label_smoothing=self.label_smoothing if stage == "train" else 0.0)
        self._metrics(stage).update(loss=loss.detach(), preds=scores.detach(), target=labels)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"], sync_dist=True)
        self._log_metrics("train")

    def on_validation_epoch_end(self) -> None:
        self._log_metrics(self._after_epoch)

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def _metrics(self, stage: Stage) -> MetricCollection:
        metrics = self.metrics[f"{stage}_metrics"]
        assert isinstance(metrics, MetricCollection)
        return metrics

    def _log_metrics(self, stage: Stage) -> None:
        metrics = self._metrics(stage)
        values = metrics.compute()
        metrics.reset()
        each = values.pop(f"{stage}/each", ())
        values |= {f"{stage}/acc/{name}": value for name, value in zip(self._class_names, each, strict=False)}
        self.log_dict(values, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Sums of an epoch that is not over yet; of several processes, those of all."""
        sums = {}
        for name, metric in self._metrics("train").items(keep_base=True):
            with metric.sync_context():
                sums[name] = {key: torch.as_tensor(state).clone() for key, state in metric.metric_state.items()}
        checkpoint[_SUMS] = sums

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """An epoch that was not over goes on, with the sums of all processes in the first."""
        if self.trainer.global_rank > 0:
            return
        for name, state in checkpoint.get(_SUMS, {}).items():
            metric = self._metrics("train")[name]
            for key, tensor in state.items():
                setattr(metric, key, tensor.to(metric.device))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The schedule moves on after every step of the optimizer."""
        optimizer = self._optimizer(self.parameters())
        total_steps = int(self.trainer.estimated_stepping_batches)
        scheduler = self._scheduler(optimizer, total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
