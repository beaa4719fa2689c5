"""What this package uses of Hydra's private modules: an upgrade of Hydra touches this file alone."""

import functools
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.types import ChoiceSweep, Override, ValueType

from cnn_experiments.config.sources import CONF
from cnn_experiments.errors import ConfigError


@dataclass(frozen=True, eq=False)
class _Call:
    """A call from Python. What is cached of the configuration belongs to it: files may change until the next call."""

    words: tuple[str, ...]


_call: ContextVar[_Call | None] = ContextVar("_call", default=None)


@contextmanager
def command_line(words: Sequence[str]) -> Iterator[None]:
    """Let the block take these words for the command line, in place of `sys.argv`, which may be another program's.

    The files of the configuration are read anew.
    """
    token = _call.set(_Call(tuple(words)))
    try:
        yield
    finally:
        _call.reset(token)


_P = ParamSpec("_P")
_T = TypeVar("_T")


def cached_by_command_line(maxsize: int) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Cache the results of a function that depend on the files of the configuration, for each command line apart."""

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        @functools.lru_cache(maxsize)
        def cached(_: _Call | None, *arguments: _P.args, **keywords: _P.kwargs) -> _T:
            return function(*arguments, **keywords)

        @functools.wraps(function)
        def wrapper(*arguments: _P.args, **keywords: _P.kwargs) -> _T:
            return cached(_call.get(), *arguments, **keywords)  # type: ignore[arg-type]  # all are hashable

        wrapper.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
        return wrapper

    return decorate


@functools.cache
def _parser() -> ArgumentParser:
    parser = get_args_parser()
    parser.exit_on_error = False
    parser.error = _reject  # type: ignore[method-assign]  # it would print all flags and exit
    return parser


def _reject(message: str) -> NoReturn:
    raise ConfigError("flags", problem=message)


def parse_command_line() -> Namespace:
    """Return Hydra's flags and the overrides of the command line, which may stand in any order.

    The words are those of `command_line`, else of `sys.argv`.

    Raises:
        ConfigError: a flag has no value, or one that is not allowed.
    """
    call = _call.get()
    try:
        return _parse_words(tuple(sys.argv[1:]) if call is None else call.words)
    except ArgumentError as error:
        raise ConfigError(str(error.argument_name).partition("/")[0], problem=error.message) from error


@functools.lru_cache(maxsize=8)
def _parse_words(words: tuple[str, ...]) -> Namespace:
    arguments, _ = _parser().parse_known_intermixed_args(words)
    return arguments


def flag_names() -> list[str]:
    """Return all of Hydra's flags, such as `--config-dir`."""
    return [flag for action in _parser()._actions for flag in action.option_strings]


def flag_words(arguments: Namespace) -> list[str]:
    """Return the words of a command line that give these flags."""
    words: list[str] = []
    for action in _parser()._actions:
        value = getattr(arguments, action.dest, None)
        if action.option_strings and value not in (None, False):
            words += [action.option_strings[0], *([] if value is True else [value])]
    return words


def config_directories() -> list[Path]:
    """Return the directories with the groups: the program's own and that of `--config-dir`."""
    config_dir = parse_command_line().config_dir
    return [CONF, *([Path(config_dir)] if config_dir else [])]


@cached_by_command_line(maxsize=8)
def config_loader() -> ConfigLoader:
    """Return a loader of its own, so that Hydra's global state stays as it is."""
    search_path = create_config_search_path(str(CONF))
    for directory in config_directories()[1:]:
        # Hydra wants its schemas last, and puts the directory of the command line before them.
        search_path.prepend("command-line", f"file://{directory.absolute()}", SearchPathQuery(provider="schema"))
    return ConfigLoaderImpl(search_path)


def sweep_over(override: Override, options: Sequence[str]) -> Override:
    """Return an override that is a sweep over options."""
    return replace(override, value_type=ValueType.CHOICE_SWEEP, _value=ChoiceSweep(list=list(options)))


def expand_grid(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of every combination of the values of sweep overrides."""
    (combinations,) = BasicSweeper.split_arguments(list(overrides), max_batch_size=None)
    return [list(combination) for combination in combinations]
