"""Tests of when training ends, and of which epochs are evaluated."""

import pytest

from cnn_experiments.sweep.estimate import planned_epochs
from cnn_experiments.training.build import build_data
from cnn_experiments.training.limits import Limits, count_steps_per_epoch, parse_time
from tests.conftest import compose_settings


@pytest.mark.parametrize(
    ("overrides", "steps_per_epoch", "epochs"),
    [
        ("", 79, 10),  # 1437 - 180 images in batches of 16; the remainder of 9 is a batch
        ("trainer.max_steps=79", 79, 1),
        ("trainer.max_steps=80", 79, 2),
        ("trainer.max_steps=100000", 79, 10),
        ("trainer.accumulate_grad_batches=4 trainer.max_steps=21", 20, 2),
        ("trainer.devices=2 trainer.max_steps=41", 40, 2),
        ("trainer.devices=[0,2] trainer.num_nodes=2", 20, 10),
        ("trainer.limit_train_batches=0.5 trainer.max_steps=40", 39, 2),
        ("trainer.limit_train_batches=5 trainer.max_steps=12", 5, 3),
    ],
)
def test_epochs_follow_from_steps(overrides: str, steps_per_epoch: int, epochs: int) -> None:
    settings = compose_settings("data=digits", *overrides.split())
    assert count_steps_per_epoch(settings, build_data(settings)) == steps_per_epoch
    assert planned_epochs(settings) == epochs


@pytest.mark.parametrize(("every", "evaluations"), [(1, 5), (2, 3), (5, 1), (9, 1)])
def test_last_epoch_is_always_evaluated(every: int, evaluations: int) -> None:
    limits = Limits.from_settings(compose_settings(f"trainer.check_val_every_n_epoch={every}"))
    assert limits.num_evaluations(5) == evaluations


def test_trainer_of_a_user_may_leave_limits_out() -> None:
    assert Limits.from_settings({"trainer": {"max_epochs": 3}}) == Limits(3, None, None, 0, 1)


def test_time_is_read_as_lightning_reads_it() -> None:
    assert parse_time("01:02:03:04") == 93784
    with pytest.raises(ValueError, match=r"^'1h' is not a time DD:HH:MM:SS$"):
        parse_time("1h")
