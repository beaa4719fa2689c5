"""Batches of a data set in memory, in an order that a resumed run can repeat."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def count_batches(num_images: int, batch_size: int, world_size: int) -> int:
    """Return the number of batches of an epoch in each of the processes.

    A remainder with fewer than two images per process, the minimum for batch normalization, makes no batch of its own.
    """
    num_batches, remainder = divmod(num_images, batch_size * world_size)
    return max(1, num_batches + (remainder >= 2 * world_size))


class EpochSampler:
    """The order of the images in an epoch: shuffled by (seed, epoch) alone, or as stored if `seed` is None."""

    def __init__(self, num_images: int, seed: int | None) -> None:
        self.num_images = num_images
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch; Lightning calls this before every epoch, also after resuming."""
        self.epoch = epoch

    def indices(self) -> Tensor:
        """Return the order of the current epoch: int64 (num_images,)."""
        if self.seed is None:
            return torch.arange(self.num_images)
        epoch_seed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1).item()
        return torch.randperm(self.num_images, generator=torch.Generator().manual_seed(epoch_seed))


class InMemoryLoader:
    """Iterates over batches (images, labels), each taken from memory by one index operation.

    With `world_size` processes, process `rank` gets its part of each global batch of batch_size * world_size images.
    Every image is in exactly one batch of one process, and all processes have the same number of batches. A remainder
    with fewer than two images per process, the minimum for batch normalization, is added to the batch before it.

    Args:
        images: (M, ...), of which the loader uses a part.
        labels: (N,), of the images that it uses.
        batch_size: images per process.
        index: int64 (N,), the place of each of them in `images`.
        seed: of the order, or None for that of `index`.
        rank: of this process.
        world_size: number of processes.
    """

    batch_sampler = None  # Lightning treats an object with a sampler as a torch DataLoader and reads this attribute too

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        *,
        index: Tensor,
        seed: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.images = images
        self.labels = labels
        self.index = index
        self.sampler = EpochSampler(len(labels), seed)
        self._batch_size = batch_size
        self._global_batch_size = batch_size * world_size
        self._rank = rank
        self._world_size = world_size
        self._position = 0
        self._resume_state: dict[str, int] | None = None

    def __len__(self) -> int:
        return count_batches(len(self.labels), self._batch_size, self._world_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        first_batch = 0
        # A position belongs to its own epoch; after a checkpoint between two epochs, the next starts at its beginning.
        if self._resume_state and self._resume_state["epoch"] == self.sampler.epoch:
            first_batch = self._resume_state["position"]
        self._resume_state = None
        for batch, indices in enumerate(self.batch_indices()):
            if batch >= first_batch:
                self._position = batch + 1
                yield self.images[self.index[indices]], self.labels[indices]

    def batch_indices(self) -> Iterator[Tensor]:
        """Yield the indices of the images in each batch of this process, int64 (batch_size,)."""
        num_batches = len(self)
        order = self.sampler.indices()
        for batch in range(num_batches):
            start = batch * self._global_batch_size
            end = start + self._global_batch_size if batch < num_batches - 1 else len(order)
            yield order[start:end].tensor_split(self._world_size)[self._rank]

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of its batches yielded so far; Lightning stores it in every checkpoint."""
        return {"epoch": self.sampler.epoch, "position": self._position}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Let the next iteration over the same epoch continue after the last batch that was yielded."""
        self._resume_state = state_dict
