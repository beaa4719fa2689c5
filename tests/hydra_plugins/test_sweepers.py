"""Tests of the sweepers' settings and of the executors that they build."""

from typing import Any

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.errors import ConfigError, IncompleteSweepError
from cnn_experiments.sweep.executors.local import LocalExecutor
from hydra_plugins.cnn_experiments_sweepers import GridSweeper, OptunaSweeper

SEARCH: dict[str, Any] = {"n_trials": 3, "sampler": "tpe", "pruner": "median", "seed": 0}


def grid_sweeper(*overrides: str, params: dict[str, Any] | None = None) -> GridSweeper:
    sweeper = GridSweeper(OmegaConf.create(params or {}))
    sweeper.config = compose_sweep(*overrides)
    return sweeper


def compose_sweep(*overrides: str) -> DictConfig:
    return config_loader().load_configuration("config", list(overrides), run_mode=RunMode.MULTIRUN)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("n_trials", 0, "must be an integer from 1 to 100000"),
        ("n_trials", True, "must be an integer from 1 to 100000"),
        ("sampler", "tpee", "must be one of tpe, random; did you mean tpe?"),
        ("pruner", None, "must be one of median, hyperband, none; did you mean none?"),
        ("seed", -1, "must be an integer from 0 to 4294967295"),
    ],
)
def test_bad_setting_of_a_search_is_rejected(name: str, value: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        OptunaSweeper(OmegaConf.create({}), **SEARCH | {name: value})
    assert error.value.key == f"hydra.sweeper.{name}"
    assert str(error.value).partition(": ")[2] == problem


def test_settings_of_every_predefined_search_are_accepted() -> None:
    for option in ("optuna", "optuna/densenet", "optuna/learning_rate", "optuna/training"):
        settings = compose_sweep(f"hydra/sweeper={option}").hydra.sweeper
        sweeper = OptunaSweeper(**{str(key): value for key, value in settings.items() if key != "_target_"})
        assert sweeper._search["n_trials"] == settings.n_trials


def test_typed_overrides_come_after_those_of_the_sweepers_settings() -> None:
    sweeper = grid_sweeper(params={"model": "lenet,nin", "optimizer.lr": 0.1, "data.resize": None, "compile": True})
    assert sweeper._with_params(["model=vgg11"]) == [
        "model=lenet,nin",
        "optimizer.lr=0.1",
        "data.resize=null",
        "compile=true",
        "model=vgg11",
    ]


def test_executor_of_this_program_is_built_from_the_launchers_settings() -> None:
    executor = grid_sweeper("hydra.launcher.jobs=2")._build_executor()
    assert isinstance(executor, LocalExecutor)
    assert executor.capacity([]).max_parallel == 2


def test_setting_that_an_executor_rejects_is_named() -> None:
    with pytest.raises(ConfigError) as error:
        grid_sweeper("hydra.launcher.jobs=x")._build_executor()
    assert str(error.value) == "hydra.launcher.jobs=x: must be auto or an integer from 1 to 1024"


@pytest.mark.parametrize("sweep_status", [0, 1])
def test_status_of_a_sweep_reaches_the_entry_point_without_an_exit(
    monkeypatch: pytest.MonkeyPatch, sweep_status: int
) -> None:
    monkeypatch.setattr("cnn_experiments.sweep.grid.sweep", lambda *_: sweep_status)
    sweeper = grid_sweeper()
    if sweep_status == 0:
        sweeper.sweep([])
        return
    with pytest.raises(IncompleteSweepError) as error:
        sweeper.sweep([])
    assert error.value.status == sweep_status
