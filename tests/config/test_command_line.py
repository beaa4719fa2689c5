"""Tests of the check of the command line before Hydra composes anything."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.types import RunMode

from cnn_experiments.config.command_line import check_command_line
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.config.overrides import parse_overrides
from cnn_experiments.errors import ConfigError

SetArgv = Callable[..., None]

TOP_LEVEL = (
    "top-level keys: augment, callbacks, ckpt_path, compile, data, dry_run, experiment, init, logger, loss, memory_format, "
    "metrics, model, monitor, monitor_mode, note, on_error, on_invalid, optimizer, restart, retry_failed, scheduler, seed, "
    "sweep, tags, task, trainer"
)
HYDRA_KEYS = (
    "can't be changed; of Hydra's settings, these can: hydra.run.dir, hydra.sweep.dir, hydra.launcher.*, "
    "hydra.sweeper.*, hydra.mode, hydra.verbose, hydra.job.chdir, hydra.searchpath, hydra/launcher, hydra/sweeper, "
    "hydra/job_logging, hydra/hydra_logging"
)
IN_A_SWEEP = "only valid in a sweep, which needs -m"
EQUALS = (
    "must be KEY=VALUE (mismatched input '=' expecting <EOF>); quote special characters for the shell and for Hydra: "
)
BRACKETS = "must be KEY=VALUE (no viable alternative at input '[1,2'); brackets need quotes for the shell, and a list has commas: "


def line_of(set_argv: SetArgv, *words: str) -> str:
    set_argv(*words)
    with pytest.raises(ConfigError) as error:
        check_command_line(words)
    return str(error.value)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        # Keys
        (["optimizer.lrr=1"], "optimizer.lrr=1: unknown key; keys of optimizer: betas, decay_norm_and_bias, lr, weight_decay; did you mean optimizer.lr?"),
        (["+optimizer.lrr=1"], "optimizer.lrr=1: unknown key; keys of optimizer: betas, decay_norm_and_bias, lr, weight_decay; did you mean optimizer.lr?"),
        (["model=nin", "model.norm=batch"], "model.norm=batch: unknown key; keys of model: channel_divisor, dropout, in_channels, num_1x1_convs, num_classes"),
        (["model.lr=0.1"], "model.lr=0.1: unknown key; keys of model: activation, channels, hidden_units, in_channels, kernel_size, norm, norm_layers, norm_position, num_classes, padding, pool; did you mean optimizer.lr?"),
        (["optimizer/lr=0.1"], f"optimizer/lr=0.1: unknown key; {TOP_LEVEL}; did you mean optimizer.lr?"),
        (["seed=1", "modl.norm=x"], f"modl.norm=x: unknown key; {TOP_LEVEL}; did you mean model.norm?"),
        (["-m", "modle=lenet,nin"], f"modle=lenet,nin: unknown key; {TOP_LEVEL}; did you mean model?"),
        (["-m", "seed=1,2", "model.stem=3x3"], "model.stem=3x3: unknown key; keys of model: activation, channels, hidden_units, in_channels, kernel_size, norm, norm_layers, norm_position, num_classes, padding, pool"),
        (["+optimizer.lr=1"], "+optimizer.lr=1: key already exists; remove the +"),
        (["trainer.fast_dev_run=true"], "trainer.fast_dev_run=true: not supported: trainer=smoke tries two batches of every split"),
        (["+trainer.log_every_n_steps=5"], "trainer.log_every_n_steps=5: not supported: metrics are recorded once per epoch"),
        (["metrics.top3=torchmetrics.Accuracy"], "metrics.top3=torchmetrics.Accuracy: must be a part, whose class is metrics.top3._target_"),
        (["metrics._target_=torchmetrics.Accuracy"], "metrics._target_=torchmetrics.Accuracy: must have the name of a part before it: metrics.NAME._target_"),
        (["note=hello, world"], "note=hello, world: several values make a sweep, which needs -m; quote commas for the shell and for Hydra: \"note='hello, world'\""),
        (["-m", "seed=0,1", "note=hello, world"], "note=hello, world: must be one value for all runs: those that differ in nothing else are the same run; quote commas for the shell and for Hydra: \"note='hello, world'\""),
        (["-m", "seed=0,1", "tags=[a],[b]"], "tags=[a],[b]: must be one value for all runs: those that differ in nothing else are the same run"),
        (["~ckpt_path"], "~ckpt_path: keys can't be deleted; the default is ckpt_path=null"),
        (["model.depths.0=1"], "model.depths.0=1: unknown key; keys of model: activation, channels, hidden_units, in_channels, kernel_size, norm, norm_layers, norm_position, num_classes, padding, pool"),
        # Options
        (["model=lenet", "init=xavir"], "init=xavir: unknown option; allowed: checkpoint, default, kaiming, xavier; did you mean xavier?"),
        (["init=null"], "init=null: unknown option; allowed: checkpoint, default, kaiming, xavier"),
        (["init="], "init=: unknown option; allowed: checkpoint, default, kaiming, xavier"),
        (["init=3"], "init=3: unknown option; allowed: checkpoint, default, kaiming, xavier"),
        (["init=xavier.yaml"], "init=xavier.yaml: unknown option; allowed: checkpoint, default, kaiming, xavier; did you mean xavier?"),
        (["init=../init/xavier"], "init=../init/xavier: unknown option; allowed: checkpoint, default, kaiming, xavier; did you mean xavier?"),
        (["hydra/sweeper=optuna/trainin"], "hydra/sweeper=optuna/trainin: unknown option; allowed: basic, grid, optuna, optuna/densenet, optuna/learning_rate, optuna/training; did you mean optuna/training?"),
        (["experiment=null"], "experiment=null: unknown option; allowed: best, best_adamw, best_sgd, best/..., book/..., fast/..."),
        (["experiment=best/lenett"], "experiment=best/lenett: unknown option; allowed: best/alexnet, best/densenet, best/googlenet, best/lenet, best/lenet_bn, best/nin, best/resnet18, best/vgg11, ...; did you mean best/lenet?"),
        (["experiment/book=adam"], "experiment/book=adam: an option of a folder is chosen with the name of the folder; did you mean experiment=book/adam?"),
        (["model@foo=lenet"], "model@foo=lenet: an option can't be put elsewhere; did you mean model=lenet?"),
        (["+init=xavier"], "+init=xavier: an option of this group is already chosen; remove the +"),
        (["~model"], "~model: groups can't be deleted"),
        (["model=[lenet,vgg11]"], "model=[lenet,vgg11]: must be one option"),
        (["callbacks=[none,ema]"], "callbacks=[none,ema]: must not have none beside other options"),
        (["model={}"], "model={}: must be one option"),
        (["init=default,xavier"], "init=default,xavier: several values make a sweep, which needs -m"),
        (["-m", "init=glob(z*)"], "init=glob(z*): matches none of checkpoint, default, kaiming, xavier"),
        (["-m", "optimizer.lr=glob(*)"], "optimizer.lr=glob(*): must be the name of a group before glob(...)"),
        # Syntax
        (["lenet"], "lenet: must be KEY=VALUE"),
        ([""], "'': must be KEY=VALUE"),
        (["a b"], "a b: must be KEY=VALUE"),
        (["data.root=a=b"], f"data.root=a=b: {EQUALS}\"data.root='a=b'\""),
        (["model.depths=[1,2"], f'model.depths=[1,2: {BRACKETS}"model.depths=[1,2]"'),
        (["model=resnet18", "model.depths=[2,", "2]"], 'model.depths=[2,: has spaces, which the shell splits; quote it: "model.depths=[2, 2]"'),
        (["model.norm=${"], "model.norm=${: must be KEY=VALUE"),
        (["seed=\udcff"], "seed=\udcff: must be UTF-8"),
        # Settings of Hydra
        (["~hydra.callbacks"], f"~hydra.callbacks: {HYDRA_KEYS}"),
        (["~hydra.callbacks.run_directory"], f"~hydra.callbacks.run_directory: {HYDRA_KEYS}"),
        (["+hydra.x=1"], f"+hydra.x=1: {HYDRA_KEYS}"),
        (["hydra.output_subdir=null"], f"hydra.output_subdir=null: {HYDRA_KEYS}"),
        (["hydra.run.dri=x"], f"hydra.run.dri=x: {HYDRA_KEYS}; did you mean hydra.run.dir?"),
        (["hydra/launcer=basic"], f"hydra/launcer=basic: {HYDRA_KEYS}; did you mean hydra/launcher?"),
        (["-m", "hydra.launcher._target_=os.abort"], f"hydra.launcher._target_=os.abort: {HYDRA_KEYS}"),
        (["-m", "hydra.sweeper.n_trials=3"], "hydra.sweeper.n_trials=3: unknown key; hydra.sweeper has no keys"),
        (["-m", "model=lenet,nin", "hydra.sweeper.n_trials=3"], "hydra.sweeper.n_trials=3: unknown key; hydra.sweeper has no keys"),
        (["-m", "hydra/launcher=local,slurm"], "hydra/launcher=local,slurm: must be one value"),
        (["-m", "hydra/sweeper=basic"], "hydra/sweeper=basic: must be one of grid, optuna"),
        (["-m", "hydra.sweeper=optuna"], "hydra.sweeper=optuna: options are chosen with a slash; did you mean hydra/sweeper=optuna?"),
        (["hydra.mode=MULTIRUN"], "hydra.mode=MULTIRUN: must be RUN, and not be combined with -m, which makes a sweep"),
        (["-m", "hydra.mode=RUN"], "hydra.mode=RUN: must be RUN, and not be combined with -m, which makes a sweep"),
        (["hydra.searchpath=[nowhere]"], "hydra.searchpath=nowhere: must be a directory, or a package after pkg://"),
        (["hydra.searchpath=x"], "hydra.searchpath=x: must be a list of directories: [file:///home/me/conf]"),
        (["sweep=mine"], f"sweep=mine: {IN_A_SWEEP}"),
        (["hydra.launcher.jobs=2"], f"hydra.launcher.jobs=2: {IN_A_SWEEP}"),
        (["hydra/sweeper=optuna"], f"hydra/sweeper=optuna: {IN_A_SWEEP}"),
        (["hydra.sweep.dir=x"], f"hydra.sweep.dir=x: {IN_A_SWEEP}"),
        (["-m", "hydra.run.dir=x", "seed=0,1"], "hydra.run.dir=x: only valid for one run; the directory of a sweep is hydra.sweep.dir, or sweep=NAME in outputs/"),
        # Flags
        (["--experimental-rerun=x.pickle"], "--experimental-rerun: can't be used: a pickle may run any code"),
        (["--config-path=/"], "--config-path: can't be replaced; did you mean --config-dir?"),
        (["--config-dir=nowhere"], "--config-dir=nowhere: must be a directory"),
        (["--conf", "job"], "--conf: unknown flag; did you mean --cfg?"),
        (["hydra.verbose=null"], "hydra.verbose=null: must be true or false or a string"),
        (["hydra.job.chdir=x"], "hydra.job.chdir=x: must be true or false"),
        (["--config-dir"], "--config-dir: expected one argument"),
        (["--cfg=jobs"], "--cfg: invalid choice: 'jobs' (choose from 'job', 'hydra', 'all')"),
        (["--resolve"], "--resolve: needs --cfg or --help"),
        (["--cfg=job", "--package=nothing"], "--package=nothing: there is no such part of the configuration"),
        (["--package=model"], "--package=model: needs --cfg"),
        (["--shell-completion"], "--shell-completion: needs install=SHELL or uninstall=SHELL; shells: bash, fish, zsh"),
        (["--config-name=model/nin"], "--config-name=model/nin: must have all settings of config.yaml; missing: augment, callbacks, ckpt_path, compile, data, dry_run, init, logger, loss, memory_format, metrics, monitor, monitor_mode, note, on_error, on_invalid, optimizer, restart, retry_failed, scheduler, seed, sweep, tags, task, trainer"),
    ],
    ids=lambda value: " ".join(value).encode("unicode_escape").decode() if isinstance(value, list) else "",
)  # fmt: skip
def test_bad_command_line_is_rejected_in_one_line(set_argv: SetArgv, words: list[str], line: str) -> None:
    assert line_of(set_argv, *words) == line


@pytest.mark.parametrize(
    ("words", "checked"),
    [
        (["seed=1", "-m", "model=lenet,nin"], ["--multirun", "seed=1", "model=lenet,nin"]),
        (["seed=1", "--cfg", "job", "seed=2"], ["--cfg", "job", "seed=1", "seed=2"]),
        (["hydra.run.dir=a", "hydra.job.chdir=true"], ["hydra.run.dir=a", "hydra.job.chdir=true"]),
        (["-m", "+hydra.sweeper.params.seed='1,2'"], ["--multirun", "+hydra.sweeper.params.seed='1,2'"]),
        (["-m", "hydra.launcher.jobs=2", "seed=1,2"], ["--multirun", "hydra.launcher.jobs=2", "seed=1,2"]),
        # A typed option counts more than the recipe, except for what is typed.
        (
            ["experiment=best/lenet", "trainer=smoke"],
            ["experiment=best/lenet", "trainer=smoke", "trainer.max_epochs=1"],
        ),
        (
            ["experiment=best/lenet", "trainer=smoke", "trainer.max_epochs=3"],
            ["experiment=best/lenet", "trainer=smoke", "trainer.max_epochs=3"],
        ),
        (["experiment=best/lenet", "trainer=cpu"], ["experiment=best/lenet", "trainer=cpu"]),
        (
            ["experiment=best/resnet18", "data=digits"],
            ["experiment=best/resnet18", "data=digits"],
        ),
    ],
)
def test_words_for_hydra(set_argv: SetArgv, words: list[str], checked: list[str]) -> None:
    set_argv(*words)
    assert check_command_line(words) == checked


def test_setting_that_only_the_swept_options_have_is_left_to_the_combinations(set_argv: SetArgv) -> None:
    words = ["-m", "model=resnet18,resnet34", "model.stem=3x3"]
    set_argv(*words)
    _, *overrides = check_command_line(words)
    sweep = config_loader().load_configuration("config", overrides, run_mode=RunMode.MULTIRUN)
    model, stem = parse_overrides(sweep.hydra.overrides.task)
    assert list(model.sweep_string_iterator()) == ["resnet18", "resnet34"]
    assert (stem.input_line, stem.is_sweep_override()) == ("model.stem=3x3", False)
    config = ComposedConfig.compose(sweep, ["model=resnet34", str(stem.input_line)])
    assert config.settings["model"]["stem"] == "3x3"


def test_glob_means_options_in_folders(set_argv: SetArgv) -> None:
    set_argv()
    (nested,) = parse_overrides(["experiment=glob(book/*/lenet,exclude=*/sgd5/*)"])
    assert list(nested.sweep_string_iterator()) == ["book/adam/lenet", "book/sgd/lenet"]
    (top,) = parse_overrides(["experiment=glob(*)"])
    assert list(top.sweep_string_iterator()) == ["best", "best_adamw", "best_sgd"]


def test_options_of_the_users_directory_are_allowed(config_dir: Path, set_argv: SetArgv) -> None:
    (config_dir / "init").mkdir()
    (config_dir / "init" / "mine.yaml").write_text("_target_: x\n")
    line = line_of(set_argv, "--config-dir", str(config_dir), "init=min")
    assert line == "init=min: unknown option; allowed: checkpoint, default, kaiming, mine, xavier; did you mean mine?"


def test_group_of_the_user_needs_a_plus(config_dir: Path, set_argv: SetArgv) -> None:
    (config_dir / "mine").mkdir()
    (config_dir / "mine" / "a.yaml").write_text("x: 1\n")
    flags = ["--config-dir", str(config_dir)]
    set_argv(*flags, "+mine=a")
    assert check_command_line([*flags, "+mine=a"]) == [*flags, "+mine=a"]
    assert line_of(set_argv, *flags, "mine=a") == (
        "mine=a: no option of this group is chosen by default, so it must begin with one +; did you mean +mine=a?"
    )
    assert line_of(set_argv, *flags, "+mine=a", "seeed=1").endswith("; did you mean seed?")


def write_recipe(config_dir: Path, content: bytes) -> list[str]:
    (config_dir / "experiment").mkdir()
    (config_dir / "experiment" / "mine.yaml").write_bytes(content)
    return ["--config-dir", str(config_dir), "experiment=mine"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"# @package _global_\nseed: [1\n", "PATH:3: is not valid YAML: expected ',' or ']', but got '<stream end>'"),
        (b"# @package _global_\nseed: 1\nseed: 2\n", "PATH:3: is not valid YAML: found duplicate key seed"),
        (b"# @package _global_\ndata:\n\tseed: 1\n", "PATH:3: is not valid YAML: found character '\\t' that cannot start any token"),
        (b"# @package _global_\nseed: \xff\n", "PATH: must be UTF-8"),
        (b"# @package _global_\nseed: \x00\n", "PATH: is not valid YAML: special characters are not allowed (character 27)"),
        (b"# @package _global_\ndefaults:\n  - override /init: xavir\n", "init=xavir: unknown option; allowed: checkpoint, default, kaiming, xavier; did you mean xavier? (in the defaults of a file)"),
        (b"# @package _global_\nhydra:\n  callbacks:\n    mine:\n      _target_: os.abort\n", "hydra.callbacks: can't be changed; the program checks its runs there"),
        (b"# @package _global_\nhydra:\n  launcher:\n    _target_: os.abort\n", "hydra/launcher=local: must be local, slurm or a launcher of an installed plugin, not os.abort"),
        (b"# @package _global_\nhydra:\n  job_logging:\n    handlers:\n      mine:\n        (): os.abort\n", "hydra/job_logging=run_log: must not have () in it, which calls a function"),
        (b"# @package _global_\nhydra:\n  job_logging:\n    handlers:\n      mine:\n        class: os.abort\n", "hydra/job_logging=run_log: must have handlers of logging only, not os.abort"),
    ],
)  # fmt: skip
def test_damaged_file_is_named(config_dir: Path, set_argv: SetArgv, content: bytes, line: str) -> None:
    words = write_recipe(config_dir, content)
    assert line_of(set_argv, *words) == line.replace("PATH", str(config_dir / "experiment" / "mine.yaml"))


def test_recipe_may_choose_a_sweeper(config_dir: Path, set_argv: SetArgv) -> None:
    words = write_recipe(
        config_dir,
        b"# @package _global_\ndefaults:\n  - override /hydra/sweeper: optuna\n  - override /model: densenet\n"
        b"hydra:\n  sweeper:\n    params:\n      model.growth_rate: range(8,33,8)\n",
    )
    words = ["-m", *words, "hydra.sweeper.n_trials=3"]
    set_argv(*words)
    assert check_command_line(words)[-2:] == ["experiment=mine", "hydra.sweeper.n_trials=3"]
