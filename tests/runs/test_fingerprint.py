"""Which runs are the same."""

from typing import Any

from cnn_experiments.runs.fingerprint import configuration, identity, stored_identity

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "ckpt_path": None,
    "data": {"root": "data", "batch_size": 256},
    "trainer": {"accelerator": "auto", "precision": "32-true"},
}


def test_identity_depends_on_what_changes_the_result() -> None:
    same = {
        "trainer": {"precision": "32-true", "accelerator": "cpu"},
        "data": {"batch_size": 256, "root": "/elsewhere"},
        "ckpt_path": "outputs/run",
        "seed": 0.0,
    }
    assert identity(SETTINGS) == identity(same)
    others = [
        {"seed": 1},
        {"data": {"root": "data", "batch_size": 64}},
        {"trainer": SETTINGS["trainer"] | {"precision": "bf16-mixed"}},
    ]
    assert len({identity(SETTINGS | other) for other in others} | {identity(SETTINGS)}) == 4


def test_runs_that_may_be_averaged_have_the_same_configuration() -> None:
    settings = SETTINGS | {"data": {"batch_size": 256, "seed": 0}, "compile": False, "memory_format": "contiguous"}
    same = settings | {
        "seed": 7,
        "data": {"batch_size": 256, "seed": 7},
        "compile": True,
        "memory_format": "channels_last",
    }
    assert configuration(settings) == configuration(same)
    assert identity(settings) != identity(same)
    other = settings | {"data": {"batch_size": 64, "seed": 0}}
    assert configuration(settings) != configuration(other)


def test_one_batch_is_not_all_of_them() -> None:
    def limited(value: float) -> dict[str, Any]:
        return SETTINGS | {"trainer": {"limit_train_batches": value, "max_epochs": value}}

    assert identity(limited(1)) != identity(limited(1.0))
    assert identity(limited(20)) == identity(limited(20.0))


def test_identity_survives_a_move_of_the_code() -> None:
    before = SETTINGS | {
        "init": {"_target_": "cnn_experiments.models.init.default"},
        "task": {"_target_": "cnn_experiments.tasks.train.train", "folder": True},
    }
    after = SETTINGS | {"init": {"_target_": "cnn_experiments.models.init.default"}, "task": "train"}
    assert identity(before) == identity(after)
    own = SETTINGS | {"init": {"_target_": "mine.init.default"}}
    assert identity(own) != identity(after)


def test_number_of_devices_is_part_of_the_identity() -> None:
    def on(devices: Any) -> str:
        return identity(SETTINGS | {"trainer": {"devices": devices}})

    assert on(1) != on(8)
    assert on([0, 2]) == on(2)


def test_run_of_version_0_1_keeps_its_identity() -> None:
    flat = {"seed": 0, "init._target_": "cnn_experiments.models.init.default", "trainer.devices": "auto"}
    now = {"seed": 0, "init": {"_target_": "cnn_experiments.models.init.default"}, "trainer": {"devices": 1}}
    results = {
        "identity": "0123456789abcdef",
        "settings": flat | {"task._target_": "cnn_experiments.tasks.train.train"},
    }
    assert stored_identity(results) == identity(now)
    assert stored_identity(results | {"processes": 2}) == identity(now | {"trainer": {"devices": 2}})
    assert stored_identity({"identity": "0123456789abcdef"}) == "0123456789abcdef"
    assert stored_identity({}) is None
