"""A call from Python: composed and checked as the command line is, with another one's `sys.argv` left alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig

from cnn_experiments.config.command_line import check_command_line
from cnn_experiments.config.composed import ComposedConfig, make_paths_absolute, translated_errors
from cnn_experiments.config.hydra_internals import command_line, config_loader
from cnn_experiments.config.overrides import parse_override, value_text
from cnn_experiments.errors import ConfigError

_HYDRA_KEYS = ("hydra.run.dir", "hydra.job.chdir", "hydra.searchpath", "hydra.mode")
"""Hydra's own settings that count in a call: nothing configures logging, and no sweep is run."""


@dataclass(frozen=True)
class RunCall:
    """One run that Python asks for."""

    config: ComposedConfig
    """Its settings, as typed."""
    config_for_run: ComposedConfig
    """The same with absolute paths: the user's code may change the working directory."""
    directory: Path
    """The directory that was typed, or the one that the settings choose."""
    changes_directory: bool
    """Whether the run's directory becomes the working directory while it runs."""

    @property
    def names_directory(self) -> bool:
        """Return whether the directory was typed."""
        return self.config.names_directory


@contextmanager
def configured(config_dir: str | Path | None, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Let the block find options in this package and in the user's directory, whose files are read anew.

    Args:
        config_dir: the directory of the user's own options, as that of `--config-dir`.
        overrides: what was typed, which errors show.

    Raises:
        ConfigError: the directory does not exist, or the configuration can't be composed.
    """
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError("config_dir", config_dir, problem="must be a directory")
    with command_line([*_flags(config_dir), *overrides]), translated_errors([]):
        yield


def compose_call(config_dir: str | Path | None, overrides: Sequence[str]) -> RunCall:
    """Compose one run, within `configured` with the same arguments.

    Raises:
        ConfigError: what a command with these overrides would be rejected for before its settings are validated; or
            they are those of a sweep.
    """
    _check_words(overrides)
    flags = _flags(config_dir)
    lines = check_command_line([*flags, *overrides])[len(flags) :]
    for line in overrides:
        _check_override(line)
    config = config_loader().load_configuration("config", lines, run_mode=RunMode.RUN)
    typed = ComposedConfig(config)
    directory = _run_directory(config)
    changes_directory = bool(config.hydra.job.chdir)
    make_paths_absolute(config, Path.cwd())
    return RunCall(typed, ComposedConfig(config), directory, changes_directory)


def _flags(config_dir: str | Path | None) -> list[str]:
    return [] if config_dir is None else ["--config-dir", str(config_dir)]


def _check_words(overrides: Sequence[str]) -> None:
    for word in overrides:
        if not isinstance(word, str):
            raise ConfigError(str(word), problem='must be text, such as "model=lenet"')
        if word.startswith("-"):
            problem = (
                "flags are for the command line, where -m makes a sweep; the directory of your options is config_dir"
            )
            raise ConfigError(word, problem=problem)


def _check_override(line: str) -> None:
    override = parse_override(line)
    key = override.key_or_group
    if override.is_hydra_override() and key not in _HYDRA_KEYS:
        problem = f"has no effect here; of Hydra's settings, these have one: {', '.join(_HYDRA_KEYS[:-1])}"
        raise ConfigError(key, value_text(override), problem=problem)


def _run_directory(config: DictConfig) -> Path:
    """Return `hydra.run.dir`, which refers to the time and to other settings of Hydra."""
    setup_globals()
    outer = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(config)
        return Path(config.hydra.run.dir)
    finally:
        HydraConfig.instance().cfg = outer
