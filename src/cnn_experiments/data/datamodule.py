"""The LightningDataModule that all data sets share, and the evaluation protocol that it implies."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data import transforms
from cnn_experiments.data.augmentation import AugmentationPipeline
from cnn_experiments.data.channels import convert_channels, convert_mean, convert_std, convertible_channels
from cnn_experiments.data.facts import DataFacts, measure_pixels
from cnn_experiments.data.loader import InMemoryLoader
from cnn_experiments.data.validation import facts_problem, split_problem
from cnn_experiments.errors import ConfigError, RunFailedError, describe_error
from cnn_experiments.runs.metrics import Split


@dataclass(frozen=True)
class EvaluationProtocol:
    """Which images a network is evaluated on after every epoch, and which epoch's checkpoint is tested.

    Args:
        name: `holdout`: images held out of the training set choose the epoch, and the test set is used once.
            `last_epoch`: nothing is held out, the last epoch is tested, and the test set is used once. `book`, as
            in Dive into Deep Learning: nothing is held out, the last epoch is tested, and the test set is used after
            every epoch.
        eval_split: the split that is evaluated after every epoch, or None.
        has_monitor: whether the best value of a metric chooses the epoch that is tested; otherwise it is the last one.
    """

    name: Literal["holdout", "last_epoch", "book"]
    eval_split: Literal["val", "test"] | None
    has_monitor: bool


@dataclass(frozen=True)
class StoredSplit:
    """The images of a split, at the size at which the data set stores them."""

    stored_images: Tensor
    """uint8 (M, channels, native_size, native_size): the training set or the test set, which the split is a part of."""
    labels: Tensor
    """int64 (N,)."""
    index: Tensor
    """int64 (N,): the place of each image in the training set or the test set."""

    @property
    def images(self) -> Tensor:
        """Return the images of the split, uint8 (N, channels, native_size, native_size); those of a part are copied."""
        is_all = len(self.index) == len(self.stored_images)
        return self.stored_images if is_all else self.stored_images[self.index]


HOLDOUT = EvaluationProtocol("holdout", eval_split="val", has_monitor=True)
LAST_EPOCH = EvaluationProtocol("last_epoch", eval_split=None, has_monitor=False)
BOOK = EvaluationProtocol("book", eval_split="test", has_monitor=False)

MEASURED: Any = "measured"
"""The mean and the standard deviation of a data set that are computed from its training images."""


def stratified_permutation(labels: Tensor, seed: int) -> Tensor:
    """Return a random order of all images in which every prefix contains the classes in their proportions.

    Args:
        labels: int64 (N,).
        seed: determines the order.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    quantile = torch.empty(len(labels), dtype=torch.float64)  # the position of each image within its class, in 0..1
    for label in labels.unique():
        members = order[labels[order] == label]
        quantile[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return order[quantile[order].argsort(stable=True)]


def _num_channels(split: Any) -> int | None:
    """Return the number of channels of what a data set loaded, or None if it is no batch of images of equal sides."""
    images = split[0] if isinstance(split, tuple | list) and split else None
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[2] != images.shape[3]:
        return None
    return images.shape[1]


class ImageDataModule(pl.LightningDataModule, ABC):
    """Keeps all images as one uint8 tensor; batches are indexed, and augmented, resized and normalized on the device.

    A batch reaches the network as float32 images (N, channels, size, size) and int64 labels (N,), or where augmentation
    mixes images, the shares of the classes, float32 (N, classes).

    Args:
        channels: of the images that reach the network. Gray images are repeated to 3 channels, and color images
            become gray.
        classes: number of classes.
        batch_size: images per process and step.
        val_size: number of images held out of the training set, stratified by class.
        train_size: number of the other images that are trained on, stratified by class, or None for all of them. A
            smaller number selects a part of what a larger one does, and changes no other split.
        test_every_epoch: whether the test set is evaluated after every epoch; requires `val_size` 0.
        resize: pixels per side of the network's input, or None for the stored size.
        normalize: whether inputs are normalized to mean 0 and standard deviation 1.
        seed: determines the held-out images, those that are trained on and their order.

    Raises:
        ArgumentError: `channels` can't be made of the stored ones; `val_size` leaves no training image, is smaller than
            the number of classes, or is not 0 although the test set is evaluated after every epoch; `train_size` is
            smaller than the number of classes or exceeds the images that are not held out; or `batch_size` exceeds the
            images that are trained on.
        ValueError: the class lacks one of its facts.
    """

    class_names: Sequence[str]
    native_size: int
    """Pixels per side, as stored."""
    native_channels: int | None = None
    """Number of channels, as stored; None if `channels` says it, so that no other number is possible."""
    num_train_images: int
    """Number of images of the training set, those held out included."""
    num_test_images: int
    mean: float | Sequence[float]
    """Mean of the training pixels in 0..1, as stored: one number, or one for each channel; or `MEASURED`."""
    std: float | Sequence[float]
    """Standard deviation of the training pixels in 0..1, likewise."""
    background: int | None = None
    """Value of transparent pixels of image files; None for black or white, which is nearer to `mean`."""

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        batch_size: int,
        val_size: int,
        test_every_epoch: bool,
        resize: int | None,
        normalize: bool,
        seed: int,
        train_size: int | None = None,
    ) -> None:
        super().__init__()
        facts = {name: getattr(self, name) for name in ImageDataModule.__annotations__ if hasattr(self, name)}
        self._stored_channels = channels if self.native_channels is None else self.native_channels
        if problem := facts_problem(facts, self._stored_channels, classes):
            raise ValueError(f"{type(self).__name__} {problem}")
        self.possible_channels = convertible_channels(self._stored_channels)
        """The values that `channels` can have."""
        if channels not in self.possible_channels:
            raise ArgumentError("channels", channels, f"must be {' or '.join(map(str, self.possible_channels))}")
        num_available = self.num_train_images - val_size
        if num_available <= 0:
            raise ArgumentError("val_size", val_size, f"must be below the {self.num_train_images} training images")
        if 0 < val_size < classes:
            raise ArgumentError("val_size", val_size, f"must be 0 or at least {classes}, one image per class")
        if train_size is not None and train_size < classes:
            raise ArgumentError("train_size", train_size, f"must be null or at least {classes}, one image per class")
        if train_size is not None and train_size > num_available:
            limit = f"{num_available}, the number of training images that are not held out"
            raise ArgumentError("train_size", train_size, f"must be at most {limit}")
        self.num_images_per_epoch = num_available if train_size is None else train_size
        """Number of images that are trained on."""
        if batch_size > self.num_images_per_epoch:
            limit = f"{self.num_images_per_epoch}, the number of training images"
            raise ArgumentError("batch_size", batch_size, f"must be at most {limit}")
        if test_every_epoch and val_size:
            raise ArgumentError(
                "test_every_epoch",
                test_every_epoch,
                f"must be false if validation images are held out (val_size={val_size}); "
                "set data.val_size=0 to hold out none",
            )
        self.channels = channels
        self.classes = classes
        self.batch_size = batch_size
        self.val_size = val_size
        self.train_size = train_size
        self.test_every_epoch = test_every_epoch
        self.size = resize or self.native_size
        self.seed = seed
        self.normalize = normalize
        self.preprocessing = self._preprocessing()
        self.augmentation = AugmentationPipeline({})
        """What is applied to training images on the device."""
        self.tested_split: Split = "test"
        """The split that the test loop runs over."""
        self._splits: dict[Split, StoredSplit] = {}
        self._train_loader: InMemoryLoader | None = None
        self._resume_state: dict[str, int] | None = None

    def _preprocessing(self) -> transforms.Preprocessing:
        if not self.normalize:
            return transforms.Preprocessing(self.size, mean=0, std=1)
        if not self.is_measured:  # inputs are NaN until then
            return transforms.Preprocessing(self.size, mean=math.nan, std=math.nan)
        mean, std = convert_mean(self.mean, self.channels), convert_std(self.std, self.channels)
        return transforms.Preprocessing(self.size, mean, std)

    @property
    def is_measured(self) -> bool:
        """Return whether mean and standard deviation are known; if not, they are when the training set is loaded."""
        return MEASURED not in (self.mean, self.std)

    @property
    def facts(self) -> DataFacts:
        """Return what a trained network needs of the data set without the images."""
        return DataFacts(
            class_names=tuple(self.class_names),
            native_size=self.native_size,
            num_train_images=self.num_train_images,
            num_test_images=self.num_test_images,
            mean=convert_mean(self.mean, self.channels) if self.is_measured else self.mean,
            std=convert_std(self.std, self.channels) if self.is_measured else self.std,
            background=self.background,
        )

    def use_facts(self, facts: DataFacts) -> None:
        """Replace what the data set states of itself by what it was in training."""
        for name, value in vars(facts).items():
            setattr(self, name, value)
        self.preprocessing = self._preprocessing()

    @property
    def protocol(self) -> EvaluationProtocol:
        """Return the evaluation protocol that `val_size` and `test_every_epoch` imply."""
        if self.val_size:
            return HOLDOUT
        return BOOK if self.test_every_epoch else LAST_EPOCH

    @abstractmethod
    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return the training set or the test set, as stored.

        Returns:
            Images, uint8 (N, native_channels, native_size, native_size), and their labels, int64 (N,).
        """

    @property
    def needs_preparation(self) -> bool:
        """Return whether the images may have to be downloaded or made before they can be loaded."""
        return type(self).prepare_data is not ImageDataModule.prepare_data

    def load_checked(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return what `load` returns, after a check of its types, shapes and labels.

        Raises:
            ValueError: it is not what the class and the settings state.
        """
        split = self.load(train)
        num_images = self.num_train_images if train else self.num_test_images
        if self.native_channels is None and (found := _num_channels(split)) not in (self.channels, None):
            allowed = f"must be {found}, the number of channels of the images that {type(self).__name__} loads"
            raise ArgumentError("channels", self.channels, allowed)
        if problem := split_problem(split, num_images, self._stored_channels, self.native_size, self.classes):
            raise ValueError(f"{type(self).__name__}.load(train={train}): {problem}")
        return split

    def setup(self, stage: str) -> None:
        """Load the splits that the stage needs, and hold out the validation images.

        Raises:
            RunFailedError: a split can't be loaded, or is not what the class and the settings state.
        """
        if stage == "test":
            self._load_split(self.tested_split)
            return
        if self.test_every_epoch:
            self._load_split("test")
        self._load_split("train")

    def stored_split(self, split: Split) -> StoredSplit:
        """Return the images of a split, which are downloaded and loaded if necessary.

        Raises:
            ConfigError: no images are held out as `val`.
            RunFailedError: they can't be downloaded or loaded.
        """
        if split == "val" and not self.val_size:
            raise ConfigError("data.val_size", 0, problem="holds out no images, so that there is no split val")
        if split not in self._splits:
            self.prepare_data()
            self._load_split(split)
        return self._splits[split]

    def _load_split(self, split: Split) -> None:
        """Load a split; `train` and `val` are loaded together."""
        if split in self._splits:
            return
        images, labels = self._load_or_fail(train=split != "test")
        images = convert_channels(images, self.channels)
        if split == "test":
            self._splits[split] = StoredSplit(images, labels, torch.arange(len(images)))
            return
        train = torch.arange(len(images))
        if self.val_size or self.train_size is not None:
            order = stratified_permutation(labels, self.seed)
            val, train = order[: self.val_size], order[self.val_size :]
            if self.train_size is not None:
                train = train[stratified_permutation(labels[train], self.seed)[: self.train_size]]
            train = train.sort().values
            if self.val_size:
                self._splits["val"] = StoredSplit(images, labels[val], val)
        self._splits["train"] = StoredSplit(images, labels[train], train)
        self._measure()

    def _measure(self) -> None:
        """Compute mean and standard deviation from the training images, if the data set does not state them."""
        if not self.is_measured:
            train = self._splits["train"]
            mean, std = measure_pixels(train.stored_images, train.index)
            self.use_facts(replace(self.facts, mean=mean, std=std))

    def train_dataloader(self) -> InMemoryLoader:
        """Return the training images, in an order that depends on (seed, epoch)."""
        self._train_loader = self._loader("train", seed=self.seed)
        if self._resume_state is not None:
            self._train_loader.load_state_dict(self._resume_state)
        return self._train_loader

    def val_dataloader(self) -> InMemoryLoader | list[InMemoryLoader]:
        """Return what is evaluated after every epoch: the images of the protocol's `eval_split`, or an empty list."""
        if self.protocol.eval_split is None:
            return []
        return self._loader(self.protocol.eval_split)

    def test_dataloader(self) -> InMemoryLoader:
        """Return the images of the split that is tested, in the order in which they are stored."""
        return self._loader(self.tested_split)

    def predict_dataloader(self) -> InMemoryLoader:
        """Return the images held out for validation."""
        return self._loader("val")

    def state_dict(self) -> dict[str, Any]:
        """Return the position of training within its epoch, and what a trained network needs without the images.

        Lightning saves the state of the loader too, but does not restore it if the loader is created early to count the
        steps of the run, which a schedule causes.
        """
        state: dict[str, Any] = {"facts": self.facts.state_dict()} if self.is_measured else {}
        return state | ({"training": self._train_loader.state_dict()} if self._train_loader else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let training continue from the position in `state_dict`."""
        self._resume_state = state_dict.get("training")

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Turn uint8 images on the device into network inputs; only training images are augmented."""
        images, labels = batch
        if self.trainer and self.trainer.training:
            return self.training_inputs(images, labels)
        return self.preprocessing(images), labels

    def training_inputs(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return augmented network inputs of uint8 images, and the targets: labels, or shares of classes if mixed."""
        inputs = self.preprocessing(self.augmentation.transform(images))
        return self.augmentation.mix(inputs, labels, self.classes)

    def _load_or_fail(self, train: bool) -> tuple[Tensor, Tensor]:
        try:
            return self.load_checked(train)
        except Exception as error:  # the code of a user's data set may raise anything
            problem = str(error) if isinstance(error, ValueError) else describe_error(error)
            raise RunFailedError(f"the data could not be loaded: {problem}") from error

    def _loader(self, split: Split, seed: int | None = None) -> InMemoryLoader:
        stored = self._splits[split]
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return InMemoryLoader(
            stored.stored_images,
            stored.labels,
            self.batch_size,
            index=stored.index,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )
