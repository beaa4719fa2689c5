"""Tests of Hydra's launchers as executors, and of properties that all executors have."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.sweep.executors.base import Executor
from cnn_experiments.sweep.executors.hydra_launcher import HydraLauncherExecutor
from cnn_experiments.sweep.executors.local import LocalExecutor
from cnn_experiments.sweep.executors.slurm import SlurmExecutor
from cnn_experiments.sweep.observer import SweepObserver
from cnn_experiments.sweep.plan import PlannedRun


class StubLauncher(Launcher):
    """A launcher that records its jobs, and raises its error if it has one."""

    def __init__(self, events: list[str], error: Exception | None = None) -> None:
        self.jobs: list[list[str]] = []
        self._events = events
        self._error = error

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None: ...

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self._events.append(f"job {initial_job_idx} and later")
        self.jobs += map(list, job_overrides)
        if self._error:
            raise self._error
        return []


def make_runs(*names: str) -> list[PlannedRun]:
    config = SimpleNamespace(overrides=["model=lenet", "seed=1"])
    return cast(list[PlannedRun], [SimpleNamespace(config=config, directory=Path("outputs") / name) for name in names])


def test_launcher_gets_the_overrides_and_the_directory_of_every_run() -> None:
    events: list[str] = []
    launcher = StubLauncher(events)
    monitor = SweepObserver(2, stop_on_error=False, on_launch=lambda: events.append("launch"))
    HydraLauncherExecutor(launcher).run(make_runs("lenet-seed1", "it's lenet"), monitor)
    assert events == ["launch", "job 0 and later"]
    assert [job[:-1] for job in launcher.jobs] == [["model=lenet", "seed=1"]] * 2
    directories = OverridesParser.create().parse_overrides([job[-1] for job in launcher.jobs])
    assert [(override.key_or_group, override.value()) for override in directories] == [
        ("hydra.sweep.subdir", "lenet-seed1"),
        ("hydra.sweep.subdir", "it's lenet"),
    ]


def test_error_of_the_launcher_is_logged_and_does_not_end_the_sweep(caplog: pytest.LogCaptureFixture) -> None:
    executor = HydraLauncherExecutor(StubLauncher([], ZeroDivisionError("a worker died")))
    with caplog.at_level(logging.ERROR):
        executor.run(make_runs("lenet"), SweepObserver(1, stop_on_error=False, on_launch=lambda: None))
    (record,) = caplog.records
    assert record.getMessage() == "StubLauncher ended before its runs"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a worker died"


@pytest.mark.parametrize("error", [ConfigError("seed", 1, problem="no"), RunFailedError("no")])
def test_known_error_of_a_run_ends_the_sweep(error: Exception) -> None:
    executor = HydraLauncherExecutor(StubLauncher([], error))
    with pytest.raises(type(error)) as exc_info:
        executor.run(make_runs("lenet"), SweepObserver(1, stop_on_error=False, on_launch=lambda: None))
    assert exc_info.value is error


@pytest.mark.parametrize(
    ("make_executor", "max_parallel", "supports_stop", "supports_pruning"),
    [
        (lambda: LocalExecutor(jobs=3), 3, True, True),
        (lambda: SlurmExecutor(array_parallelism=16), 16, True, False),
        (lambda: HydraLauncherExecutor(StubLauncher([])), 1, False, False),
    ],
)
def test_executors_declare_their_capabilities(
    make_executor: Callable[[], Executor], max_parallel: int, supports_stop: bool, supports_pruning: bool
) -> None:
    executor = make_executor()
    supported: tuple[Any, ...] = (executor.max_parallel, executor.supports_stop, executor.supports_pruning)
    assert supported == (max_parallel, supports_stop, supports_pruning)


@pytest.mark.parametrize(
    ("make_executor", "message"),
    [
        (lambda: LocalExecutor(jobs=0), "hydra.launcher.jobs=0: must be an integer >= 1"),
        (
            lambda: SlurmExecutor(array_parallelism=16, mem_gb="8G"),
            "hydra.launcher.mem_gb=8G: must be an integer >= 1 or null",
        ),
    ],
)
def test_settings_of_an_executor_are_checked(make_executor: Callable[[], Executor], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_executor()
    assert str(error.value) == message
