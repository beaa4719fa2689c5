"""Tests of composing a configuration and of validating it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.fingerprint import flatten

pytestmark = pytest.mark.usefixtures("set_argv")


def sweep_config(*overrides: str) -> DictConfig:
    return config_loader().load_configuration("config", ["hydra.mode=MULTIRUN", *overrides], run_mode=RunMode.MULTIRUN)


def error_of(function: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as error:
        function()
    return str(error.value)


def write_recipe(config_dir: Path, name: str, text: str) -> None:
    (config_dir / "experiment").mkdir(exist_ok=True)
    (config_dir / "experiment" / f"{name}.yaml").write_text(text)


def test_settings_are_resolved_plain_values() -> None:
    config = ComposedConfig.from_overrides("model=densenet", "data=digits", "seed=3")
    assert type(config.settings) is dict
    assert type(config.settings["model"]["depths"]) is list
    assert config.settings["model"]["in_channels"] == 1
    assert config.settings["data"]["seed"] == 3
    assert "hydra" not in config.settings
    assert "\nseed: 3\n" in f"\n{config.to_yaml()}"


def test_overrides_are_kept_as_typed_without_those_of_the_sweep() -> None:
    overrides = ["model=nin", "optimizer.lr=${seed}", "on_error=stop", "++seed=3"]
    config = ComposedConfig.from_overrides(*overrides)
    assert config.overrides == ["model=nin", "optimizer.lr=${seed}", "++seed=3"]
    assert config.overrides_by_key == {"model": "nin", "optimizer.lr": "${seed}", "on_error": "stop", "seed": "3"}
    assert config.settings["optimizer"]["lr"] == 3


def test_choices_are_the_options_of_this_programs_groups() -> None:
    assert ComposedConfig.from_overrides("model=nin", "experiment=best_sgd").choices == {
        "model": "nin",
        "init": "default",
        "data": "fashion_mnist",
        "augment": "crop,flip,erase",
        "loss": "cross_entropy",
        "optimizer": "sgd",
        "scheduler": "onecycle",
        "metrics": "none",
        "callbacks": "none",
        "logger": "tensorboard",
        "trainer": "default",
        "experiment": "best_sgd",
    }


def test_run_id_depends_on_settings_alone() -> None:
    run_id = ComposedConfig.from_overrides("optimizer.lr=0.01").run_id
    assert run_id == ComposedConfig.from_overrides("optimizer.lr=1e-2", "on_error=stop").run_id
    assert run_id != ComposedConfig.from_overrides().run_id


def test_run_id_depends_on_the_part_of_the_images_and_their_channels() -> None:
    run_ids = [
        ComposedConfig.from_overrides("data=cifar10", *overrides).run_id
        for overrides in ([], ["data.channels=1"], ["data.train_size=100"], ["data.train_size=200"])
    ]
    assert len(set(run_ids)) == 4
    assert ComposedConfig.from_overrides("data=cifar10", "data.channels=3", "data.train_size=null").run_id == run_ids[0]


def test_classes_follow_from_a_split_in_every_run_of_a_sweep() -> None:
    splits = {"letters": 26, "digits": 10, "balanced": 47}
    for split, classes in splits.items():
        settings = ComposedConfig.from_overrides("data=emnist", f"data.split={split}").settings
        assert settings["data"]["classes"] == settings["model"]["num_classes"] == classes


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        ((), "optimizer.lr", 0.001),
        (("experiment=best_sgd", "model=densenet"), "model.depths", [4, 4, 4, 4]),
        (("experiment=book/sgd/lenet", "optimizer.lr=0.5"), "optimizer.lr", 0.5),
        (("model=resnet18", "model.depths=[1,1]", "data.resize=null"), "model.depths", [1, 1]),
        (("data=emnist", "data.split=letters", "data.classes=26"), "model.num_classes", 26),
    ],
)
def test_valid_configuration_is_accepted(overrides: tuple[str, ...], key: str, value: object) -> None:
    config = ComposedConfig.from_overrides(*overrides)
    config.validate()
    assert flatten(config.settings)[key] == value


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["restart=null"], "restart=null: must be true or false"),
        (["input=x"], "input=x: only valid with task=predict or task=explain"),
        (["task=predict", "format=onnx"], "format=onnx: only valid with task=export"),
        (["model=[lenet,nin]"], "model=[lenet,nin]: must be one option"),
        (["~model"], "~model: groups can't be deleted"),
        (["data.classes=3"], "data.classes=3: must be 10, which is fixed by the data set"),
        (["data=emnist", "data.split=letters", "data.classes=47"], "data.classes=47: must be 26, which is fixed by the data set"),
        (["data=emnist", "data.split=leters"], "data.split=leters: must be one of balanced, byclass, bymerge, digits, letters, mnist; did you mean letters?"),
        (["data.channels=0"], "data.channels=0: must be an integer >= 1"),
        (["data.channels=1.0"], "data.channels=1.0: must be an integer >= 1"),
        (["data.train_size=0"], "data.train_size=0: must be an integer >= 1 or null"),
        (["model.norm=${nothing}"], "model.norm=${nothing}: Interpolation key 'nothing' not found"),
        (["+model.foo.bar=1"], "model.foo.bar=1: unknown key; keys of model: activation, channels, hidden_units, in_channels, kernel_size, norm, norm_layers, norm_position, num_classes, padding, pool"),
        (["optimizer.lr=${data.root}"], "optimizer.lr=data: must be a number > 0"),
    ],
)  # fmt: skip
def test_invalid_configuration_is_rejected(overrides: list[str], line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNN_EXPERIMENTS_DATA", raising=False)
    assert error_of(lambda: ComposedConfig.from_overrides(*overrides).validate()) == line


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["experiment=book/sgd/lenet", "model=alexnet"],
            "model=alexnet: can't be combined with experiment=book/sgd/lenet, "
            "which sets model.padding=2 model.pool=avg for its own model",
        ),
        (
            ["experiment=book/sgd/lenet", "optimizer=adam"],
            "optimizer=adam: can't be combined with experiment=book/sgd/lenet, "
            "which sets optimizer.lr=0.9 for its own optimizer",
        ),
    ],
)
def test_option_that_a_recipe_does_not_fit_is_rejected(overrides: list[str], line: str) -> None:
    assert error_of(ComposedConfig.from_overrides(*overrides).validate) == line


def test_option_is_accepted_if_all_that_the_recipe_sets_for_it_is_typed() -> None:
    config = ComposedConfig.from_overrides("experiment=book/sgd/lenet", "optimizer=adam", "optimizer.lr=0.1")
    config.validate()
    assert config.choices["optimizer"] == "adam"


def test_recipe_without_its_first_line_is_rejected(config_dir: Path) -> None:
    write_recipe(config_dir, "fast", "optimizer:\n  lr: 0.5\n")
    line = error_of(ComposedConfig.from_overrides("experiment=fast").validate)
    assert line == "experiment=fast: must begin with the line # @package _global_"


def test_error_names_the_recipe_that_set_the_value(config_dir: Path) -> None:
    write_recipe(config_dir, "fast", "# @package _global_\noptimizer:\n  lr: fast\n")
    line = error_of(ComposedConfig.from_overrides("experiment=fast").validate)
    assert line == "optimizer.lr=fast: must be a number > 0 (set by experiment=fast)"
    line = error_of(ComposedConfig.from_overrides("experiment=fast", "optimizer.lr=slow").validate)
    assert line == "optimizer.lr=slow: must be a number > 0"


def test_error_in_a_sweep_names_the_combination(config_dir: Path) -> None:
    write_recipe(config_dir, "fast", "# @package _global_\noptimizer:\n  lr: fast\n")
    sweep = sweep_config("experiment=fast")
    line = error_of(lambda: ComposedConfig.compose(sweep, ["experiment=fast", "seed=1"]))
    assert line == "optimizer.lr=fast: must be a number > 0 (set by experiment=fast) (in experiment=fast seed=1)"
    # A setting of the whole sweep belongs to no combination.
    line = error_of(lambda: ComposedConfig.compose(sweep, ["on_error=pause", "seed=1"]))
    assert line == "on_error=pause: must be one of continue, stop"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["model=resnet18", "model.norm=batch"],
            "model.norm=batch: unknown key; keys of model: bottleneck, depths, in_channels, num_classes, stem, version "
            "(in model=resnet18 model.norm=batch)",
        ),
        (
            ["init=null", "seed=1"],
            "init=null: unknown option; allowed: checkpoint, default, kaiming, xavier (in init=null seed=1)",
        ),
        (
            ["init=xavir", "seed=1"],
            "init=xavir: unknown option; allowed: checkpoint, default, kaiming, xavier; did you mean xavier? (in init=xavir seed=1)",
        ),
        (
            ["seed=1", "model.norm=${nothing}"],
            "model.norm=${nothing}: Interpolation key 'nothing' not found (in seed=1 model.norm=${nothing})",
        ),
    ],
)
def test_combination_that_cannot_be_composed_is_rejected(overrides: list[str], line: str) -> None:
    assert error_of(lambda: ComposedConfig.compose(sweep_config(), overrides)) == line


def test_typed_option_counts_more_than_the_recipe_in_a_sweep() -> None:
    config = ComposedConfig.compose(sweep_config(), ["experiment=best/lenet", "trainer=smoke", "seed=1"])
    assert (config.settings["trainer"]["max_epochs"], config.settings["trainer"]["limit_train_batches"]) == (1, 2)
    assert config.overrides == ["experiment=best/lenet", "trainer=smoke", "seed=1", "trainer.max_epochs=1"]
    alone = ComposedConfig.from_overrides("experiment=best/lenet", "trainer=smoke", "seed=1")
    assert config.run_id == alone.run_id


def test_recipe_keeps_what_a_typed_option_leaves_at_the_default() -> None:
    config = ComposedConfig.from_overrides("experiment=best/lenet", "trainer=ddp")
    assert (config.settings["trainer"]["max_epochs"], config.settings["trainer"]["devices"]) == (20, 2)


def test_recipe_of_one_process_is_trained_in_two_if_they_are_typed(config_dir: Path) -> None:
    write_recipe(config_dir, "fast", "# @package _global_\ntrainer:\n  devices: 4\n  max_epochs: 7\n")
    trainer = ComposedConfig.from_overrides("experiment=fast", "trainer=ddp").settings["trainer"]
    assert (trainer["strategy"], trainer["devices"], trainer["max_epochs"]) == ("ddp", 2, 7)


def test_changed_settings_are_those_that_another_command_than_the_default_has() -> None:
    assert ComposedConfig.from_overrides("seed=0", "optimizer=adam", "trainer.max_steps=-1").changed_settings == {}
    unaffected = ComposedConfig.from_overrides("data.root=elsewhere", "restart=true", "task=inspect")
    assert unaffected.changed_settings == {}
    assert ComposedConfig.from_overrides("experiment=best/lenet", "seed=3", "model.pool=max").changed_settings == {
        "experiment": "best/lenet",
        "scheduler": "onecycle",
        "model.padding": 2,
        "data.normalize": True,
        "data.seed": 3,
        "optimizer.lr": 0.01,
        "scheduler._target_": "cnn_experiments.training.schedules.onecycle",
        "scheduler.warmup": 0.3,
        "trainer.max_epochs": 20,
        "seed": 3,
    }


def test_changed_settings_of_a_users_recipe_have_what_it_sets(config_dir: Path) -> None:
    write_recipe(config_dir, "long", "# @package _global_\ntrainer:\n  max_epochs: 7\n  max_steps: 100\n")
    changed = ComposedConfig.from_overrides("experiment=long").changed_settings
    assert changed == {"experiment": "long", "trainer.max_epochs": 7, "trainer.max_steps": 100}


def test_another_data_set_is_trained_as_the_recipe_says() -> None:
    data = ComposedConfig.from_overrides("experiment=book/sgd/lenet", "data=digits").settings["data"]
    assert (data["_target_"], data["resize"]) == ("cnn_experiments.data.Digits", 28)
    assert (data["val_size"], data["test_every_epoch"], data["batch_size"]) == (0, True, 16)


def test_recipe_saved_with_a_byte_order_mark_is_rejected(config_dir: Path) -> None:
    write_recipe(config_dir, "fast", "\ufeff# @package _global_\nseed: 3\n")
    line = error_of(ComposedConfig.from_overrides("experiment=fast").validate)
    assert line == (
        "experiment=fast: must begin with the line # @package _global_; "
        "the file begins with a byte order mark: save it as UTF-8 without one"
    )


def test_combination_after_a_rejected_one_is_composed() -> None:
    sweep = sweep_config()
    error_of(lambda: ComposedConfig.compose(sweep, ["model=resnet18", "model.norm=batch"]))
    config = ComposedConfig.compose(sweep, ["model=lenet", "model.norm=batch"])
    assert config.settings["model"]["norm"] == "batch"
    assert config.overrides == ["model=lenet", "model.norm=batch"]
