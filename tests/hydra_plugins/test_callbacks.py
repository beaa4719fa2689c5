"""Tests of the callback that checks a run and claims its directory before Hydra writes anything."""

import json
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, read_write

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.runs import lock
from hydra_plugins.cnn_experiments_callbacks import RunDirectoryCallback


def compose_command(*overrides: str) -> DictConfig:
    return config_loader().load_configuration("config", list(overrides), run_mode=RunMode.RUN)


@pytest.fixture(autouse=True)
def empty_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    monkeypatch.setattr(sys, "argv", ["program"])
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def without_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the check of the settings, for tests of directories."""
    monkeypatch.setattr("hydra_plugins.cnn_experiments_callbacks._check", lambda _: None)


def run_rejected(capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    """Start a run that must be rejected, and return its error message."""
    with pytest.raises(SystemExit) as system_exit:
        RunDirectoryCallback().on_run_start(compose_command(*overrides))
    assert system_exit.value.code == 2
    output, errors = capsys.readouterr()
    assert output == ""
    return errors


def write_results(directory: Path, status: str, *overrides: str) -> None:
    directory.mkdir(parents=True)
    results = {
        "status": status,
        "model": "lenet",
        "data": "fashion_mnist",
        "overrides": [],
        "seed": 0,
        "metrics": {},
        "identity": ComposedConfig.from_overrides(*overrides).run_id,
    }
    (directory / "results.json").write_text(json.dumps(results))


@pytest.mark.usefixtures("without_check")
def test_runs_of_the_same_second_get_directories_of_their_own(tmp_path: Path) -> None:
    directories = []
    for _ in range(3):
        config = compose_command()
        with read_write(config.hydra):
            config.hydra.run.dir = "outputs/20-00-00-lenet"
        RunDirectoryCallback().on_run_start(config)
        directories.append(config.hydra.run.dir)
    assert directories == [f"outputs/20-00-00-lenet{suffix}" for suffix in ("", "-2", "-3")]
    assert all((tmp_path / directory).is_dir() for directory in directories)


@pytest.mark.usefixtures("without_check")
def test_named_directory_must_be_new(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.tex").touch()
    line = run_rejected(capsys, "hydra.run.dir=mine")
    assert line == "hydra.run.dir=mine: must be a new directory, or one in which this same run stopped\n"


@pytest.mark.usefixtures("without_check")
def test_named_directory_must_not_be_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").touch()
    assert run_rejected(capsys, "hydra.run.dir=mine") == "hydra.run.dir=mine: must be a directory; this is a file\n"


@pytest.mark.usefixtures("without_check")
@pytest.mark.parametrize(
    ("status", "overrides", "problem"),
    [
        ("completed", ["seed=1"], "this run is already completed there"),
        ("completed", ["seed=2"], "must be a new directory, or one in which this same run stopped"),
        ("interrupted", ["seed=2"], "must be a new directory, or one in which this same run stopped"),
    ],
)
def test_named_directory_with_a_run_is_rejected(
    capsys: pytest.CaptureFixture[str], status: str, overrides: list[str], problem: str
) -> None:
    write_results(Path("mine"), status, "seed=1")
    try:
        line = run_rejected(capsys, "hydra.run.dir=mine", *overrides)
    finally:
        lock.release(Path("mine"))
    assert line == f"hydra.run.dir=mine: {problem}\n"


@pytest.mark.usefixtures("without_check")
def test_named_directory_in_which_this_run_stopped_is_used() -> None:
    write_results(Path("mine"), "interrupted", "seed=1")
    config = compose_command("hydra.run.dir=mine", "seed=1")
    RunDirectoryCallback().on_run_start(config)
    assert config.hydra.run.dir == "mine"
    lock.release(Path("mine"))


@pytest.mark.usefixtures("without_check")
@pytest.mark.parametrize("variable", ["LOCAL_RANK", "RANK", "SLURM_PROCID"])
def test_other_processes_of_a_run_use_the_directory_of_the_first(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine").mkdir()
    monkeypatch.setenv(variable, "1")
    config = compose_command("hydra.run.dir=mine")
    RunDirectoryCallback().on_run_start(config)
    assert config.hydra.run.dir == "mine"


@pytest.mark.usefixtures("without_check")
def test_task_without_a_run_directory_writes_nothing(tmp_path: Path) -> None:
    config = compose_command("task=inspect")
    RunDirectoryCallback().on_run_start(config)
    assert config.hydra.run.dir == "."
    assert config.hydra.output_subdir is None
    assert "file" not in config.hydra.job_logging.handlers
    assert "file" not in config.hydra.job_logging.root.handlers
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["optimizer.lr=fast"], "optimizer.lr=fast: must be a number > 0"),
        (["task=trian"], "task=trian: must be one of train, inspect; did you mean train?"),
        (
            ["data.resize=15"],
            "data.resize=15: this network needs images of at least 16 pixels, these have 15; did you mean data.resize=16?",
        ),
    ],
)
def test_bad_settings_are_rejected_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, overrides: list[str], line: str
) -> None:
    assert run_rejected(capsys, *overrides) == f"{line}\n"
    assert list(tmp_path.iterdir()) == []


def test_unexpected_error_ends_the_program_with_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("hydra_plugins.cnn_experiments_callbacks._check", fail)
    with pytest.raises(SystemExit) as system_exit:
        RunDirectoryCallback().on_run_start(compose_command())
    assert system_exit.value.code == 1
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err
