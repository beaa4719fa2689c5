"""Tests of hashes of settings."""

import json
from typing import Any

import pytest

from cnn_experiments.runs.fingerprint import (
    ADDED_DEFAULTS,
    ADDED_DEFAULTS_OF_CLASSES,
    added_defaults,
    config_hash,
    differing_keys,
    effective_settings,
    flatten,
    has_moved_settings,
    run_id,
    upgrade_nested_settings,
    upgrade_settings,
)
from tests.conftest import ROOT, compose_settings

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "ckpt_path": None,
    "data": {"root": "data", "batch_size": 256},
    "trainer": {"accelerator": "auto", "precision": "32-true"},
}


def test_run_id_depends_on_settings_that_change_the_result() -> None:
    same = {
        "trainer": {"precision": "32-true", "accelerator": "cpu"},
        "data": {"batch_size": 256, "root": "/elsewhere"},
        "ckpt_path": "outputs/run",
        "seed": 0.0,
    }
    assert run_id(SETTINGS) == run_id(same)
    others = [
        {"seed": 1},
        {"data": {"root": "data", "batch_size": 64}},
        {"trainer": SETTINGS["trainer"] | {"precision": "bf16-mixed"}},
    ]
    assert len({run_id(SETTINGS | other) for other in others} | {run_id(SETTINGS)}) == 4


def test_keys_that_differ_are_those_with_another_meaning_the_top_level_first() -> None:
    settings = {"a.b": 1, "seed": 0, "trainer.limit_train_batches": 1.0, "only": 3}
    others = {"a.b": 2, "seed": 1, "trainer.limit_train_batches": 1, "x.y": 0}
    assert differing_keys(settings, others) == ["only", "seed", "a.b", "trainer.limit_train_batches", "x.y"]
    assert differing_keys(settings, settings | {"a.b": 1.0, "seed": 7}) == ["seed"]


def test_config_hash_is_equal_for_runs_that_may_be_averaged() -> None:
    settings = SETTINGS | {"data": {"batch_size": 256, "seed": 0}, "compile": False, "memory_format": "contiguous"}
    same = settings | {
        "seed": 7,
        "data": {"batch_size": 256, "seed": 7},
        "compile": True,
        "memory_format": "channels_last",
    }
    assert config_hash(settings) == config_hash(same)
    assert run_id(settings) != run_id(same)
    other = settings | {"data": {"batch_size": 64, "seed": 0}}
    assert config_hash(settings) != config_hash(other)


def test_fastest_memory_format_has_the_hash_of_the_earlier_default() -> None:
    earlier = SETTINGS | {"memory_format": "contiguous"}
    assert run_id(SETTINGS | {"memory_format": "auto"}) == run_id(earlier)
    assert differing_keys({"memory_format": "auto"}, {"memory_format": "contiguous"}) == []
    assert run_id(SETTINGS | {"memory_format": "channels_last"}) != run_id(earlier)


def test_limit_of_one_batch_is_not_a_limit_of_all_batches() -> None:
    def with_limit(value: float) -> dict[str, Any]:
        return SETTINGS | {"trainer": {"limit_train_batches": value, "max_epochs": value}}

    assert run_id(with_limit(1)) != run_id(with_limit(1.0))
    assert run_id(with_limit(20)) == run_id(with_limit(20.0))


def test_run_id_is_unchanged_when_code_of_the_package_moves() -> None:
    old_target = "cnn_experiments.a_module_of_old.default"
    before = SETTINGS | {"init": {"_target_": old_target}}
    after = SETTINGS | {"init": {"_target_": "cnn_experiments.models.init.default"}, "task": "train"}
    assert run_id(before) == run_id(after)
    user_settings = SETTINGS | {"init": {"_target_": "mine.init.default"}}
    assert run_id(user_settings) != run_id(after)


def test_number_of_devices_changes_the_run_id() -> None:
    def with_devices(devices: Any) -> str:
        return run_id(SETTINGS | {"trainer": {"devices": devices}})

    assert with_devices(1) != with_devices(8)
    assert with_devices([0, 2]) == with_devices(2)


@pytest.mark.parametrize(("processes", "devices"), [(None, 1), (1, 1), (2, 2)])
def test_settings_of_version_0_1_are_upgraded(processes: int | None, devices: int) -> None:
    stored = {
        "seed": 0,
        "init._target_": "cnn_experiments." + "initialization.default",
        "trainer.devices": "auto",
        "task._target_": "cnn_experiments.tasks.train.train",
        "task.folder": True,
        "on_impossible": "refuse",
    }
    current = {
        "seed": 0,
        "init": {"_target_": "cnn_experiments.models.init.default"},
        "trainer": {"devices": devices},
        "task": "train",
    }
    assert run_id(upgrade_settings(stored, processes)) == run_id(current)


