"""The LightningDataModule that all data sets share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import lightning.pytorch as pl
import torch
from torch import Tensor

from cnn_experiments.data import transforms as pixels
from cnn_experiments.data.loader import Batches


def stratified_order(labels: Tensor, seed: int) -> Tensor:
    """A random order of all images in which every leading part holds the classes in their proportions."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    share = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique():
        members = order[labels[order] == label]
        share[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return order[share[order].argsort(stable=True)]


class ImageDataModule(pl.LightningDataModule, ABC):
    """uint8 images in one tensor, batched by index, resized, scaled, normalised and augmented on the device.

    A batch reaches the network as float32 images (N, channels, size, size) and int64 labels (N,).

    Raises:
        ValueError: `val_size` leaves no training image, has fewer images than classes or holds images out although
            the test set is used after every epoch, or `augment` is unknown.
    """

    class_names: ClassVar[Sequence[str]]
    native_size: ClassVar[int]
    """Pixels a side, as stored."""
    train_images: ClassVar[int]
    """Images that `val_size` is held out of."""
    test_images: ClassVar[int]
    mean: ClassVar[float]
    std: ClassVar[float]
    """Of the training pixels, in 0..1."""

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        batch_size: int,
        val_size: int,
        test_every_epoch: bool,
        resize: int | None,
        augment: str,
        normalize: bool,
        seed: int,
    ) -> None:
        super().__init__()
        if val_size >= self.train_images:
            raise ValueError(f"val_size={val_size}: must be below the {self.train_images} training images")
        if 0 < val_size < classes:
            raise ValueError(f"val_size={val_size}: must be 0 or at least one image for each of the {classes} classes")
        if test_every_epoch and val_size:
            raise ValueError(
                f"test_every_epoch=true: must be false where val_size={val_size} images are held out; "
                "data.val_size=0 holds out none"
            )
        if augment not in pixels.AUGMENTATIONS:
            raise ValueError(f"augment={augment}: must be one of {', '.join(pixels.AUGMENTATIONS)}")
        self.channels = channels
        self.classes = classes
        self.batch_size = batch_size
        self.val_size = val_size
        self.test_every_epoch = test_every_epoch
        self.size = resize or self.native_size
        self.seed = seed
        self._augment = pixels.AUGMENTATIONS[augment]
        self._normalize = normalize
        self._training: Batches | None = None
        self._resumed: dict[str, int] | None = None

    @property
    def protocol(self) -> str:
        """How the tested epoch is found.

        holdout: by images held out of the training set; the test set is used once. last_epoch: it is the last one, with
        nothing held out; the test set is used once. book: it is the last one, and the test set is used after every one.
        """
        if self.val_size:
            return "holdout"
        return "book" if self.test_every_epoch else "last_epoch"

    @abstractmethod
    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Images, uint8 (N, channels, native_size, native_size), and labels, int64 (N,), of one of the two sets."""

    def setup(self, stage: str) -> None:
        """Loads what the stage needs and holds the validation images out."""
        if stage == "test" or self.test_every_epoch:
            self._test = self.load(train=False)
        if stage == "test":
            return
        images, labels = self.load(train=True)
        if self.val_size == 0:
            self._train = images, labels
            return
        order = stratified_order(labels, self.seed)
        val, train = order[: self.val_size], order[self.val_size :].sort().values
        self._val = images[val], labels[val]
        self._train = images[train], labels[train]

    def train_dataloader(self) -> Batches:
        """Training images in an order made of (seed, epoch)."""
        self._training = self._batches(self._train, seed=self.seed)
        if self._resumed is not None:
            self._training.load_state_dict(self._resumed)
        return self._training

    def val_dataloader(self) -> Batches | list[Batches]:
        """What is looked at after every epoch: the held-out images, the test images or none."""
        if self.test_every_epoch:
            return self.test_dataloader()
        return self._batches(self._val) if self.val_size else []

    def test_dataloader(self) -> Batches:
        """The test images as they are stored."""
        return self._batches(self._test)

    def state_dict(self) -> dict[str, Any]:
        """How far training is in its epoch.

        Lightning saves that of the loader too, but does not restore it where the loader is made early to count the
        steps of the run, as it is for a schedule.
        """
        return {"training": self._training.state_dict()} if self._training else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Training goes on there."""
        self._resumed = state_dict.get("training")

    def _batches(self, data: tuple[Tensor, Tensor], seed: int | None = None) -> Batches:
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return Batches(*data, self.batch_size, seed=seed, rank=rank, world_size=world_size)

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Bytes on the device into the network's input; only training images are augmented."""
        images, labels = batch
        if self.trainer and self.trainer.training:
            images = self._augment(images)
        inputs = pixels.scale(pixels.resize(images, self.size))
        if self._normalize:
            inputs.sub_(self.mean).div_(self.std)
        return inputs, labels
