"""What all data modules have in common, on the digits."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from cnn_experiments.data.datamodule import ImageDataModule, stratified_order
from tests.conftest import configured


def digits(*overrides: str) -> ImageDataModule:
    data: ImageDataModule = instantiate(configured("data=digits", *overrides).data, _convert_="all")
    return data


def in_stage(data: ImageDataModule, *, training: bool) -> ImageDataModule:
    trainer: Any = SimpleNamespace(training=training, global_rank=0, world_size=1)
    data.trainer = trainer
    return data


def test_leading_part_of_a_stratified_order_has_the_proportions_of_all() -> None:
    labels = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)
    order = stratified_order(labels, seed=0)
    assert order.sort().values.tolist() == list(range(1000))
    assert labels[order[:100]].bincount().tolist() == [60, 30, 10]
    assert not torch.equal(order, stratified_order(labels, seed=1))
    assert torch.equal(order, stratified_order(labels, seed=0))


def test_validation_images_are_held_out_of_training() -> None:
    data = digits("data.val_size=180")
    everything, labels = data.load(train=True)
    data.setup("fit")
    train = torch.cat([images for images, _ in data.train_dataloader()])
    (val_images, val_labels) = (torch.cat(part) for part in zip(*data.val_dataloader(), strict=True))  # type: ignore[arg-type]
    assert (len(train), len(val_images)) == (1257, 180)
    together = torch.cat([train, val_images]).flatten(1).tolist()
    assert sorted(together) == sorted(everything.flatten(1).tolist())
    counts = val_labels.bincount(minlength=10)
    assert (counts - labels.bincount() * 180 / 1437).abs().max() <= 1


def test_validation_images_depend_on_the_seed() -> None:
    def held_out(seed: int) -> torch.Tensor:
        data = digits(f"seed={seed}")
        data.setup("fit")
        return torch.cat([images for images, _ in data.val_dataloader()])  # type: ignore[misc]

    assert torch.equal(held_out(0), held_out(0))
    assert not torch.equal(held_out(0), held_out(1))


def test_nothing_held_out_trains_on_everything() -> None:
    data = digits("data.val_size=0")
    data.setup("fit")
    assert sum(len(labels) for _, labels in data.train_dataloader()) == 1437
    assert data.val_dataloader() == []


def test_the_test_set_after_every_epoch() -> None:
    data = digits("data.val_size=0", "data.test_every_epoch=true")
    data.setup("fit")
    (images, labels) = (torch.cat(part) for part in zip(*data.val_dataloader(), strict=True))  # type: ignore[arg-type]
    expected = data.load(train=False)
    assert torch.equal(images, expected[0])
    assert torch.equal(labels, expected[1])
    assert sum(len(labels) for _, labels in data.train_dataloader()) == 1437


@pytest.mark.parametrize(
    ("overrides", "protocol"),
    [
        ([], "holdout"),
        (["data.val_size=0"], "last_epoch"),
        (["data.val_size=0", "data.test_every_epoch=true"], "book"),
    ],
)
def test_the_protocol_has_a_name(overrides: list[str], protocol: str) -> None:
    assert digits(*overrides).protocol == protocol


def test_test_images_are_the_same_for_every_seed() -> None:
    images, labels = digits("seed=5").load(train=False)
    assert torch.equal(images, digits().load(train=False)[0])
    assert images.shape == (360, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert (int(images.min()), int(images.max())) == (0, 255)
    assert labels.bincount(minlength=10).min() >= 34


def test_only_training_images_are_augmented() -> None:
    batch = digits().load(train=True)
    plain = digits().on_after_batch_transfer(batch, 0)[0]
    augmented = digits("data.augment=crop_flip")
    assert torch.equal(in_stage(augmented, training=False).on_after_batch_transfer(batch, 0)[0], plain)
    assert not torch.equal(in_stage(augmented, training=True).on_after_batch_transfer(batch, 0)[0], plain)


def test_normalised_training_images_have_mean_zero_and_deviation_one() -> None:
    data = digits("data.normalize=true", "data.resize=null")
    inputs, _ = data.on_after_batch_transfer(data.load(train=True), 0)
    assert inputs.dtype == torch.float32
    assert inputs.mean().item() == pytest.approx(0, abs=1e-3)
    assert inputs.std().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.val_size=1437", "val_size=1437: must be below the 1437 training images"),
        ("data.val_size=9", "val_size=9: must be 0 or at least one image for each of the 10 classes"),
        (
            "data.test_every_epoch=true",
            "test_every_epoch=true: must be false where val_size=180 images are held out; data.val_size=0 holds out none",
        ),
        ("data.augment=crop", "augment=crop: must be one of none, flip, crop_flip, crop_flip_erase"),
    ],
)
def test_impossible_values_are_refused(override: str, message: str) -> None:
    with pytest.raises(InstantiationException, match="Error in call") as refused:
        digits(override)
    assert isinstance(refused.value.__cause__, ValueError)
    assert str(refused.value.__cause__) == message
