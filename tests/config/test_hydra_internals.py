"""Tests of the command line that a call from Python has in place of `sys.argv`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.composition import known_groups
from cnn_experiments.config.hydra_internals import command_line, config_directories, config_loader, parse_command_line
from cnn_experiments.config.overrides import parse_override
from cnn_experiments.config.sources import CONF


def directory_with(path: Path, group: str, option: str) -> Path:
    (path / group).mkdir(parents=True)
    (path / group / f"{option}.yaml").write_text("value: 1\n")
    return path


def test_words_stand_in_for_those_of_another_program(set_argv: Callable[..., None], tmp_path: Path) -> None:
    set_argv("-f", "kernel.json")
    with command_line(["--config-dir", str(tmp_path), "seed=1"]):
        assert parse_command_line().overrides == ["seed=1"]
        assert config_directories() == [CONF, tmp_path]
        with command_line([]):
            assert config_directories() == [CONF]
        assert config_directories() == [CONF, tmp_path]


@pytest.mark.usefixtures("set_argv")
def test_what_is_cached_belongs_to_one_command_line(tmp_path: Path) -> None:
    first, second = directory_with(tmp_path / "1", "mine", "a"), directory_with(tmp_path / "2", "mine", "b")
    options = []
    for directory in (first, second):
        with command_line(["--config-dir", str(directory)]):
            assert config_loader() is config_loader()
            assert "mine" in known_groups()
            options.append(str(parse_override("mine=glob(*)").sweep_string_iterator().__next__()))
            options += ComposedConfig.from_overrides(f"+mine={options[-1]}").choices["mine"]
    assert options == ["a", "a", "b", "b"]
    assert "mine" not in known_groups()


@pytest.mark.usefixtures("set_argv")
def test_files_are_read_anew_for_each_call(tmp_path: Path) -> None:
    directory = directory_with(tmp_path, "mine", "a")
    for value in (1, 2):
        (directory / "mine" / "a.yaml").write_text(f"value: {value}\n")
        with command_line(["--config-dir", str(directory)]):
            assert ComposedConfig.from_overrides("+mine=a").settings["mine"] == {"value": value}
