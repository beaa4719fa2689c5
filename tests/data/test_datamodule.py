"""Tests of the base class of all data modules, on the digits."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from cnn_experiments.data.datamodule import (
    EvaluationProtocol,
    ImageDataModule,
    StoredSplit,
    stratified_permutation,
)
from cnn_experiments.data.digits import Digits
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runs.metrics import Split
from cnn_experiments.training import build
from cnn_experiments.training.build import build_data, check_images
from cnn_experiments.training.limits import count_steps_per_epoch
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
        ([], EvaluationProtocol("holdout", eval_split="val", has_monitor=True)),
        (["data.val_size=0"], EvaluationProtocol("last_epoch", eval_split=None, has_monitor=False)),
        (
            ["data.val_size=0", "data.test_every_epoch=true"],
            EvaluationProtocol("book", eval_split="test", has_monitor=False),
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
    augmented = build_data(compose_settings("data=digits", "augment=[crop,flip]"))
    assert torch.equal(attach_trainer(augmented, training=False).on_after_batch_transfer(batch, 0)[0], unaugmented)
    assert not torch.equal(attach_trainer(augmented, training=True).on_after_batch_transfer(batch, 0)[0], unaugmented)


def test_normalized_training_images_have_mean_zero_and_standard_deviation_one() -> None:
    data = make_digits("data.normalize=true", "data.resize=null")
    inputs, _ = data.on_after_batch_transfer(data.load(train=True), 0)
    assert inputs.dtype == torch.float32
    assert inputs.mean().item() == pytest.approx(0, abs=1e-3)
    assert inputs.std().item() == pytest.approx(1, abs=1e-3)


def test_part_of_the_training_images_is_stratified_and_grows() -> None:
    def split_of(split: Split, train_size: int | None) -> StoredSplit:
        size = "null" if train_size is None else train_size
        return make_digits(f"data.train_size={size}").stored_split(split)

    everything = split_of("train", None)
    proportions = everything.labels.bincount() / len(everything.labels)
    smaller: set[int] = set()
    for train_size in (16, 100, 800, 1257):
        part = split_of("train", train_size)
        assert len(part.images) == train_size
        assert torch.equal(part.index, part.index.sort().values)
        assert (part.labels.bincount(minlength=10) - proportions * train_size).abs().max() <= 1
        places = set(part.index.tolist())
        assert smaller < places
        smaller = places
        assert torch.equal(part.index, split_of("train", train_size).index)
        assert torch.equal(split_of("val", train_size).index, split_of("val", None).index)
        assert torch.equal(split_of("test", train_size).index, split_of("test", None).index)
    assert torch.equal(part.index, everything.index)
    assert not torch.equal(
        make_digits("data.train_size=100", "seed=1").stored_split("train").index, split_of("train", 100).index
    )


def test_smallest_part_has_an_image_of_every_class() -> None:
    for seed in range(5):
        data = make_digits("data.train_size=10", "data.batch_size=2", f"seed={seed}")
        assert data.stored_split("train").labels.sort().values.tolist() == list(range(10))


def test_part_of_the_training_images_needs_none_held_out() -> None:
    data = make_digits("data.val_size=0", "data.train_size=100")
    data.setup("fit")
    assert data.num_images_per_epoch == sum(len(labels) for _, labels in data.train_dataloader()) == 100


def test_steps_of_an_epoch_are_those_of_the_images_that_are_trained_on() -> None:
    settings = compose_settings("data=digits", "data.train_size=100")  # 6 batches of 16, and one of 4
    assert count_steps_per_epoch(settings, build_data(settings)) == 7
    settings = compose_settings("data=digits")
    assert count_steps_per_epoch(settings, build_data(settings)) == 79


def test_gray_images_are_repeated_to_three_channels() -> None:
    gray, color = make_digits("data.normalize=true"), make_digits("data.channels=3", "data.normalize=true")
    assert build_data(compose_settings("data=digits", "data.channels=3")).channels == 3
    for split in ("train", "val", "test"):
        images, repeated = (data.stored_split(split) for data in (gray, color))
        assert repeated.images.shape[1] == 3
        assert all(torch.equal(repeated.images[:, [channel]], images.images) for channel in range(3))
        inputs = color.on_after_batch_transfer((repeated.images, repeated.labels), 0)[0]
        expected = gray.on_after_batch_transfer((images.images, images.labels), 0)[0]
        assert torch.equal(inputs, expected.expand(-1, 3, -1, -1))


class ColorDigits(Digits):
    """Digits in colors whose channels rise and fall together, as they almost do in photographs."""

    native_channels = 3
    mean = (Digits.mean, Digits.mean / 2, Digits.mean / 4)
    std = (Digits.std, Digits.std / 2, Digits.std / 4)

    def load(self, train: bool) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = super().load(train)
        return torch.cat([images, images // 2, images // 4], dim=1), labels


class OwnDigits(Digits):
    """Digits of somebody who does not state how many channels are stored."""

    native_channels = None


def test_normalized_images_that_were_made_gray_have_mean_zero_and_standard_deviation_one() -> None:
    settings = USER_DIGITS | {"_target_": f"{__name__}.ColorDigits", "normalize": True, "resize": None, "channels": 1}
    data = build_data(compose_settings("data=digits") | {"data": settings})
    stored = data.stored_split("train")
    assert stored.images.shape == (1257, 1, 8, 8)
    inputs, _ = data.on_after_batch_transfer((stored.images, stored.labels), 0)
    assert inputs.mean().item() == pytest.approx(0, abs=0.01)
    assert inputs.std().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("target", "channels", "line"),
    [
        ("ColorDigits", 2, "data.channels=2: must be 1 or 3"),
        ("OwnDigits", 3, "data.channels=3: must be 1, the number of channels of the images that OwnDigits loads"),
    ],
)
def test_channels_that_a_data_set_cannot_give_are_rejected(
    monkeypatch: pytest.MonkeyPatch, target: str, channels: int, line: str
) -> None:
    monkeypatch.setattr(build, "_checked_images", set())
    settings = compose_settings("data=digits") | {
        "data": USER_DIGITS | {"_target_": f"{__name__}.{target}", "channels": channels}
    }
    with pytest.raises(ConfigError) as error:
        check_images(settings, build_data(settings))
    assert str(error.value) == line


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.channels=2", "channels=2: must be 1 or 3"),
        ("data.train_size=9", "train_size=9: must be null or at least 10, one image per class"),
        (
            "data.train_size=1258",
            "train_size=1258: must be at most 1257, the number of training images that are not held out",
        ),
        ("data.train_size=15", "batch_size=16: must be at most 15, the number of training images"),
        ("data.val_size=1437", "val_size=1437: must be below the 1437 training images"),
        ("data.val_size=9", "val_size=9: must be 0 or at least 10, one image per class"),
        (
            "data.test_every_epoch=true",
            "test_every_epoch=true: must be false if validation images are held out (val_size=180); set data.val_size=0 to hold out none",
        ),
    ],
)
def test_invalid_values_raise_value_error(override: str, message: str) -> None:
    with pytest.raises(InstantiationException, match="Error in call") as error:
        make_digits(override)
    assert isinstance(error.value.__cause__, ValueError)
    assert str(error.value.__cause__) == message


class UserDigits(Digits):
    """A data set that loads something else than its class states."""

    images = torch.zeros(1437, 1, 8, 8, dtype=torch.uint8)
    labels = torch.arange(1437) % 10

    def load(self, train: bool) -> Any:
        return (self.images, self.labels) if train else super().load(train)


USER_DIGITS = {**compose_settings("data=digits")["data"], "_target_": f"{__name__}.UserDigits"}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"images": torch.zeros(1437, 1, 8, 8)}, "images must be uint8 in 0..255, not float32 of the shape (1437, 1, 8, 8)"),
        ({"images": torch.zeros(1437, 8, 8, 1, dtype=torch.uint8)}, "images must have the shape (1437, 1, 8, 8), not (1437, 8, 8, 1)"),
        ({"images": torch.zeros(180, 1, 40, 40, dtype=torch.uint8)}, "images must have the shape (1437, 1, 8, 8), not (180, 1, 40, 40)"),
        ({"images": None}, "must return two tensors, images and labels, not a tuple of NoneType, Tensor"),
        ({"labels": torch.arange(1437) % 10 + 1}, "labels must be in 0..9, not in 1..10"),
        ({"labels": (torch.arange(1437) % 10).int()}, "labels must be int64 of the shape (1437,), not int32 of the shape (1437,)"),
        ({"labels": torch.zeros(1437, 10, dtype=torch.int64)}, "labels must be int64 of the shape (1437,), not int64 of the shape (1437, 10)"),
    ],
)  # fmt: skip
def test_images_and_labels_are_what_the_class_states(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], problem: str
) -> None:
    for name, value in changed.items():
        monkeypatch.setattr(UserDigits, name, value)
    monkeypatch.setattr(build, "_checked_images", set())
    settings = compose_settings("data=digits") | {"data": USER_DIGITS}
    data = build_data(settings)
    line = f"UserDigits.load(train=True): {problem}"
    with pytest.raises(ConfigError) as error:
        check_images(settings, data)
    assert str(error.value) == f"data: {line}"
    with pytest.raises(RunFailedError) as failure:
        data.setup("fit")
    assert str(failure.value) == f"the data could not be loaded: {line}"


def test_images_are_loaded_once_to_check_all_combinations_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(build, "_checked_images", set())
    monkeypatch.setattr(Digits, "load_checked", lambda _, train: loaded.append(train))
    for overrides in (["data.batch_size=8"], ["data.batch_size=16", "data.seed=3"]):
        settings = compose_settings("data=digits", *overrides)
        check_images(settings, build_data(settings))
    assert loaded == [True, False]


def test_images_that_may_have_to_be_downloaded_are_not_loaded_for_a_check(tmp_path: Path) -> None:
    settings = compose_settings(f"data.root={tmp_path}")
    data = build_data(settings)
    assert data.needs_preparation
    check_images(settings, data)


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        ({"class_names": "0123456789", "load": None}, "data: Incomplete must have the attributes native_size, num_train_images, num_test_images, mean, std"),
        ({**vars(Digits), "class_names": ("a", "b")}, "data: Incomplete class_names must be 10 different names, as data.classes says, not 2"),
        ({**vars(Digits), "native_channels": "3"}, "data: Incomplete native_channels must be an integer >= 1, not '3'"),
        ({**vars(Digits), "num_test_images": 0}, "data: Incomplete num_test_images must be an integer >= 1, not 0"),
        ({**vars(Digits), "std": (0.1, 0.2, 0.3)}, "data: Incomplete std must be a number, or 1 of them, one for each channel, not (0.1, 0.2, 0.3)"),
    ],
)  # fmt: skip
def test_class_that_lacks_a_fact_is_rejected(
    monkeypatch: pytest.MonkeyPatch, attributes: dict[str, Any], line: str
) -> None:
    monkeypatch.setitem(
        globals(), "Incomplete", type("Incomplete", (ImageDataModule,), attributes | {"__module__": __name__})
    )
    with pytest.raises(ConfigError) as error:
        build_data({"data": USER_DIGITS | {"_target_": f"{__name__}.Incomplete"}})
    assert str(error.value) == line


class NoSuperInit(Digits):
    """A data set that does not set what all have."""

    def __init__(self, **settings: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("collections.OrderedDict", "must be a class or function of an installed package or of your own module, not of Python itself"),
        ("torch.optim.SGD", "must be a subclass of cnn_experiments.data.datamodule.ImageDataModule, or a function that makes one"),
        (f"{__name__}.NoSuperInit", "its __init__ must call that of ImageDataModule, which sets batch_size, channels, classes, seed, size, val_size"),
    ],
)  # fmt: skip
def test_other_classes_are_rejected(target: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_data({"data": USER_DIGITS | {"_target_": target}})
    assert str(error.value) == f"data._target_={target}: {problem}"


def test_batch_is_not_larger_than_the_training_set() -> None:
    with pytest.raises(ConfigError) as error:
        build_data(compose_settings("data=digits", "data.batch_size=1258"))
    assert str(error.value) == "data.batch_size=1258: must be at most 1257, the number of training images"


def test_root_of_fashion_mnist_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in ("file", "file/below"):
        with pytest.raises(ConfigError) as error:
            build_data(compose_settings(f"data.root={tmp_path / root}"))
        assert str(error.value) == f"data.root={tmp_path / root}: must be a directory; {tmp_path / 'file'} is none"
    with pytest.raises(ConfigError, match=r"^data\.root=x+: must be a directory \(File name too long\)$"):
        build_data(compose_settings(f"data.root={'x' * 300}"))
    build_data(compose_settings(f"data.root={tmp_path / 'new' / 'below'}"))
