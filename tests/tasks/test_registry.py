"""Tests of the registry of tasks."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

import pytest
from hydra.types import RunMode

from cnn_experiments import tasks
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.errors import ConfigError
from cnn_experiments.tasks import TASKS, TaskSpec, preflight, task_of


@pytest.mark.parametrize(("name", "needs_run_directory"), [("train", True), ("inspect", False)])
def test_task_of_a_configuration(name: str, needs_run_directory: bool) -> None:
    spec = task_of(ComposedConfig.from_overrides(f"task={name}"))
    assert spec is TASKS[name]
    assert spec.needs_run_directory == needs_run_directory


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ("trian", "task=trian: must be one of train, inspect; did you mean train?"),
        ("null", "task=null: must be one of train, inspect"),
        ("[train]", "task=['train']: must be one of train, inspect; did you mean train?"),
    ],
)
def test_unknown_task_is_rejected(task: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        task_of(ComposedConfig.from_overrides(f"task={task}"))
    assert str(error.value) == line


@pytest.mark.parametrize("name", TASKS)
def test_functions_of_every_task_exist(name: str) -> None:
    assert callable(resolve_name(TASKS[name].target))
    assert callable(resolve_name(TASKS[name].preflight))


def test_preflight_checks_what_the_task_needs() -> None:
    preflight(ComposedConfig.from_overrides("task=inspect"))
    with pytest.raises(ConfigError) as error:
        preflight(ComposedConfig.from_overrides("task=inspect", "ckpt_path=nowhere"))
    assert str(error.value) == "ckpt_path=nowhere: must be null for a task that trains nothing"
    with pytest.raises(ConfigError) as error:
        preflight(ComposedConfig.from_overrides("task=train", "ckpt_path=nowhere"))
    assert str(error.value) == (
        "ckpt_path=nowhere: must be a checkpoint, or a run's directory with checkpoints/last.ckpt"
    )


def test_preflight_names_the_combination_of_a_sweep() -> None:
    sweep = config_loader().load_configuration("config", ["hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN)
    config = ComposedConfig.compose(sweep, ["model=lenet", "data.resize=15"])
    with pytest.raises(ConfigError) as error:
        preflight(config)
    assert str(error.value) == (
        "data.resize=15: this network needs images of at least 16 pixels, these have 15; "
        "did you mean data.resize=16? (in model=lenet data.resize=15)"
    )


def test_task_is_run_with_its_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    resolve: Callable[[str], Any] = {"module:task": lambda *arguments: calls.append(arguments)}.__getitem__
    monkeypatch.setattr(tasks, "resolve_name", resolve)
    config = ComposedConfig.from_overrides()
    TaskSpec(target="module:task", preflight="", needs_run_directory=False).run([config], None)
    assert calls == [([config], None)]
