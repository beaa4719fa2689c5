"""Tests of the parameters of Lightning's Trainer that are settings, and of those that are none."""

import inspect
from typing import Any

import lightning.pytorch as pl
import pytest

from cnn_experiments.config.trainer import (
    TRAINER_SETTINGS,
    UNSUPPORTED_TRAINER_PARAMETERS,
    check_trainer_keys,
)
from cnn_experiments.errors import ConfigError
from tests.conftest import compose_settings

MINIMAL = {"_target_": "lightning.pytorch.Trainer", "max_epochs": 1}


def test_every_parameter_of_lightning_is_decided_once() -> None:
    parameters = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    assert {*TRAINER_SETTINGS, *UNSUPPORTED_TRAINER_PARAMETERS} == parameters
    assert not set(TRAINER_SETTINGS) & set(UNSUPPORTED_TRAINER_PARAMETERS)


def test_default_trainer_has_supported_keys_alone() -> None:
    trainer = compose_settings()["trainer"]
    assert set(trainer) - {"_target_"} == set(TRAINER_SETTINGS) - {"gradient_clip_algorithm"}
    check_trainer_keys(trainer)


@pytest.mark.parametrize("key", UNSUPPORTED_TRAINER_PARAMETERS)
def test_unsupported_parameter_is_rejected_with_the_reason(key: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_trainer_keys(MINIMAL | {key: None})
    reason = UNSUPPORTED_TRAINER_PARAMETERS[key]
    assert str(error.value) == f"trainer.{key}: not supported: {reason}; remove it from the trainer's file"


@pytest.mark.parametrize(
    ("trainer", "line"),
    [
        (MINIMAL | {"max_epoch": 3}, r"^trainer\.max_epoch: unknown key; keys of trainer: accelerator, .*; did you mean max_epochs\?$"),
        ({"_target_": "lightning.pytorch.Trainer"}, r"^trainer: must have all settings of trainer=default; missing: accelerator, .*; begin the trainer's file with `defaults: \[default\]`$"),
        ({"_target_": "mine.Trainer", "max_epochs": 3}, r"^trainer: must have all settings of trainer=default; missing: accelerator, strategy, devices, num_nodes, precision, min_epochs"),
    ],
)  # fmt: skip
def test_unknown_or_missing_key_is_rejected(trainer: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        check_trainer_keys(trainer)


def test_trainer_of_a_user_may_have_parameters_of_its_own() -> None:
    settings = dict.fromkeys(TRAINER_SETTINGS)
    check_trainer_keys(settings | {"_target_": "mine.Trainer", "patience": 3})
