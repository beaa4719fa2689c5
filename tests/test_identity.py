"""Which runs are the same."""

from typing import Any

from cnn_experiments.identity import configuration, identity

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
