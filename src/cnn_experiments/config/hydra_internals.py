"""What this package uses of Hydra's private modules: an upgrade of Hydra touches this file alone."""

import functools
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.types import Override

from cnn_experiments.config.sources import CONF


@functools.cache
def _parser() -> ArgumentParser:
    return get_args_parser()


def parse_command_line() -> Namespace:
    """Return Hydra's flags and the overrides of the command line."""
    arguments, _ = _parser().parse_known_args()
    return arguments


def flag_names() -> list[str]:
    """Return all of Hydra's flags, such as `--config-dir`."""
    return [flag for action in _parser()._actions for flag in action.option_strings]


def config_directories() -> list[Path]:
    """Return the directories with the groups: the program's own and that of `--config-dir`."""
    config_dir = parse_command_line().config_dir
    return [CONF, *([Path(config_dir)] if config_dir else [])]


@functools.cache
def config_loader() -> ConfigLoader:
    """Return a loader of its own, so that Hydra's global state stays as it is."""
    search_path = create_config_search_path(str(CONF))
    for directory in config_directories()[1:]:
        # Hydra wants its schemas last, and puts the directory of the command line before them.
        search_path.prepend("command-line", f"file://{directory.absolute()}", SearchPathQuery(provider="schema"))
    return ConfigLoaderImpl(search_path)


def expand_grid(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of every combination of the values of sweep overrides."""
    (combinations,) = BasicSweeper.split_arguments(list(overrides), max_batch_size=None)
    return [list(combination) for combination in combinations]
