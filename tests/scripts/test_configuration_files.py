"""Tests that every setting and option has a meaning in its YAML file, and how the files are read."""

from pathlib import Path

from configuration_files import RECIPES, Option, Setting, read_main_settings, read_options

from cnn_experiments.config.sources import CONF


def test_every_option_and_every_setting_says_what_it_means() -> None:
    options = [option for option in read_options(CONF) if option.group != RECIPES]
    settings = [setting for option in options for setting in option.settings] + read_main_settings(CONF)
    assert [f"{option.group}={option.name}" for option in options if not option.meaning] == []
    assert [setting.key for setting in settings if not setting.meaning] == []


def test_options_have_the_settings_and_meanings_of_the_option_that_they_change(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "small.yaml").write_text(
        "# A small network.\n# It has one layer.\n_target_: mine.Small\nwidth: 4  # units\nkind: 'a # b'  # of layer\nbias: true\n"
    )
    (tmp_path / "model" / "wide.yaml").write_text("# A wide one.\ndefaults: [small]\nwidth: 64\n")
    small, wide = read_options(tmp_path)
    kind, bias = Setting("model.kind", "a # b", "of layer"), Setting("model.bias", True, "")
    width = Setting("model.width", 4, "units")
    assert small == Option(
        "model", "small", "A small network. It has one layer.", (), (), "mine.Small",
        settings=(width, kind, bias), changes=(width, kind, bias),
    )  # fmt: skip
    assert wide == Option(
        "model", "wide", "A wide one.", ("small",), (), "mine.Small",
        settings=(Setting("model.width", 64, "units"), kind, bias), changes=(Setting("model.width", 64, ""),),
    )  # fmt: skip


def test_parts_of_lists_recipes_tasks_and_launchers_have_complete_keys(tmp_path: Path) -> None:
    files = {
        "callbacks/stop": "stop:\n  _target_: mine.Stop\n  patience: 3  # epochs\n",
        "experiment/mine": "# @package _global_\n# python -m cnn_experiments experiment=mine\n# Good.\ndefaults:\n"
        "  - /experiment/book/sgd@_here_\n  - override /model: lenet\n  - override /augment: [crop, flip]\ndata:\n  resize: 96\n",
        "hydra/launcher/own": "_target_: mine.Launcher\njobs: 1  # at once\noptions: {}  # further ones\n",
        "task/draw": "# @package _global_\ninput: ???  # a file\ntask:\n  most: 2  # pictures\n",
        "task/rest": "# @package _global_\ntask: {}\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    options = {f"{option.group}={option.name}": option for option in read_options(tmp_path)}
    assert options["callbacks=stop"].settings == (Setting("callbacks.stop.patience", 3, "epochs"),)
    assert options["callbacks=stop"].target == "mine.Stop"
    assert options["hydra/launcher=own"].settings == (
        Setting("hydra.launcher.jobs", 1, "at once"), Setting("hydra.launcher.options", {}, "further ones"),
    )  # fmt: skip
    assert options["task=draw"].settings == (Setting("input", "???", "a file"), Setting("task.most", 2, "pictures"))
    assert options["task=rest"].settings == ()
    recipe = options["experiment=mine"]
    assert (recipe.meaning, recipe.bases, recipe.choices) == (
        "Good.", ("book/sgd",), ("model=lenet", "augment=[crop,flip]"),
    )  # fmt: skip
    assert recipe.settings == (Setting("data.resize", 96, ""),)
