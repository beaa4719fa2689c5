"""Train with a script as Lightning's documentation teaches to write it.

    python benchmarks/against_others/lightning_script.py [OVERRIDES]

The module follows "Lightning in 15 minutes", https://lightning.ai/docs/pytorch/stable/starter/introduction.html, the
data module "LightningDataModule", https://lightning.ai/docs/pytorch/stable/data/datamodule.html, the workers "Speed up
model training", https://lightning.ai/docs/pytorch/stable/advanced/speed.html, and the metric "TorchMetrics in PyTorch
Lightning", https://lightning.ai/docs/torchmetrics/stable/pages/lightning.html. Prints one line of JSON.
"""

import os
import sys

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from step_timer import StepTimer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy
from torchvision import datasets, transforms
from workload import read_workload

NUM_WORKERS = min(4, len(os.sched_getaffinity(0)))


class FashionMNIST(pl.LightningDataModule):
    """Fashion-MNIST as torchvision reads it."""

    def __init__(self, root: str, size: int | None, batch_size: int) -> None:
        super().__init__()
        self.root = root
        self.batch_size = batch_size
        resize = [transforms.Resize(size)] if size else []
        self.transform = transforms.Compose([*resize, transforms.ToTensor()])

    def prepare_data(self) -> None:
        datasets.FashionMNIST(self.root, train=True, download=True)

    def setup(self, stage: str) -> None:
        self.train_set = datasets.FashionMNIST(self.root, train=True, transform=self.transform)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(
            self.train_set,
            self.batch_size,
            shuffle=True,
            num_workers=NUM_WORKERS,
            persistent_workers=True,
            pin_memory=torch.cuda.is_available(),
        )


class ImageClassifier(pl.LightningModule):
    """A network, its loss, metric and optimizer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.train_accuracy = MulticlassAccuracy(num_classes=10)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        images, labels = batch
        logits = self.network(images)
        loss = F.cross_entropy(logits, labels)
        self.train_accuracy(logits, labels)
        self.log("train_loss", loss)
        self.log("train_acc", self.train_accuracy, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.001)


if __name__ == "__main__":
    workload = read_workload(sys.argv[1:])
    trainer = pl.Trainer(
        max_epochs=10,
        max_steps=workload.num_steps,
        logger=TensorBoardLogger("."),  # the logger and the checkpoints of the Trainer's defaults
        callbacks=[ModelCheckpoint(), StepTimer(workload.num_warmup_steps, workload.num_steps)],
    )
    data = FashionMNIST(workload.data_root, workload.size, workload.batch_size)
    trainer.fit(ImageClassifier(workload.build_network()), datamodule=data)
