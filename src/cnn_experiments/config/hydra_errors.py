"""Hydra's and OmegaConf's errors as errors of settings: one line, and exit status 2."""

import sys
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
    SearchPathException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnn_experiments.config.hydra_internals import config_directories, config_loader, parse_command_line
from cnn_experiments.config.schema import unknown_key_error
from cnn_experiments.config.sources import find_groups, find_options
from cnn_experiments.errors import ConfigError, describe_error, format_value, suggest
from cnn_experiments.runs.fingerprint import flatten
from cnn_experiments.runs.settings import split_override

_MAX_LISTED = 25
"""If a group has more options than this, an error lists only those beside the nearest one, or folders."""

ConfigurationErrors = (ConfigError, HydraException, OmegaConfBaseException, YAMLError)


@contextmanager
def exit_on_config_error() -> Iterator[None]:
    """End the program with one line and status 2 on bad input, and with status 1 on any other error.

    An error of the operating system is one line as well; all others have a traceback.

    Hydra would turn an exception of a callback into a warning.
    """
    try:
        yield
    except ConfigurationErrors as error:
        print(translate(error), file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # of what Hydra writes before the run starts, such as on a full disk
        print(f"failed: {describe_error(error)}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        # Hydra raises a plain ValueError for an option that is no string, such as model=null.
        if type(error) is ValueError and (config_error := _error_in_overrides(None)):
            print(config_error, file=sys.stderr)
            sys.exit(2)
        traceback.print_exc()
        sys.exit(1)


def translate(error: Exception, overrides: Sequence[str] | None = None) -> ConfigError:
    """Return what an error of Hydra or OmegaConf means for one of the overrides, by default those of the command line.

    The cause is found by looking at the overrides; the text of the error is used only if nothing is found there.
    """
    if isinstance(error, ConfigError):
        return error
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, ConfigError):
        return error.__cause__
    arguments = parse_command_line()
    typed = dict(map(split_override, arguments.overrides if overrides is None else overrides))
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_file_error(error.missing_cfg_file, typed)
    if isinstance(error, SearchPathException):
        return ConfigError("--config-dir", arguments.config_dir, problem="must be a directory")
    if isinstance(error, OverrideParseException):
        return _syntax_error(error)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        value = [typed[error.full_key]] if error.full_key in typed else []
        return ConfigError(error.full_key, *value, problem=str(error.msg).partition("\n")[0])
    if not isinstance(error, OmegaConfBaseException | YAMLError) and (found := _error_in_overrides(overrides)):
        return found
    lines = [" ".join(str(part).split()) for part in (error, error.__cause__ or "")]
    key, *rest = filter(None, lines)
    return ConfigError(key, problem=rest[0]) if rest else _whole_line(key)


def _whole_line(line: str) -> ConfigError:
    head, separator, tail = line.partition(": ")
    return ConfigError(head, problem=tail) if separator else ConfigError("configuration", problem=line)


def _syntax_error(error: OverrideParseException) -> ConfigError:
    reason = str(error).splitlines()[0]
    if "=" not in error.override or not reason.startswith(("mismatched", "no viable", "extraneous")):
        return ConfigError(error.override, problem="must be KEY=VALUE")
    remedy = "quote special characters for the shell and for Hydra: \"KEY='VALUE'\""
    return ConfigError(error.override, problem="must be KEY=VALUE", context=(reason,), remedy=remedy)


def _missing_file_error(file: str, typed: Mapping[str, str]) -> ConfigError:
    """Return the error for the file of an option, `model/lenett`, or for that of `--config-name`."""
    group, _, option = file.partition("/")
    if group == "hydra":
        kind, _, option = option.partition("/")
        group = f"hydra/{kind}"
    if option:
        error = _unknown_option_error(group, option)
        is_typed = any(option in value for value in typed.values())
        return error if is_typed else error.with_context("in the defaults of a file")
    directories = " or ".join(map(str, config_directories()))
    return ConfigError("--config-name", file, problem=f"not found in {directories}")


def _unknown_option_error(group: str, option: str) -> ConfigError:
    options = sorted({*find_options(group, config_directories()), *config_loader().get_group_options(group)})
    suggestion = suggest(option, options)
    listed = options
    if len(options) > _MAX_LISTED:
        folder = suggestion.rpartition("/")[0] if suggestion else ""
        listed = [name for name in options if name.rpartition("/")[0] == folder]
        listed += ["..."] if folder else sorted({f"{name.partition('/')[0]}/..." for name in options if "/" in name})
    return ConfigError(group, option, problem=f"unknown option; allowed: {', '.join(listed)}", suggestion=suggestion)


def _error_in_overrides(overrides: Sequence[str] | None) -> ConfigError | None:
    """Return what is wrong with the first override that can't be applied to the chosen options.

    Args:
        overrides: of one run; None takes those of the command line.
    """
    arguments = parse_command_line()
    is_sweep = bool(arguments.multirun or overrides is not None)
    try:
        parser = OverridesParser.create(config_loader())
        parsed = parser.parse_overrides(list(arguments.overrides if overrides is None else overrides))
    except OverrideParseException:
        return None
    groups = find_groups(config_directories())
    default_groups = set(_compose([]).hydra.runtime.choices)
    for override in parsed:
        if override.is_sweep_override() and not is_sweep:
            return ConfigError(str(override.input_line), problem="several values make a sweep, which needs -m")
        if override.key_or_group in groups and (error := _group_error(override, default_groups)):
            return error
    known = _known_keys([override for override in parsed if override.key_or_group in groups])
    for override in parsed:
        if override.key_or_group in groups:
            continue
        key, value = override.key_or_group, str(override.input_line).partition("=")[2]
        if override.is_delete():
            if not key.startswith("hydra."):
                return ConfigError(str(override.input_line), problem="keys can't be deleted")
            continue
        is_known = key in known or any(name.startswith(f"{key}.") for name in known)
        if is_known and override.is_add() and not override.is_force_add():
            return ConfigError(f"+{key}", value, problem="key already exists; remove the +")
        if not is_known:
            return unknown_key_error(key, value, [*known, *default_groups])
    return None


def _group_error(override: Override, default_groups: Collection[str]) -> ConfigError | None:
    """Return what is wrong with the choice of an option by itself."""
    group, value = override.key_or_group, str(override.input_line).partition("=")[2]
    if override.is_delete():
        return None
    if not override.is_sweep_override() and not isinstance(override.value(), str | list):
        return _unknown_option_error(group, format_value(override.value()))
    if override.package is not None:
        problem = "an option can't be put elsewhere"
        return ConfigError(f"{group}@{override.package}", value, problem=problem, suggestion=f"{group}={value}")
    if group in default_groups and override.is_add():
        return ConfigError(f"+{group}", value, problem="an option of this group is already chosen; remove the +")
    if group not in default_groups and not override.is_add():
        problem = "no option of this group is chosen by default, so it must begin with a +"
        return ConfigError(group, value, problem=problem, suggestion=f"+{group}={value}")
    return None


def _compose(choices: list[str]) -> DictConfig:
    """Return the configuration with these options, Hydra's own node in it."""
    name = parse_command_line().config_name or "config"
    return config_loader().load_configuration(name, choices, run_mode=RunMode.RUN)


def _known_keys(choices: Sequence[Override]) -> list[str]:
    """Return all keys under the chosen options, Hydra's own among them."""
    lines = [str(override.input_line) for override in choices if not override.is_sweep_override()]
    try:
        config = _compose(lines)
    except HydraException:  # an unknown option, which is reported when this is corrected
        config = _compose([])
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    return list(flatten({str(key): value for key, value in container.items()}))
