"""Tests of translating errors of Hydra and OmegaConf into one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.errors import HydraException, InstantiationException, SearchPathException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnn_experiments.config.hydra_errors import exit_on_config_error, translate
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.errors import ConfigError

TOP_LEVEL = (
    "top-level keys: ckpt_path, compile, data, dry_run, experiment, init, label_smoothing, memory_format, model, "
    "on_error, on_invalid, optimizer, restart, retry_failed, scheduler, seed, sweep, task, trainer"
)

SetArgv = Callable[..., None]


def compose_command(*overrides: str, config_name: str = "config") -> None:
    config_loader().load_configuration(config_name, list(overrides), run_mode=RunMode.RUN)


def line_of(*overrides: str, config_name: str = "config") -> str:
    with pytest.raises((HydraException, OmegaConfBaseException, YAMLError, ValueError)) as error:
        compose_command(*overrides, config_name=config_name)
    return str(translate(error.value))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["optimizer.lrr=1"], "optimizer.lrr=1: unknown key; keys of optimizer: betas, lr, weight_decay; did you mean optimizer.lr?"),
        (["model=nin", "model.norm=batch"], "model.norm=batch: unknown key; keys of model: dropout, in_channels, num_classes"),
        (["model.lr=0.1"], "model.lr=0.1: unknown key; keys of model: in_channels, norm, num_classes, padding, pool; did you mean optimizer.lr?"),
        (["hydra/launcer=basic"], f"hydra/launcer=basic: unknown key; {TOP_LEVEL}; did you mean hydra/launcher?"),
        (["hydra.sweeper.n_trials=3"], "hydra.sweeper.n_trials=3: unknown key; hydra.sweeper has no keys"),
        (["seed=1", "modl.norm=x"], f"modl.norm=x: unknown key; {TOP_LEVEL}; did you mean model.norm?"),
        (["model=lenet", "init=xavir"], "init=xavir: unknown option; allowed: default, kaiming, xavier; did you mean xavier?"),
        (["init=null"], "init=null: unknown option; allowed: default, kaiming, xavier"),
        (["init=3"], "init=3: unknown option; allowed: default, kaiming, xavier"),
        (["hydra/sweeper=optuna/trainin"], "hydra/sweeper=optuna/trainin: unknown option; allowed: basic, grid, optuna, optuna/densenet, optuna/learning_rate, optuna/training; did you mean optuna/training?"),
        (["experiment=null"], "experiment=null: unknown option; allowed: best, best_adamw, best_sgd, best/..., book/..."),
        (["experiment=xyz"], "experiment=xyz: unknown option; allowed: best, best_adamw, best_sgd, best/..., book/..."),
        (["experiment=best/lenett"], "experiment=best/lenett: unknown option; allowed: best/alexnet, best/densenet, best/googlenet, best/lenet, best/lenet_bn, best/nin, best/resnet18, best/vgg11, ...; did you mean best/lenet?"),
        (["model@foo=lenet"], "model@foo=lenet: an option can't be put elsewhere; did you mean model=lenet?"),
        (["+init=xavier"], "+init=xavier: an option of this group is already chosen; remove the +"),
        (["+optimizer.lr=1"], "+optimizer.lr=1: key already exists; remove the +"),
        (["~ckpt_path"], "~ckpt_path: keys can't be deleted"),
        (["init=default,xavier"], "init=default,xavier: several values make a sweep, which needs -m"),
        (["lenet"], "lenet: must be KEY=VALUE"),
        (["a b"], "a b: must be KEY=VALUE"),
        (["data.root=a=b"], "data.root=a=b: must be KEY=VALUE (mismatched input '=' expecting <EOF>); quote special characters for the shell and for Hydra: \"KEY='VALUE'\""),
        (["model.depths=[1,2"], "model.depths=[1,2: must be KEY=VALUE (no viable alternative at input '[1,2'); quote special characters for the shell and for Hydra: \"KEY='VALUE'\""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_line_names_the_override_the_allowed_values_and_a_suggestion(
    set_argv: SetArgv, overrides: list[str], line: str
) -> None:
    set_argv(*overrides)
    assert line_of(*overrides) == line


def test_missing_configuration_is_named(set_argv: SetArgv) -> None:
    set_argv("--config-name", "mine")
    assert line_of(config_name="mine").startswith("--config-name=mine: not found in ")


def test_missing_directory_is_named(set_argv: SetArgv) -> None:
    set_argv("--config-dir", "nowhere")
    error = SearchPathException("Additional config directory '/nowhere' not found")
    assert str(translate(error)) == "--config-dir=nowhere: must be a directory"


@pytest.mark.usefixtures("set_argv")
def test_error_without_a_matching_override_becomes_one_line() -> None:
    assert str(translate(InstantiationException("Error locating target:\n  x"))) == "Error locating target: x"


@pytest.mark.usefixtures("set_argv")
def test_config_error_that_caused_an_instantiation_error_is_returned() -> None:
    error = ConfigError("hydra.sweeper.seed", -1, problem="must be an integer >= 0")
    instantiation_error = InstantiationException("in call to OptunaSweeper")
    instantiation_error.__cause__ = error
    assert translate(error) is error
    assert translate(instantiation_error) is error


@pytest.mark.usefixtures("set_argv")
def test_overrides_of_a_combination_replace_those_of_the_command_line() -> None:
    with pytest.raises(HydraException) as error:
        compose_command("model=nin", "model.norm=batch")
    line = str(translate(error.value, ["model=nin", "model.norm=batch"]))
    assert line == "model.norm=batch: unknown key; keys of model: dropout, in_channels, num_classes"


def test_options_of_the_users_directory_are_allowed(config_dir: Path, set_argv: SetArgv) -> None:
    (config_dir / "init").mkdir()
    (config_dir / "init" / "mine.yaml").write_text("_target_: x\n")
    set_argv("--config-dir", str(config_dir), "init=min")
    line = line_of("init=min")
    assert line == "init=min: unknown option; allowed: default, kaiming, mine, xavier; did you mean mine?"


def test_group_of_the_user_needs_a_plus(config_dir: Path, set_argv: SetArgv) -> None:
    (config_dir / "mine").mkdir()
    (config_dir / "mine" / "a.yaml").write_text("x: 1\n")
    compose_command("+mine=a")
    set_argv("--config-dir", str(config_dir), "mine=a")
    assert line_of("mine=a") == (
        "mine=a: no option of this group is chosen by default, so it must begin with a +; did you mean +mine=a?"
    )
    set_argv("--config-dir", str(config_dir), "+mine=a", "seeed=1")
    assert line_of("+mine=a", "seeed=1").endswith("; did you mean seed?")


def test_missing_option_of_a_defaults_list_is_attributed_to_a_file(config_dir: Path, set_argv: SetArgv) -> None:
    (config_dir / "experiment").mkdir()
    (config_dir / "experiment" / "mine.yaml").write_text("# @package _global_\ndefaults:\n  - override /init: xavir\n")
    set_argv("--config-dir", str(config_dir), "experiment=mine")
    assert line_of("experiment=mine") == (
        "init=xavir: unknown option; allowed: default, kaiming, xavier; did you mean xavier? (in the defaults of a file)"
    )


def test_damaged_yaml_is_named_in_one_line(config_dir: Path) -> None:
    (config_dir / "experiment").mkdir()
    (config_dir / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: [1\n")
    line = line_of("experiment=mine")
    assert "experiment/mine.yaml" in line
    assert "\n" not in line


def exit_status(error: Exception) -> object:
    with pytest.raises(SystemExit) as system_exit, exit_on_config_error():
        raise error
    return system_exit.value.code


def test_config_error_ends_the_program_with_one_line_and_status_2(
    set_argv: SetArgv, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(ConfigError("a", 1, problem="must be 2")) == 2
    assert capsys.readouterr() == ("", "a=1: must be 2\n")
    set_argv("init=null")
    assert exit_status(ValueError("Config group override must be a string or a list.")) == 2
    assert capsys.readouterr() == ("", "init=null: unknown option; allowed: default, kaiming, xavier\n")


@pytest.mark.usefixtures("set_argv")
def test_any_other_error_ends_the_program_with_a_traceback_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(ZeroDivisionError("a bug")) == 1
    assert capsys.readouterr().err.endswith("\nZeroDivisionError: a bug\n")
