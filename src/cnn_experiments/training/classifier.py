"""The one LightningModule: loss, metrics and optimizer around any network."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric, MetricCollection

from cnn_experiments.runs.metrics import EVAL_SPLITS, SPLITS, Split
from cnn_experiments.training.loss import ClassWeightedLoss
from cnn_experiments.training.metrics import OwnMetrics, split_metrics
from cnn_experiments.training.schedules import RunSchedule

Batch = tuple[Tensor, Tensor]

TRAIN_METRICS_KEY = "train_metrics"
"""The key in checkpoints under which the states of the train metrics are stored."""


class Classifier(pl.LightningModule):
    """Train and evaluate a network that maps float images (N, C, H, W) to logits (N, num_classes).

    The metrics of `runs.metrics` are logged once per epoch, as `train/loss`, `val/acc`, `test/f1`, and on the test
    split also the accuracy of every class, as `test/acc/Sandal`. Those of the configuration are logged where the
    network is evaluated. Where images are mixed, the metrics of the training compare with the class that has the
    largest share of each image.

    Args:
        model: the network.
        loss: returns the mean loss, a scalar, of logits (N, num_classes) and targets: class numbers, int64 (N,), or the
            shares of the classes, float (N, num_classes).
        optimizer: returns the optimizer of a module's parameters.
        scheduler: returns the learning-rate schedule of an optimizer for the number of optimizer steps of the whole
            run and that of an epoch.
        monitor: the metric that a schedule may follow, such as `val/loss`.
        metrics: those of the configuration, by name.
        class_names: the name of the class of each logit.
        memory_format: the memory format of the network's weights and inputs.
        compile_model: whether the network is compiled by torch.compile. Its modules and checkpoints stay as they are.
        eval_split: the split that is evaluated after every epoch; it prefixes the names of the metrics.
        max_steps: the number of optimizer steps after which the training ends before its last epoch, or None.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[nn.Module], Optimizer],
        scheduler: Callable[[Optimizer, int, int], LRScheduler],
        monitor: str,
        metrics: Mapping[str, Metric],
        class_names: Sequence[str],
        memory_format: torch.memory_format,
        compile_model: bool,
        eval_split: Split,
        max_steps: int | None,
    ) -> None:
        super().__init__()
        self.model = model.to(memory_format=memory_format)
        self.loss = loss
        self.eval_split: Split = eval_split
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._monitor = monitor
        self._epoch_metrics: dict[str, Tensor] = {}
        self._max_steps = max_steps
        self._num_classes = len(class_names)
        self._memory_format = memory_format
        self._needs_compilation = compile_model
        # nn.ModuleDict refuses the key "train", which is a method of every module.
        self.metrics = nn.ModuleDict({f"{split}_metrics": split_metrics(split, class_names) for split in SPLITS})
        self.own_metrics = nn.ModuleDict({split: OwnMetrics(split, metrics) for split in EVAL_SPLITS})

    def configure_model(self) -> None:
        """Compile the network in place, once."""
        if self._needs_compilation:
            torch.compiler.reset()  # else the compile cache keeps an earlier network alive
            self.model.compile()
            self._needs_compilation = False

    def setup(self, stage: str) -> None:
        """Give the loss the numbers of training images of the classes, if its weights depend on them."""
        if stage == "fit" and isinstance(self.loss, ClassWeightedLoss) and self.loss.is_balanced:
            labels = self.trainer.datamodule.stored_split("train").labels  # type: ignore[attr-defined]
            self.loss.set_class_counts(labels.bincount(minlength=self._num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, num_classes) of images (N, C, H, W)."""
        # Precisions such as bf16-true have weights of another type than float32.
        logits: Tensor = self.model(x.to(self.dtype, memory_format=self._memory_format))
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._step(batch, self.eval_split)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the logits."""
        logits: Tensor = self(batch[0])
        self._measure(logits, batch[1], "test")
        return logits

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the logits."""
        logits: Tensor = self(batch[0])
        return logits

    def _step(self, batch: Batch, split: Split) -> Tensor:
        images, targets = batch
        return self._measure(self(images), targets, split)

    def _measure(self, logits: Tensor, targets: Tensor, split: Split) -> Tensor:
        loss: Tensor = self.loss(logits, targets)
        labels = targets.argmax(dim=1) if targets.is_floating_point() else targets
        self._split_metrics(split).update(loss=loss.detach(), preds=logits.detach(), target=labels)
        if (own_metrics := self._own_metrics(split)) is not None:
            own_metrics.update(logits.detach().float(), labels)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"], sync_dist=True)
        self._log_metrics("train")
        # Lightning itself would step a schedule that follows a metric only after the checkpoint is written.
        if isinstance(schedule := self.lr_schedulers(), RunSchedule):
            metric = self._epoch_metrics.get(self._monitor)
            schedule.end_epoch(None if metric is None else float(metric))
        self._epoch_metrics.clear()

    def on_validation_epoch_end(self) -> None:
        self._log_metrics(self.eval_split)

    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def _split_metrics(self, split: Split) -> MetricCollection:
        metrics = self.metrics[f"{split}_metrics"]
        assert isinstance(metrics, MetricCollection)
        return metrics

    def _own_metrics(self, split: Split) -> OwnMetrics | None:
        metrics = self.own_metrics[split] if split in EVAL_SPLITS else None
        assert metrics is None or isinstance(metrics, OwnMetrics)
        return metrics

    def _log_metrics(self, split: Split) -> None:
        metrics = self._split_metrics(split)
        values = metrics.compute()
        metrics.reset()
        if (own_metrics := self._own_metrics(split)) is not None:
            values |= own_metrics.compute()
        self.log_dict(values, sync_dist=True)
        self._epoch_metrics |= values

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the states of the train metrics of an unfinished epoch, reduced over all processes."""
        checkpoint[TRAIN_METRICS_KEY] = self.train_metric_states()

    def train_metric_states(self) -> dict[str, dict[str, Tensor]]:
        """Return the states of the train metrics by name, reduced over all processes."""
        states = {}
        for name, metric in self._split_metrics("train").items(keep_base=True):
            with metric.sync_context():
                states[name] = {key: torch.as_tensor(state).clone() for key, state in metric.metric_state.items()}
        return states

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the train metrics of an unfinished epoch, on rank 0 alone: the states are those of all ranks."""
        if self.trainer.global_rank > 0:
            return
        for name, states in checkpoint.get(TRAIN_METRICS_KEY, {}).items():
            metric = self._split_metrics("train")[name]
            for key, state in states.items():
                setattr(metric, key, state.to(metric.device))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer, and the schedule, which is stepped after every optimizer step."""
        optimizer = self._optimizer(self)
        total_steps = int(self.trainer.estimated_stepping_batches)
        if self._max_steps is not None:
            total_steps = min(total_steps, self._max_steps)
        steps_per_epoch = ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        scheduler = self._scheduler(optimizer, total_steps, steps_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
