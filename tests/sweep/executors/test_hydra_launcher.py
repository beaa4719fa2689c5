"""Tests of Hydra's launchers as executors, and of properties that all executors have."""

import logging
import os
import signal
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

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runs.plan_file import record_rejection
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.sweep.executors.base import Executor
from cnn_experiments.sweep.executors.hydra_launcher import HydraLauncherExecutor
from cnn_experiments.sweep.executors.local import LocalExecutor
from cnn_experiments.sweep.executors.slurm import SlurmExecutor
from cnn_experiments.sweep.plan import PlannedRun


class RecordingObserver:
    """An observer that records what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_launch(self) -> None:
        self.events.append("launch")

    def on_start(self, run: PlannedRun) -> None:
        self.events.append(f"start {run.directory.name}")

    def on_skip(self, run: PlannedRun) -> None:
        raise AssertionError("a launcher skips no run")

    def on_end(
        self,
        run: PlannedRun,
        status: Status,
        *,
        error: str | None = None,
        signal: str | None = None,
        is_rejected: bool = False,
    ) -> bool:
        self.events.append(f"end {run.directory.name} {status} {error or signal}")
        return True

    def runs_to_stop(self) -> list[PlannedRun]:
        return []


class StubLauncher(Launcher):
    """A launcher that records its jobs and does something with each, and raises its error if it has one."""

    def __init__(self, work: Callable[[str], object] = lambda _: None, error: BaseException | None = None) -> None:
        self.jobs: list[list[str]] = []
        self._work = work
        self._error = error

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None: ...

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        assert initial_job_idx == 0
        self.jobs += map(list, job_overrides)
        for job in job_overrides:
            self._work(job[-1])
        if self._error:
            raise self._error
        return []


def make_runs(sweep: Path, *names: str) -> list[PlannedRun]:
    config = cast(ComposedConfig, SimpleNamespace(overrides=["model=lenet", "seed=1"], settings={"seed": 1}))
    return [PlannedRun(config, sweep / name) for name in names]


def test_launcher_gets_the_overrides_and_the_directory_of_every_run(tmp_path: Path) -> None:
    launcher, observer = StubLauncher(), RecordingObserver()
    HydraLauncherExecutor(launcher).run(make_runs(tmp_path, "lenet-seed1", "it's lenet"), observer)
    assert observer.events[:3] == ["launch", "start lenet-seed1", "start it's lenet"]
    assert [job[:-1] for job in launcher.jobs] == [["model=lenet", "seed=1"]] * 2
    directories = OverridesParser.create().parse_overrides([job[-1] for job in launcher.jobs])
    assert [(override.key_or_group, override.value()) for override in directories] == [
        ("hydra.sweep.subdir", "lenet-seed1"),
        ("hydra.sweep.subdir", "it's lenet"),
    ]


def test_ends_are_reported_from_the_directories_also_if_the_launcher_gives_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = make_runs(tmp_path, "started", "rejected", "not-started")

    def work(job: str) -> None:
        if "not-started" in job:
            return
        assert (tmp_path / "started" / ".plan.json").exists()
        if "rejected" in job:
            record_rejection(tmp_path / "rejected", "seed=2: configuration changed")
        else:
            (tmp_path / "started" / "results.json").touch()

    observer = RecordingObserver()
    with caplog.at_level(logging.ERROR):
        HydraLauncherExecutor(StubLauncher(work, ZeroDivisionError("a worker died"))).run(runs, observer)
    assert [event.partition(" (test_")[0] for event in observer.events[4:]] == [
        "end started failed ZeroDivisionError: a worker died",
        "end rejected failed seed=2: configuration changed",
        "end not-started interrupted ZeroDivisionError: a worker died",
    ]
    assert list(tmp_path.rglob(".plan.json")) == []
    (record,) = caplog.records
    assert record.getMessage() == "StubLauncher ended before its runs"


def test_signal_is_reported_for_every_run_and_ends_the_sweep(tmp_path: Path) -> None:
    observer = RecordingObserver()
    with pytest.raises(Interrupted):
        HydraLauncherExecutor(StubLauncher(error=Interrupted(signal.SIGTERM))).run(make_runs(tmp_path, "run"), observer)
    assert observer.events == ["launch", "start run", "end run interrupted SIGTERM"]


def test_run_whose_directory_cannot_be_made_fails_and_the_others_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    launcher, observer = StubLauncher(), RecordingObserver()
    HydraLauncherExecutor(launcher).run(make_runs(tmp_path, "file", "run"), observer)
    assert observer.events[1:3] == ["start file", f"end file failed File exists: {tmp_path}/file"]
    assert [job[-1] for job in launcher.jobs] == ["hydra.sweep.subdir='run'"]


@pytest.mark.parametrize("name", ["console.log", "run.log"])
@pytest.mark.parametrize("is_fifo", [True, False])
def test_run_whose_directory_has_foreign_files_is_not_started(tmp_path: Path, name: str, is_fifo: bool) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "linked").mkdir()
    foreign = tmp_path / "linked" / name
    if is_fifo:
        os.mkfifo(foreign)
    else:
        foreign.symlink_to(tmp_path / "mine")
    launcher, observer = StubLauncher(), RecordingObserver()
    HydraLauncherExecutor(launcher).run(make_runs(tmp_path, "linked", "run"), observer)
    problem = f"{foreign} must be a regular file{'' if is_fifo else ', not a link'}"
    assert observer.events[1:4] == ["start linked", f"end linked failed {problem}", "start run"]
    assert [job[-1] for job in launcher.jobs] == ["hydra.sweep.subdir='run'"]
    assert [path.name for path in (tmp_path / "linked").iterdir()] == [name]


@pytest.mark.parametrize("error", [ConfigError("seed", 1, problem="no"), RunFailedError("no")])
def test_known_error_of_a_launcher_ends_the_sweep(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as exc_info:
        HydraLauncherExecutor(StubLauncher(error=error)).run(make_runs(tmp_path, "lenet"), RecordingObserver())
    assert exc_info.value is error
    assert list(tmp_path.rglob(".plan.json")) == []


@pytest.mark.parametrize(
    ("make_executor", "max_parallel", "supports_stop", "supports_pruning"),
    [
        (lambda: LocalExecutor(jobs=3), 3, True, True),
        (lambda: SlurmExecutor(array_parallelism=16), 16, True, False),
        (lambda: HydraLauncherExecutor(StubLauncher()), 1, False, False),
    ],
)
def test_executors_declare_their_capabilities(
    make_executor: Callable[[], Executor], max_parallel: int, supports_stop: bool, supports_pruning: bool
) -> None:
    executor = make_executor()
    supported: tuple[Any, ...] = (executor.capacity([]).max_parallel, executor.supports_stop, executor.supports_pruning)
    assert supported == (max_parallel, supports_stop, supports_pruning)


@pytest.mark.parametrize(
    ("make_executor", "message"),
    [
        (lambda: LocalExecutor(jobs=0), "hydra.launcher.jobs=0: must be auto or an integer from 1 to 1024"),
        (
            lambda: LocalExecutor(jobs=10**9),
            "hydra.launcher.jobs=1000000000: must be auto or an integer from 1 to 1024",
        ),
        (
            lambda: SlurmExecutor(array_parallelism=10**9),
            "hydra.launcher.array_parallelism=1000000000: must be an integer from 1 to 100000",
        ),
        (
            lambda: SlurmExecutor(array_parallelism=16, additional_parameters="account=mine"),
            "hydra.launcher.additional_parameters=account=mine: must be a dictionary of options of sbatch",
        ),
        (
            lambda: SlurmExecutor(array_parallelism=16, mem_gb="8G"),
            "hydra.launcher.mem_gb=8G: must be an integer from 1 to 1000000 or null",
        ),
    ],
)
def test_settings_of_an_executor_are_checked(make_executor: Callable[[], Executor], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        make_executor()
    assert str(error.value) == message
