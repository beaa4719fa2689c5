"""Tests that augmentation is tried before training, and that what cannot work is rejected in one line."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnn_experiments.config.sources import CONF, find_options
from cnn_experiments.data.augmentation import BatchMix
from cnn_experiments.errors import ConfigError
from cnn_experiments.training.augmentation_check import check_augmentation
from cnn_experiments.training.build import build_data
from cnn_experiments.training.preflight import check_training
from tests.conftest import compose_settings

IMAGES = "uint8 of the shape (8, 1, 8, 8)"
"""What a transform of the digits gets."""


def own(part: Callable[..., object], *settings: str) -> tuple[str, ...]:
    """Return the overrides that add an augmentation of one's own; a function is called later."""
    partial = () if isinstance(part, type) else ("++augment.own._partial_=true",)
    settings = tuple(f"++augment.own.{setting}" for setting in settings)
    return (f"++augment.own._target_={__name__}.{part.__name__}", *partial, *settings)


def invert(images: Tensor) -> Tensor:
    return 255 - images


def darken_in_place(images: Tensor, factor: int) -> Tensor:
    return images.div_(factor, rounding_mode="floor")


def invert_some(images: Tensor) -> Tensor:
    """Draw from all generators that checkpoints hold."""
    if random.random() < 0.5 and np.random.random() < 0.5:  # noqa: NPY002, S311
        return images
    is_inverted = torch.rand(len(images), 1, 1, 1) < 0.5
    return torch.where(is_inverted, 255 - images, images)


def make_invert() -> Callable[[Tensor], Tensor]:
    return invert


def crop_to_half(images: Tensor) -> Tensor:
    return images[..., :4]


def to_float(images: Tensor) -> Tensor:
    return images / 255


def to_list(images: Tensor) -> list[Tensor]:
    return list(images)


def fail(images: Tensor) -> Tensor:
    raise RuntimeError("out of\ncoffee")


def fail_for_other_batches_than_8(images: Tensor) -> Tensor:
    return images.reshape(8, 1, 8, 8)


def draw_elsewhere(images: Tensor) -> Tensor:
    return torch.from_numpy(np.random.default_rng().integers(256, size=images.shape, dtype=np.uint8))


def end_the_program(images: Tensor) -> Tensor:
    raise SystemExit(3)


class NotCallable:
    """Lacks `__call__`."""


class Keep(BatchMix):
    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, targets


class WithoutTargets(BatchMix):
    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return inputs  # type: ignore[return-value]


class WithLabels(BatchMix):
    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, targets.argmax(dim=1)


class WithWrongShares(BatchMix):
    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, targets * 2


class MarginLoss(nn.Module):
    """Takes the numbers of classes alone."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.multi_margin_loss(logits, targets)


@pytest.mark.parametrize("option", find_options("augment", [CONF]))
def test_every_option_is_accepted(option: str) -> None:
    check_training(compose_settings("data=digits", "trainer=cpu", f"augment={option}", "loss=focal"))


@pytest.mark.parametrize(
    "overrides",
    [own(invert), own(darken_in_place, "factor=2"), own(invert_some), (own(make_invert)[0],), own(Keep), ("++augment.own._target_=torch.nn.Identity",)],
)  # fmt: skip
def test_own_part_is_accepted_and_leaves_the_generators_as_they_are(overrides: tuple[str, ...]) -> None:
    settings = compose_settings("data=digits", *overrides)
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002
    check_augmentation(settings, build_data(settings))
    assert (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()) == states  # noqa: NPY002


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ((own(invert)[0],), "augment.own._partial_=null: must be true for a function, which is called with the images of each batch"),
        ((own(darken_in_place)[0], "++augment.own.factor=2"), "augment.own._partial_=null: must be true for a function, which is called with the images of each batch"),
        (own(darken_in_place), "augment.own: TypeError: darken_in_place() missing 1 required positional argument: 'factor'"),
        (own(NotCallable), f"augment.own._target_={__name__}.NotCallable: must make something that is called with the images of a batch, not NotCallable"),
        (("augment=crop", "augment.crop.paddding=2"), "augment.crop.paddding=2: unknown key; keys of augment.crop: padding; did you mean augment.crop.padding?"),
        (("augment=[crop,flop]",), "augment=flop: unknown option; allowed: affine, crop, cutmix, erase, flip, mixup, none, rand_augment, rotation, trivial_augment; did you mean flip?"),
        (own(crop_to_half), f"augment.own: must return images as {IMAGES}, as it gets them, not as uint8 of the shape (8, 1, 8, 4)"),
        (own(to_float), f"augment.own: must return images as {IMAGES}, as it gets them, not as float32 of the shape (8, 1, 8, 8)"),
        (own(to_list), "augment.own: must return images as a tensor, not list"),
        (own(fail), "augment.own: RuntimeError: out of coffee (test_augmentation_check.py:{fail})"),
        (own(fail_for_other_batches_than_8), "augment.own: RuntimeError: shape '[8, 1, 8, 8]' is invalid for input of size 128 (test_augmentation_check.py:{fail_for_other_batches_than_8})"),
        (own(end_the_program), "augment.own: SystemExit: 3 (test_augmentation_check.py:{end_the_program})"),
        (own(draw_elsewhere), "augment.own: must give the same images again if the generators of torch, NumPy (numpy.random) and Python (random) have the same states, from which a resumed run goes on"),
        (own(WithoutTargets), "augment.own: must return two tensors, inputs and targets"),
        (own(WithLabels), "augment.own: must return targets as float32 of the shape (8, 10), as it gets them, not as int64 of the shape (8,)"),
        (own(WithWrongShares), "augment.own: must return shares of the classes that sum to 1 for each image"),
    ],
)  # fmt: skip
def test_augmentation_that_cannot_work_is_rejected_in_one_line(overrides: tuple[str, ...], line: str) -> None:
    functions = (fail, fail_for_other_batches_than_8, end_the_program)
    lines = {function.__name__: function.__code__.co_firstlineno + 1 for function in functions}
    with pytest.raises(ConfigError) as error:
        check_training(compose_settings("data=digits", "trainer=cpu", *overrides))
    message = str(error.value)
    assert "\n" not in message
    assert message == line.format(**lines)


def test_loss_must_accept_the_shares_of_classes_if_images_are_mixed() -> None:
    loss = {"_target_": f"{__name__}.MarginLoss"}
    check_training(compose_settings("data=digits", "trainer=cpu", "augment=[crop,flip]") | {"loss": loss})
    with pytest.raises(ConfigError) as error:
        check_training(compose_settings("data=digits", "trainer=cpu", "augment=[crop,cutmix]") | {"loss": loss})
    assert str(error.value).startswith(
        f"loss._target_={__name__}.MarginLoss: must accept the shares of classes that augment.cutmix makes, float32 of "
        "the shape (N, 10), as targets: RuntimeError: "
    )
    assert "\n" not in str(error.value)
