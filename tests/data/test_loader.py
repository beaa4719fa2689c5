"""Which images come when."""

import pytest
import torch

from cnn_experiments.data.loader import Batches, EpochOrder


def batches(images: int, batch_size: int, seed: int | None = 0, rank: int = 0, world_size: int = 1) -> Batches:
    numbers = torch.arange(images)
    return Batches(numbers, -numbers, batch_size, seed=seed, rank=rank, world_size=world_size)


def numbers_of(loader: Batches) -> list[list[int]]:
    result = []
    for images, labels in loader:
        assert torch.equal(labels, -images)
        result.append(images.tolist())
    return result


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        made = EpochOrder(1000, seed)
        made.set_epoch(epoch)
        torch.rand(7)  # the global generator has no say
        return made.indices().tolist()

    assert order(0, 0) == order(0, 0)
    assert sorted(order(0, 0)) == list(range(1000))
    different = {tuple(order(seed, epoch)) for seed in (0, 1, 2**32 - 1) for epoch in (0, 1, 2)}
    assert len(different) == 9


def test_without_a_seed_images_come_as_they_are_stored() -> None:
    assert numbers_of(batches(5, 2, seed=None)) == [[0, 1], [2, 3, 4]]


def test_every_image_comes_once_and_the_last_batch_is_what_remains() -> None:
    made = numbers_of(batches(600, 256))
    assert [len(batch) for batch in made] == [256, 256, 88]
    assert sorted(number for batch in made for number in batch) == list(range(600))


def test_a_single_remaining_image_joins_the_batch_before() -> None:
    assert [len(batch) for batch in numbers_of(batches(513, 256))] == [256, 257]


@pytest.mark.parametrize("images", [20, 64, 65, 66, 67, 68, 127, 128, 129])
@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_an_epoch(images: int, world_size: int) -> None:
    shares = [numbers_of(batches(images, 16, rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    assert len(shares[0]) == len(batches(images, 16, world_size=world_size))
    seen = [number for share in shares for batch in share for number in batch]
    assert sorted(seen) == list(range(images))
    assert min(len(batch) for share in shares for batch in share) >= 2


def test_goes_on_behind_the_last_batch() -> None:
    interrupted, undisturbed = batches(100, 10), numbers_of(batches(100, 10))
    seen = iter(interrupted)
    for _ in range(3):
        next(seen)
    resumed = batches(100, 10)
    resumed.load_state_dict(interrupted.state_dict())
    assert numbers_of(resumed) == undisturbed[3:]
    assert numbers_of(resumed) == undisturbed  # only the epoch that was interrupted is shorter


@pytest.mark.parametrize("taken", [3, 10])
def test_a_checkpoint_between_epochs_starts_the_next_at_its_beginning(taken: int) -> None:
    first = batches(100, 10)
    seen = iter(first)
    for _ in range(taken):
        next(seen)
    resumed = batches(100, 10)
    resumed.load_state_dict(first.state_dict())
    resumed.sampler.set_epoch(1)
    assert len(numbers_of(resumed)) == 10
