"""Tests of the registry of tasks."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

import pytest
from hydra.types import RunMode

from cnn_experiments import tasks
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.config.overrides import option_names
from cnn_experiments.errors import ConfigError
from cnn_experiments.tasks import TASKS, TaskSpec, preflight, task_of


@pytest.mark.parametrize("name", TASKS)
def test_task_of_a_configuration(name: str) -> None:
    spec = task_of(ComposedConfig.from_overrides(f"task={name}"))
    assert spec is TASKS[name]
    assert spec.needs_run_directory == (name == "train")
    assert spec.needs_checkpoint == (name not in ("train", "inspect", "find_lr"))


def test_every_task_is_an_option_of_its_group() -> None:
    assert option_names("task") == sorted(TASKS)


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ("trian", f"task=trian: unknown option; allowed: {', '.join(sorted(TASKS))}; did you mean train?"),
        ("null", f"task=null: unknown option; allowed: {', '.join(sorted(TASKS))}"),
        ("[train]", "task=[train]: must be one option"),
    ],
)
def test_unknown_task_is_rejected(task: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        task_of(ComposedConfig.from_overrides(f"task={task}"))
    assert str(error.value) == line


@pytest.mark.parametrize("name", TASKS)
def test_functions_of_every_task_exist(name: str) -> None:
    assert callable(resolve_name(TASKS[name].target))
    if (preflight_target := TASKS[name].preflight) is not None:
        assert callable(resolve_name(preflight_target))


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


@pytest.mark.parametrize("name", [name for name, spec in TASKS.items() if spec.needs_checkpoint])
def test_task_that_uses_a_network_needs_a_checkpoint(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        preflight(ComposedConfig.from_overrides(f"task={name}"))
    line = f"ckpt_path=null: must be a run's directory or a checkpoint for task={name}, which uses its network"
    assert str(error.value) == line


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
    TaskSpec(target="module:task", needs_run_directory=False).run([config], None)
    assert calls == [([config], None)]
