"""Batches of an in-memory data set, in an order that a resumed run can repeat."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


class EpochOrder:
    """The order of `images` images: shuffled by (seed, epoch) alone, or as they are stored where `seed` is None."""

    def __init__(self, images: int, seed: int | None) -> None:
        self.images = images
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every epoch, resumed ones included."""
        self.epoch = epoch

    def indices(self) -> Tensor:
        """The current epoch's order: int64 (images,)."""
        if self.seed is None:
            return torch.arange(self.images)
        mixed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1).item()
        return torch.randperm(self.images, generator=torch.Generator().manual_seed(mixed))


class Batches:
    """Yields (images, labels) with one index operation a batch.

    Among `world_size` processes, each batch is the share of process `rank` in a common batch of
    batch_size * world_size images. Every image is in exactly one batch of one process, and all processes have the same
    number of batches. A remainder too small to give every process two images, which batch normalisation needs, joins
    the batch before it.
    """

    batch_sampler = None  # Lightning takes what has a sampler for a torch DataLoader and asks for this too

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        *,
        seed: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.images = images
        self.labels = labels
        self.sampler = EpochOrder(len(images), seed)
        self._common_size = batch_size * world_size
        self._rank = rank
        self._world_size = world_size
        self._position = 0
        self._resumed: dict[str, int] | None = None

    def __len__(self) -> int:
        batches, remainder = divmod(len(self.images), self._common_size)
        return max(1, batches + (remainder >= 2 * self._world_size))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, length = self.sampler.epoch, len(self)
        # A position belongs to its own epoch; a checkpoint written between two epochs starts the next at its beginning.
        start = self._resumed["position"] if self._resumed and self._resumed["epoch"] == epoch else 0
        self._resumed = None
        order = self.sampler.indices()
        for batch in range(start, length):
            end = len(order) if batch == length - 1 else (batch + 1) * self._common_size
            mine = order[batch * self._common_size : end].tensor_split(self._world_size)[self._rank]
            self._position = batch + 1
            yield self.images[mine], self.labels[mine]

    def state_dict(self) -> dict[str, int]:
        """Where the current epoch stands; Lightning puts it into every checkpoint."""
        return {"epoch": self.sampler.epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass over the same epoch goes on behind the last batch that was yielded."""
        self._resumed = state
