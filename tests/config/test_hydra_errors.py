"""Tests of translating errors of Hydra and OmegaConf into one line."""

import io
import sys
from collections.abc import Callable

import pytest
from hydra.errors import HydraException, InstantiationException, SearchPathException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnn_experiments.config.hydra_errors import exit_on_config_error, translate
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.errors import ConfigError

SetArgv = Callable[..., None]


def compose_command(*overrides: str, config_name: str = "config") -> None:
    config_loader().load_configuration(config_name, list(overrides), run_mode=RunMode.RUN)


def line_of(*overrides: str, config_name: str = "config") -> str:
    with pytest.raises((HydraException, OmegaConfBaseException, YAMLError, ValueError)) as error:
        compose_command(*overrides, config_name=config_name)
    return str(translate(error.value))


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


def exit_status(error: Exception) -> object:
    with pytest.raises(SystemExit) as system_exit, exit_on_config_error():
        raise error
    return system_exit.value.code


def test_config_error_ends_the_program_with_one_line_and_status_2(
    set_argv: SetArgv, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(ConfigError("a", 1, problem="must be 2")) == 2
    assert capsys.readouterr() == ("", "a=1: must be 2\n")


@pytest.mark.usefixtures("set_argv")
def test_any_other_error_ends_the_program_with_a_traceback_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(ZeroDivisionError("a bug")) == 1
    assert capsys.readouterr().err.endswith("\nZeroDivisionError: a bug\n")


class FullDisk(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.usefixtures("set_argv")
@pytest.mark.parametrize(("error", "status"), [(ConfigError("a", 1, problem="must be 2"), 2), (KeyError("a bug"), 1)])
def test_error_that_cannot_be_printed_ends_the_program_too(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    monkeypatch.setattr(sys, "stderr", FullDisk())
    assert exit_status(error) == status


@pytest.mark.usefixtures("set_argv")
def test_line_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(ConfigError("\x1b[31mseed\n", "\udcff", problem="must be 2")) == 2
    assert capsys.readouterr().err == "\\x1b[31mseed\\n=\\udcff: must be 2\n"
