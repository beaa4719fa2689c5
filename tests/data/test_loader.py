"""Tests of the order of images, of their partition into batches and processes, and of resuming an epoch."""

import pytest
import torch

from cnn_experiments.data.loader import EpochSampler, InMemoryLoader


def make_loader(
    num_images: int, batch_size: int, seed: int | None = 0, rank: int = 0, world_size: int = 1
) -> InMemoryLoader:
    """Return a loader whose images are their own numbers, and whose labels are the negative numbers."""
    numbers = torch.arange(num_images)
    return InMemoryLoader(numbers, -numbers, batch_size, index=numbers, seed=seed, rank=rank, world_size=world_size)


def read_batches(loader: InMemoryLoader) -> list[list[int]]:
    batches = []
    for images, labels in loader:
        assert torch.equal(labels, -images)
        batches.append(images.tolist())
    return batches


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(1000, seed)
        sampler.set_epoch(epoch)
        torch.rand(7)  # the state of the global generator must have no influence
        return sampler.indices().tolist()

    assert order(0, 0) == order(0, 0)
    assert sorted(order(0, 0)) == list(range(1000))
    different_orders = {tuple(order(seed, epoch)) for seed in (0, 1, 2**32 - 1) for epoch in (0, 1, 2)}
    assert len(different_orders) == 9


def test_images_are_in_stored_order_without_a_seed() -> None:
    assert read_batches(make_loader(5, 2, seed=None)) == [[0, 1], [2, 3, 4]]


def test_every_image_is_in_one_batch_and_the_last_batch_is_the_remainder() -> None:
    batches = read_batches(make_loader(600, 256))
    assert [len(batch) for batch in batches] == [256, 256, 88]
    assert sorted(number for batch in batches for number in batch) == list(range(600))


def test_single_remaining_image_is_added_to_the_batch_before() -> None:
    assert [len(batch) for batch in read_batches(make_loader(513, 256))] == [256, 257]


@pytest.mark.parametrize("num_images", [20, 64, 65, 66, 67, 68, 127, 128, 129])
@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_partition_an_epoch(num_images: int, world_size: int) -> None:
    batches_by_rank = [
        read_batches(make_loader(num_images, 16, rank=rank, world_size=world_size)) for rank in range(world_size)
    ]
    assert len({len(batches) for batches in batches_by_rank}) == 1
    assert len(batches_by_rank[0]) == len(make_loader(num_images, 16, world_size=world_size))
    numbers = [number for batches in batches_by_rank for batch in batches for number in batch]
    assert sorted(numbers) == list(range(num_images))
    assert min(len(batch) for batches in batches_by_rank for batch in batches) >= 2


def test_resumed_epoch_continues_after_the_last_batch() -> None:
    interrupted, uninterrupted_batches = make_loader(100, 10), read_batches(make_loader(100, 10))
    iterator = iter(interrupted)
    for _ in range(3):
        next(iterator)
    resumed = make_loader(100, 10)
    resumed.load_state_dict(interrupted.state_dict())
    assert read_batches(resumed) == uninterrupted_batches[3:]
    assert read_batches(resumed) == uninterrupted_batches  # only the interrupted epoch is shorter


@pytest.mark.parametrize("num_batches", [3, 10])
def test_checkpoint_between_epochs_starts_the_next_epoch_at_its_beginning(num_batches: int) -> None:
    interrupted = make_loader(100, 10)
    iterator = iter(interrupted)
    for _ in range(num_batches):
        next(iterator)
    resumed = make_loader(100, 10)
    resumed.load_state_dict(interrupted.state_dict())
    resumed.sampler.set_epoch(1)
    assert len(read_batches(resumed)) == 10
