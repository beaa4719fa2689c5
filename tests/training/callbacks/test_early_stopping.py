"""Tests of what early stopping counts and what it says."""

from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.training.callbacks import EarlyStopping
from cnn_experiments.training.callbacks.early_stopping import describe_reason


def new_callback(monitor: str = "val/acc", mode: Literal["min", "max"] = "max", **arguments: Any) -> EarlyStopping:
    settings = {"patience": 2, "min_delta": 0.0, "stopping_threshold": None, "divergence_threshold": None} | arguments
    return EarlyStopping(monitor=monitor, mode=mode, **settings)


def run_epochs(callback: EarlyStopping, values: list[float | None]) -> int:
    """Return after how many epochs the training ends; None is an epoch that is not evaluated."""
    module: Any = None
    trainer: Any = SimpleNamespace(
        callback_metrics={},
        should_stop=False,
        fast_dev_run=False,
        sanity_checking=False,
        current_epoch=0,
        state=SimpleNamespace(fn=TrainerFn.FITTING),
        strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision),  # noqa: A006, ARG005
    )
    for epoch, value in enumerate(values, start=1):
        if value is not None:
            trainer.callback_metrics[callback.monitor] = torch.tensor(value)
            if not callback.monitor.startswith("train/"):
                callback.on_validation_end(trainer, module)
        callback.on_train_epoch_end(trainer, module)
        if trainer.should_stop:
            return epoch
    return len(values)


@pytest.mark.parametrize(
    ("callback", "values", "num_epochs", "reason"),
    [
        (new_callback(), [0.1, 0.2, 0.3], 3, None),
        (new_callback(), [0.1, 0.2, 0.2, 0.1, 0.9], 4, "val/acc did not improve in 2 evaluations, best 0.2"),
        (new_callback(), [0.1, None, None, None, 0.2], 5, None),
        (new_callback(), [None, 0.5, None, 0.4, None, 0.3, 0.9], 6, "val/acc did not improve in 2 evaluations, best 0.5"),
        (new_callback("train/loss", "min", patience=1), [3.0, 2.0, 2.5, 1.0], 3, "train/loss did not improve in 1 epoch, best 2"),
        (new_callback("train/loss", "min", patience=1, min_delta=0.6), [3.0, 2.0, 1.5], 3, "train/loss did not improve in 1 epoch, best 2"),
        (new_callback(stopping_threshold=0.6), [0.5, 0.7, 0.8], 2, "val/acc is better than stopping_threshold=0.6"),
        (new_callback("val/loss", "min", divergence_threshold=5), [2.0, 6.0, 1.0], 2, "val/loss is worse than divergence_threshold=5"),
        (new_callback(), [0.5, float("nan"), 0.6], 2, "val/acc is NaN or infinite"),
    ],
)  # fmt: skip
def test_training_ends_for_a_reason(
    callback: EarlyStopping, values: list[float | None], num_epochs: int, reason: str | None
) -> None:
    assert run_epochs(callback, values) == num_epochs
    assert describe_reason(callback) == reason


def test_counts_are_restored() -> None:
    callback, resumed = new_callback(), new_callback()
    run_epochs(callback, [0.5, 0.4])
    resumed.load_state_dict(callback.state_dict())
    assert run_epochs(resumed, [0.4, 0.9]) == 1


@pytest.mark.parametrize(("name", "value"), [("patience", 0), ("min_delta", -0.1)])
def test_argument_that_makes_no_sense_is_rejected(name: str, value: float) -> None:
    with pytest.raises(ArgumentError) as error:
        new_callback(**{name: value})
    assert error.value.name == name
