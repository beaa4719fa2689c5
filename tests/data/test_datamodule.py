"""Tests of the base class of all data modules, on the digits."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from cnn_experiments.data.datamodule import EvaluationProtocol, ImageDataModule, stratified_permutation
from tests.conftest import compose_settings


def make_digits(*overrides: str) -> ImageDataModule:
    data: ImageDataModule = instantiate(compose_settings("data=digits", *overrides)["data"], _convert_="all")
    return data


def attach_trainer(data: ImageDataModule, *, training: bool) -> ImageDataModule:
    trainer: Any = SimpleNamespace(training=training, global_rank=0, world_size=1)
    data.trainer = trainer
    return data


def test_leading_part_of_a_stratified_permutation_has_the_proportions_of_all() -> None:
    labels = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)
    order = stratified_permutation(labels, seed=0)
    assert order.sort().values.tolist() == list(range(1000))
    assert labels[order[:100]].bincount().tolist() == [60, 30, 10]
    assert not torch.equal(order, stratified_permutation(labels, seed=1))
    assert torch.equal(order, stratified_permutation(labels, seed=0))


def test_validation_images_are_held_out_of_training() -> None:
    data = make_digits("data.val_size=180")
    all_images, labels = data.load(train=True)
    data.setup("fit")
    train_images = torch.cat([images for images, _ in data.train_dataloader()])
    (val_images, val_labels) = (torch.cat(part) for part in zip(*data.val_dataloader(), strict=True))  # type: ignore[arg-type]
    assert (len(train_images), len(val_images)) == (1257, 180)
    split_images = torch.cat([train_images, val_images]).flatten(1).tolist()
    assert sorted(split_images) == sorted(all_images.flatten(1).tolist())
    counts = val_labels.bincount(minlength=10)
    assert (counts - labels.bincount() * 180 / 1437).abs().max() <= 1


def test_validation_images_depend_on_the_seed() -> None:
    def val_images(seed: int) -> torch.Tensor:
        data = make_digits(f"seed={seed}")
        data.setup("fit")
        return torch.cat([images for images, _ in data.val_dataloader()])  # type: ignore[misc]

    assert torch.equal(val_images(0), val_images(0))
    assert not torch.equal(val_images(0), val_images(1))


def test_all_images_are_trained_on_if_none_is_held_out() -> None:
    data = make_digits("data.val_size=0")
    data.setup("fit")
    assert sum(len(labels) for _, labels in data.train_dataloader()) == 1437
    assert data.val_dataloader() == []


def test_book_protocol_evaluates_on_the_test_set_after_every_epoch() -> None:
    data = make_digits("data.val_size=0", "data.test_every_epoch=true")
    data.setup("fit")
    (images, labels) = (torch.cat(part) for part in zip(*data.val_dataloader(), strict=True))  # type: ignore[arg-type]
    test_images, test_labels = data.load(train=False)
    assert torch.equal(images, test_images)
    assert torch.equal(labels, test_labels)
    assert sum(len(labels) for _, labels in data.train_dataloader()) == 1437


@pytest.mark.parametrize(
    ("overrides", "protocol"),
    [
        ([], EvaluationProtocol("holdout", eval_split="val", monitor="val/acc")),
        (["data.val_size=0"], EvaluationProtocol("last_epoch", eval_split=None, monitor=None)),
        (
            ["data.val_size=0", "data.test_every_epoch=true"],
            EvaluationProtocol("book", eval_split="test", monitor=None),
        ),
    ],
)
def test_settings_determine_the_evaluation_protocol(overrides: list[str], protocol: EvaluationProtocol) -> None:
    assert make_digits(*overrides).protocol == protocol


def test_test_images_are_the_same_for_every_seed() -> None:
    images, labels = make_digits("seed=5").load(train=False)
    assert torch.equal(images, make_digits().load(train=False)[0])
    assert images.shape == (360, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert (int(images.min()), int(images.max())) == (0, 255)
    assert labels.bincount(minlength=10).min() >= 34


def test_only_training_images_are_augmented() -> None:
    batch = make_digits().load(train=True)
    unaugmented = make_digits().on_after_batch_transfer(batch, 0)[0]
    augmented = make_digits("data.augment=crop_flip")
    assert torch.equal(attach_trainer(augmented, training=False).on_after_batch_transfer(batch, 0)[0], unaugmented)
    assert not torch.equal(attach_trainer(augmented, training=True).on_after_batch_transfer(batch, 0)[0], unaugmented)


def test_normalized_training_images_have_mean_zero_and_standard_deviation_one() -> None:
    data = make_digits("data.normalize=true", "data.resize=null")
    inputs, _ = data.on_after_batch_transfer(data.load(train=True), 0)
    assert inputs.dtype == torch.float32
    assert inputs.mean().item() == pytest.approx(0, abs=1e-3)
    assert inputs.std().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.val_size=1437", "val_size=1437: must be below the 1437 training images"),
        ("data.val_size=9", "val_size=9: must be 0 or at least 10, one image per class"),
        (
            "data.test_every_epoch=true",
            "test_every_epoch=true: must be false if validation images are held out (val_size=180); set data.val_size=0 to hold out none",
        ),
        (
            "data.augment=crop",
            "augment=crop: must be one of none, flip, crop_flip, crop_flip_erase; did you mean crop_flip?",
        ),
        ("data.augment=mixup", "augment=mixup: must be one of none, flip, crop_flip, crop_flip_erase"),
    ],
)
def test_invalid_values_raise_value_error(override: str, message: str) -> None:
    with pytest.raises(InstantiationException, match="Error in call") as error:
        make_digits(override)
    assert isinstance(error.value.__cause__, ValueError)
    assert str(error.value.__cause__) == message
