"""Hydra's, OmegaConf's and YAML's errors as errors of settings: one line, and exit status 2."""

import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
    SearchPathException,
)
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError
from yaml.reader import ReaderError

from cnn_experiments.config.composition import unknown_option_error
from cnn_experiments.config.hydra_internals import config_directories, parse_command_line
from cnn_experiments.config.overrides import option_names, parse_override, quote_override, values_by_key
from cnn_experiments.console import print_error
from cnn_experiments.errors import ConfigError, RunFailedError, describe_error

ConfigurationErrors = (ConfigError, HydraException, OmegaConfBaseException, YAMLError)

_KEY = re.compile(r"[~+]{0,2}[\w./@-]+")


@contextmanager
def exit_on_config_error() -> Iterator[None]:
    """End the program with one line and status 2 on bad input, and with status 1 on any other error.

    A task that failed and an error of the operating system are one line as well; all others have a traceback.

    It ends even if nothing can be printed: Hydra would turn an exception of a callback into a warning, and go on.
    """
    try:
        yield
    except ConfigurationErrors as error:
        try:
            print_error(translate(error, _typed_values()))
        finally:
            sys.exit(2)
    except RunFailedError as error:
        try:
            print_error(error)
        finally:
            sys.exit(1)
    except OSError as error:  # of what is written before the run starts, such as on a full disk
        try:
            print_error(describe_error(error))
        finally:
            sys.exit(1)
    except Exception:
        try:
            traceback.print_exc()
        finally:
            sys.exit(1)


def _typed_values() -> dict[str, str]:
    """Return the values of the overrides of the command line, by key; none if they can't be parsed."""
    try:
        return values_by_key(map(parse_override, parse_command_line().overrides))
    except (ConfigError, HydraException):
        return {}


def translate(error: Exception, typed: Mapping[str, str] | None = None) -> ConfigError:
    """Return an error of Hydra, OmegaConf or YAML as an error of a setting, an option or a file.

    Args:
        error: what was raised.
        typed: the values of the overrides that were composed, by key.
    """
    typed = typed or {}
    if isinstance(error, ConfigError):
        return error
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, ConfigError):
        return error.__cause__
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_file_error(error.missing_cfg_file, typed)
    if isinstance(error, SearchPathException):
        return ConfigError("--config-dir", parse_command_line().config_dir, problem="must be a directory")
    if isinstance(error, OverrideParseException):
        return _syntax_error(error)
    if isinstance(error, YAMLError):
        return _yaml_error(error)
    cause = error.__cause__
    if isinstance(cause, ConfigError):  # of a resolver
        return cause
    for omegaconf_error in (error, cause):
        if isinstance(omegaconf_error, OmegaConfBaseException) and omegaconf_error.full_key:
            key = omegaconf_error.full_key
            value = [typed[key]] if key in typed else []
            return ConfigError(key, *value, problem=str(omegaconf_error.msg).partition("\n")[0])
    lines = [" ".join(str(part).split()) for part in (error, cause or "")]
    key, *rest = filter(None, lines)
    return ConfigError(key, problem=rest[0]) if rest else _whole_line(key)


def _whole_line(line: str) -> ConfigError:
    head, separator, tail = line.partition(": ")
    return ConfigError(head, problem=tail) if separator else ConfigError("configuration", problem=line)


def _syntax_error(error: OverrideParseException) -> ConfigError:
    key, separator, value = str(error.override).partition("=")
    if not separator or not _KEY.fullmatch(key):
        return ConfigError(error.override or "''", problem="must be KEY=VALUE")
    if value.startswith(("[", "{")):
        remedy = f'brackets need quotes for the shell, and a list has commas: "{key}=[1,2]"'
    elif value.startswith("${") or "(" in value:
        remedy = None
    else:
        remedy = f'quote special characters for the shell and for Hydra: "{quote_override(key, value)}"'
    reason = str(error).splitlines()[0]
    is_of_parser = reason.startswith(("mismatched", "no viable", "extraneous"))
    return ConfigError(
        error.override, problem="must be KEY=VALUE", context=(reason,) if is_of_parser else (), remedy=remedy
    )


def _yaml_error(error: YAMLError) -> ConfigError:
    place, problem = "configuration", str(error)
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        place, problem = f"{error.problem_mark.name}:{error.problem_mark.line + 1}", str(error.problem)
    elif isinstance(error, ReaderError):
        place, problem = str(error.name), f"{error.reason} (character {error.position + 1})"
    return ConfigError(place, problem=f"is not valid YAML: {' '.join(problem.split())}")


def _missing_file_error(file: str, typed: Mapping[str, str]) -> ConfigError:
    """Return the error for the file of an option, `model/lenett`, or for that of `--config-name`."""
    group, _, option = file.partition("/")
    if group == "hydra":
        kind, _, option = option.partition("/")
        group = f"hydra/{kind}"
    if option:
        error = unknown_option_error(group, option, option_names(group))
        is_typed = any(option in value for value in typed.values())
        return error if is_typed else error.with_context("in the defaults of a file")
    directories = " or ".join(map(str, config_directories()))
    return ConfigError("--config-name", file, problem=f"not found in {directories}")