def test_flatten_gives_dotted_keys() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}


@pytest.mark.parametrize(("key", "default"), ADDED_DEFAULTS.items())
def test_added_setting_changes_no_hash_at_its_default(key: str, default: Any) -> None:
    settings = flatten(SETTINGS)

    assert run_id(settings | {key: default}) == run_id(settings)
    assert config_hash(settings | {key: default}) == config_hash(settings)
    assert run_id(settings | {key: 7}) != run_id(settings)


@pytest.mark.parametrize(
    ("name", "setting", "default"),
    [(name, *item) for name, defaults in ADDED_DEFAULTS_OF_CLASSES.items() for item in defaults.items()],
)
def test_added_setting_of_a_class_changes_no_hash_at_its_default(name: str, setting: str, default: Any) -> None:
    settings = SETTINGS | {"model": {"_target_": f"cnn_experiments.models.{name}"}}
    others = SETTINGS | {"model": {"_target_": f"mine.{name}"}}

    def with_setting(settings: dict[str, Any], value: Any) -> dict[str, Any]:
        return settings | {"model": settings["model"] | {setting: value}}

    assert run_id(with_setting(settings, default)) == run_id(settings)
    assert run_id(with_setting(settings, 7)) != run_id(settings)
    assert run_id(with_setting(others, default)) != run_id(others)
    assert added_defaults(flatten(settings))[f"model.{setting}"] == default


def test_hashes_of_the_published_runs_stay() -> None:
    files = sorted((ROOT / "docs" / "runs").rglob("results.json"))
    assert len(files) >= 40
    for file in files:
        results = json.loads(file.read_text())
        recipe = results["options"]["experiment"]
        overrides = [override for override in results["overrides"] if not override.startswith("hydra")]
        settings = compose_settings(*overrides)
        assert (run_id(settings), config_hash(settings)) == (results["identity"], results["configuration"]), recipe


def test_ready_loggers_change_no_hash_and_own_ones_do() -> None:
    ready = {"csv": {"_target_": "lightning.pytorch.loggers.CSVLogger", "name": "a"}}
    own = {"lines": {"_target_": "own.Lines", "digits": 2}}
    assert run_id(SETTINGS | {"logger": ready}) == run_id(SETTINGS)
    assert run_id(SETTINGS | {"logger": own}) != run_id(SETTINGS)
    assert run_id(SETTINGS | {"logger": ready | own}) == run_id(SETTINGS | {"logger": own})


def test_order_of_augmentations_counts() -> None:
    crop, flip = {"crop": {"_target_": "own.crop"}}, {"flip": {"_target_": "own.flip"}}
    assert run_id(SETTINGS | {"augment": crop | flip}) != run_id(SETTINGS | {"augment": flip | crop})
    stored = json.loads(json.dumps(effective_settings(SETTINGS | {"augment": flip | crop})))
    assert stored["augment"] == "flip,crop"
    assert run_id(stored) == run_id(SETTINGS | {"augment": flip | crop})


@pytest.mark.parametrize("augmentation", ["none", "flip", "crop_flip", "crop_flip_erase"])
def test_settings_of_version_0_2_have_the_hash_of_those_in_groups(augmentation: str) -> None:
    stored = SETTINGS | {"data": SETTINGS["data"] | {"augment": augmentation}, "label_smoothing": 0.1}
    upgraded = upgrade_nested_settings(stored)
    assert "augment" not in upgraded["data"]
    assert list(upgraded["augment"]) == [part for part in augmentation.split("_") if part != "none"]
    assert upgraded["loss"]["label_smoothing"] == 0.1
    assert run_id(stored) == run_id(upgraded) == run_id(upgrade_settings(stored))
    assert config_hash(stored) == config_hash(upgraded)


def test_setting_of_an_own_data_set_is_not_the_augmentation_of_version_0_2() -> None:
    settings = compose_settings("augment=[flip]")
    settings["data"]["augment"] = "crop_flip"
    assert upgrade_nested_settings(settings) == settings
    assert not has_moved_settings(flatten(settings))
    assert run_id(settings) != run_id(settings | {"augment": {}})


def test_moved_options_have_the_settings_of_version_0_2() -> None:
    settings = compose_settings("augment=[crop,flip,erase]")
    old = {key: value for key, value in settings.items() if key not in ("augment", "loss")}
    old |= {"label_smoothing": 0.0, "data": settings["data"] | {"augment": "crop_flip_erase"}}
    upgraded = upgrade_nested_settings(old)
    assert (upgraded["augment"], upgraded["loss"]) == (settings["augment"], settings["loss"])
