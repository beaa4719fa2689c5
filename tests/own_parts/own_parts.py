"""Parts of a user: one class or function for each group."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import Metric

from cnn_experiments.data import ImageDataModule


class Stripes(ImageDataModule):
    """Images of horizontal and vertical stripes, and of noise."""

    class_names = ("horizontal", "vertical", "noise")
    native_size = 16
    num_train_images = 240
    num_test_images = 60
    mean = 0.5
    std = 0.5

    def __init__(self, *, contrast: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.contrast = contrast

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(int(train))
        num_images = self.num_train_images if train else self.num_test_images
        labels = torch.arange(num_images) % 3
        images = torch.randint(256 - self.contrast, (num_images, 1, 16, 16), generator=generator)
        stripes = self.contrast * (torch.arange(16) // 2 % 2)
        images[labels == 0] += stripes[:, None]
        images[labels == 1] += stripes[None, :]
        return images.to(torch.uint8), labels


def add_noise(images: Tensor, amount: int) -> Tensor:
    noise = torch.randint(amount, images.shape, dtype=torch.uint8, device=images.device)
    return images - images.minimum(noise)


class MarginLoss(nn.Module):
    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.multi_margin_loss(logits, targets, margin=self.margin)


class MeanConfidence(Metric):
    """The mean probability of the class that is predicted, to a power."""

    higher_is_better = True
    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.total += preds.softmax(dim=1).amax(dim=1).pow(self.power).sum()
        self.images += len(target)

    def compute(self) -> Tensor:
        return self.total / self.images


class ShrinkWeights(pl.Callback):
    """Shrink the weights after every second step; it counts the steps, which is a state that must be resumed."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.num_steps = 0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.num_steps += 1
        if self.num_steps % 2 == 0:
            with torch.no_grad():
                for parameter in pl_module.parameters():
                    parameter.mul_(self.factor)
        if str(trainer.global_step) == os.environ.get("SIGTERM_AFTER_STEP"):
            os.kill(os.getpid(), signal.SIGTERM)

    def state_dict(self) -> dict[str, Any]:
        return {"num_steps": self.num_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.num_steps = state_dict["num_steps"]


class LinesLogger(Logger):
    """Write the metrics of every epoch as lines."""

    def __init__(self, save_dir: str, digits: int) -> None:
        super().__init__()
        self.path = Path(save_dir, "lines.txt")
        self.digits = digits

    @property
    def name(self) -> str:
        return "lines"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        with self.path.open("a") as file:
            file.writelines(f"{step} {name} {value:.{self.digits}f}\n" for name, value in metrics.items())

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        pass


class SignDescent(Optimizer):
    """Step in the direction of the sign of the averaged gradient."""

    def __init__(self, params: Any, lr: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(parameter)
                state["average"].lerp_(parameter.grad, 1 - group["momentum"])
                parameter.sub_(state["average"].sign(), alpha=group["lr"])
        return loss


def staircase(optimizer: Optimizer, total_steps: int, num_stairs: int) -> LambdaLR:
    """Lower the learning rate to half in equal stairs."""
    return LambdaLR(optimizer, lambda step: 0.5 ** (step * num_stairs // total_steps))
