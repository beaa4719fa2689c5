"""Folders are claimed before Hydra writes into them."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, read_write

from cnn_experiments.config.hydra_errors import CONF
from hydra_plugins.cnn_experiments_callbacks import Gate


def command(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=True)


@pytest.fixture(autouse=True)
def checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """These commands are good ones."""
    monkeypatch.setattr("hydra_plugins.cnn_experiments_callbacks._check", lambda _: None)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    monkeypatch.chdir(tmp_path)


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    folders = []
    for _ in range(3):
        config = command()
        with read_write(config.hydra):
            config.hydra.run.dir = "outputs/20-00-00-lenet"
        Gate().on_run_start(config)
        folders.append(config.hydra.run.dir)
    assert folders == [f"outputs/20-00-00-lenet{end}" for end in ("", "-2", "-3")]
    assert all((tmp_path / folder).is_dir() for folder in folders)


def test_a_folder_that_is_named_must_be_new(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.tex").touch()
    config = command("hydra.run.dir=mine")
    config.hydra.overrides.hydra.append("hydra.run.dir=mine")
    with pytest.raises(SystemExit) as end:
        Gate().on_run_start(config)
    assert end.value.code == 2
    assert capsys.readouterr().err == "hydra.run.dir=mine: must be a new folder; this one is there already\n"


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "RANK", "SLURM_PROCID"])
def test_further_processes_of_a_run_use_the_folder_of_the_first(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine").mkdir()
    monkeypatch.setenv(variable, "1")
    config = command("hydra.run.dir=mine")
    Gate().on_run_start(config)
    assert config.hydra.run.dir == "mine"


def test_other_sweepers_are_kept_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        Gate().on_multirun_start(command("hydra/sweeper=basic"))
    assert end.value.code == 2
    assert capsys.readouterr().err == "hydra/sweeper=basic: must be one of grid, optuna\n"


def test_an_unforeseen_error_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("hydra_plugins.cnn_experiments_callbacks._check", fail)
    with pytest.raises(SystemExit) as end:
        Gate().on_run_start(command())
    assert end.value.code == 1
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err
