"""The command line, checked before Hydra composes anything from it."""

import importlib.util
import logging
import os
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException

from cnn_experiments.config.composed import translated_errors, typed_over_recipe
from cnn_experiments.config.composition import (
    Composition,
    check_key,
    choices_of,
    compose_options,
    is_choice,
    is_known_key,
    is_new_part,
    known_groups,
)
from cnn_experiments.config.hydra_internals import flag_names, flag_words, parse_command_line
from cnn_experiments.config.instantiate import find_target
from cnn_experiments.config.overrides import apply_later, is_of_sweep, parse_override, quote_override, value_text
from cnn_experiments.config.rules import BOOL, STRING
from cnn_experiments.config.sources import CONF, find_groups
from cnn_experiments.errors import ConfigError, suggest
from cnn_experiments.runs.fingerprint import DESCRIPTION_KEYS, SWEEP_KEYS
from cnn_experiments.runtime.distributed import is_started_by_lightning

_HYDRA_KEYS = (
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.launcher.",
    "hydra.sweeper.",
    "hydra.mode",
    "hydra.verbose",
    "hydra.job.chdir",
    "hydra.searchpath",
    "hydra/launcher",
    "hydra/sweeper",
    "hydra/job_logging",
    "hydra/hydra_logging",
)
"""What may be typed of Hydra's own settings. The others are the program's: they would switch off its checks."""

_KEYS_OF_FURTHER_PROCESSES = ("hydra.job.name", "hydra.output_subdir")
"""What Lightning adds to the command of a run when it starts the run's other processes."""

_SWEEPERS = "hydra_plugins.cnn_experiments_sweepers."
_CALLBACKS = {"run_directory": "hydra_plugins.cnn_experiments_callbacks.RunDirectoryCallback"}
_LAUNCHERS = ("cnn_experiments.sweep.executors.", "hydra._internal.core_plugins.", "hydra_plugins.")


def check_command_line(words: Sequence[str]) -> list[str]:
    """Return the words of the command line for Hydra: its flags, then the overrides.

    Raises:
        ConfigError: a flag can't be used, an override can't be read, or a setting or an option does not exist.
    """
    for word in words:
        if not word.isascii() and word != word.encode(errors="replace").decode():
            raise ConfigError(word, problem="must be UTF-8")
    _check_flag_names(words)
    arguments = parse_command_line()
    _check_flags(arguments)
    if arguments.shell_completion:
        return list(words)
    typed = _parse(arguments.overrides)
    for override in typed:
        _check_hydra_key(override)
    with translated_errors(typed):
        options = compose_options(arguments.config_name or "config", choices_of(typed))
    _check_settings_exist(options)
    _check_hydra_settings(options)
    if arguments.package not in (None, "_global_") and not is_known_key(arguments.package, options):
        raise ConfigError("--package", arguments.package, problem="there is no such part of the configuration")
    is_sweep = arguments.multirun or str(options.hydra["mode"]).endswith("MULTIRUN")
    lines = _check_sweep(typed, options) if is_sweep else _check_run(typed, options, arguments)
    return [*flag_words(arguments), *lines]


def _parse(lines: Sequence[str]) -> list[Override]:
    """Parse overrides; of one that the shell has split at its spaces, the error shows the whole."""
    typed = []
    for place, line in enumerate(lines):
        try:
            with translated_errors([]):
                typed.append(parse_override(line))
        except ConfigError as error:
            whole = next(filter(_is_override, _joined(lines[place:])), None)
            if whole is None:
                raise
            raise ConfigError(
                line, problem="has spaces, which the shell splits", remedy=f'quote it: "{whole}"'
            ) from error
    return typed


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """Yield the first two, three, ... of some words as one."""
    return (" ".join(lines[:count]) for count in range(2, len(lines) + 1))


def _is_override(line: str) -> bool:
    try:
        return parse_override(line).value_type is not None
    except (ConfigError, HydraException, RecursionError):
        return False


def _check_flag_names(words: Sequence[str]) -> None:
    """Check that all flags exist and are written in full, because argparse accepts abbreviations."""
    known = flag_names()
    for word in words:
        flag, _, value = word.partition("=")
        name = flag.lstrip("-")
        if flag.startswith("--") and flag not in known:
            if value or name in find_groups([CONF]):
                override = f"{name}={value or 'OPTION'}"
                raise ConfigError(flag, problem=f"unknown flag; overrides have no dashes: {override}")
            raise ConfigError(flag, problem="unknown flag", suggestion=suggest(flag, known))
        if flag.startswith("-") and flag[:2] not in {known_flag[:2] for known_flag in known}:
            raise ConfigError(flag, problem="unknown flag")


def _check_flags(arguments: Namespace) -> None:
    flags = vars(arguments)
    modes = [f"--{name}" for name in ("run", "multirun", "cfg", "info", "shell_completion") if flags[name]]
    if len(modes) > 1:
        raise ConfigError(" ".join(modes).replace("_", "-"), problem="can't be combined")
    if arguments.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun", problem="can't be used: a pickle may run any code")
    if arguments.config_path is not None:
        raise ConfigError("--config-path", problem="can't be replaced", suggestion="--config-dir")
    if arguments.resolve and not (arguments.cfg or arguments.help):
        raise ConfigError("--resolve", problem="needs --cfg or --help")
    if arguments.package is not None and not arguments.cfg:
        raise ConfigError("--package", arguments.package, problem="needs --cfg")
    config_dir = arguments.config_dir
    if config_dir is not None and not (Path(config_dir).is_dir() and os.access(config_dir, os.R_OK | os.X_OK)):
        raise ConfigError("--config-dir", config_dir, problem="must be a directory")
    if arguments.shell_completion:
        shells = {f"{command}={shell}" for command in ("install", "uninstall") for shell in ("bash", "fish", "zsh")}
        queries = {f"query={shell}" for shell in ("bash", "fish", "zsh")}
        if len(arguments.overrides) != 1 or arguments.overrides[0] not in shells | queries:
            problem = "needs install=SHELL or uninstall=SHELL; shells: bash, fish, zsh"
            raise ConfigError("--shell-completion", problem=problem)


def _check_hydra_key(override: Override) -> None:
    """Check that a setting of Hydra is one that may be typed."""
    key, value = override.key_or_group, value_text(override)
    if key != "hydra" and not override.is_hydra_override():
        return
    if key in _KEYS_OF_FURTHER_PROCESSES and is_started_by_lightning():
        return
    line = str(override.input_line)
    if key in ("hydra.launcher", "hydra.sweeper"):
        option = f"{key.replace('.', '/')}={value}"
        raise ConfigError(key, value, problem="options are chosen with a slash", suggestion=option)
    if override.is_delete() or not key.startswith(_HYDRA_KEYS) or "_target_" in key.split("."):
        suggestion = suggest(key, _HYDRA_KEYS, cutoff=0.8)
        allowed = ", ".join(f"{known}*" if known.endswith(".") else known for known in _HYDRA_KEYS)
        problem = f"can't be changed; of Hydra's settings, these can: {allowed}"
        raise ConfigError(line, problem=problem, suggestion=suggestion)
    if key == "hydra.mode" and (value != "RUN" or parse_command_line().multirun):
        raise ConfigError(key, value, problem="must be RUN, and not be combined with -m, which makes a sweep")
    if key == "hydra.verbose":
        (BOOL | STRING).check(key, override.value() if isinstance(override.value(), bool | None) else value)
    if key == "hydra.job.chdir":
        BOOL.check(key, override.value())
    if key == "hydra.searchpath":
        _check_search_path(override)
    if override.is_sweep_override():
        raise ConfigError(line, problem="must be one value")


def _check_search_path(override: Override) -> None:
    key, paths = override.key_or_group, override.value()
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ConfigError(key, value_text(override), problem="must be a list of directories: [file:///home/me/conf]")
    for path in paths:
        scheme, separator, name = path.partition("://")
        is_there = _is_package(name) if separator and scheme == "pkg" else Path(name if separator else path).is_dir()
        if not is_there:
            raise ConfigError(key, path, problem="must be a directory, or a package after pkg://")


def _is_package(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name.replace("/", "."))
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.submodule_search_locations is not None


def _check_settings_exist(options: Composition) -> None:
    """Check that another main file than config.yaml has all its settings."""
    if options.config_name == "config":
        return
    missing = sorted(compose_options("config", ()).unresolved.keys() - options.unresolved.keys())
    if missing:
        problem = f"must have all settings of config.yaml; missing: {', '.join(missing)}"
        raise ConfigError("--config-name", options.config_name, problem=problem)


def _check_hydra_settings(options: Composition) -> None:
    """Check what files say of Hydra's own settings; it builds these objects itself."""
    sweeper, launcher = (_target_of(options.hydra[kind]) for kind in ("sweeper", "launcher"))
    if not sweeper.startswith(_SWEEPERS):
        raise ConfigError("hydra/sweeper", options.all_choices["hydra/sweeper"], problem="must be one of grid, optuna")
    if not launcher.startswith(_LAUNCHERS):
        problem = f"must be local, slurm or a launcher of an installed plugin, not {launcher or 'nothing'}"
        raise ConfigError("hydra/launcher", options.all_choices["hydra/launcher"], problem=problem)
    callbacks = {name: _target_of(callback) for name, callback in options.hydra["callbacks"].items()}
    if callbacks != _CALLBACKS:
        raise ConfigError("hydra.callbacks", problem="can't be changed; the program checks its runs there")
    for kind in ("job_logging", "hydra_logging"):
        _check_logging(f"hydra/{kind}", options.all_choices.get(f"hydra/{kind}"), options.hydra[kind])


def _target_of(settings: Any) -> str:
    return str(settings.get("_target_", "")) if isinstance(settings, Mapping) else ""


def _check_logging(group: str, option: str | None, settings: Any) -> None:
    """Check that logging builds handlers only."""
    handlers = settings.get("handlers") if isinstance(settings, Mapping) else None
    for handler in handlers.values() if isinstance(handlers, Mapping) else ():
        target = handler.get("class") if isinstance(handler, Mapping) else None
        if target is not None:
            try:
                handler_class = find_target(str(target))
            except (ImportError, AttributeError):
                handler_class = None
            if not (isinstance(handler_class, type) and issubclass(handler_class, logging.Handler)):
                raise ConfigError(group, option, problem=f"must have handlers of logging only, not {target}")
    if _has_factory(settings):
        raise ConfigError(group, option, problem="must not have () in it, which calls a function")


def _has_factory(settings: Any) -> bool:
    if isinstance(settings, Mapping):
        return "()" in settings or any(map(_has_factory, settings.values()))
    return isinstance(settings, list) and any(map(_has_factory, settings))


def _check_run(typed: Sequence[Override], options: Composition, arguments: Namespace) -> list[str]:
    """Check the overrides of one run, and add what typed options set although a recipe does too."""
    typed = _with_new_parts(typed, options)
    for override in typed:
        line = str(override.input_line)
        if override.is_sweep_override():
            raise ConfigError(line, problem="several values make a sweep, which needs -m", remedy=_quoted(override))
        is_shown = arguments.cfg or arguments.info or arguments.help or arguments.hydra_help
        is_of_a_sweep = override.key_or_group in SWEEP_KEYS or is_of_sweep(override)
        check_key(override, options)
        if is_of_a_sweep and not is_shown:
            raise ConfigError(line, problem="only valid in a sweep, which needs -m")
    added = typed_over_recipe(options, typed)
    return [str(override.input_line) for override in (*typed, *added)]


def _check_sweep(typed: Sequence[Override], options: Composition) -> list[str]:
    """Check the overrides of a sweep; a setting may be one that only the options with several values have."""
    varying = _varying_groups(typed, options)
    lines = []
    for override in _with_new_parts(typed, options):
        line = str(override.input_line)
        if override.key_or_group == "hydra.run.dir":
            problem = "only valid for one run; the directory of a sweep is hydra.sweep.dir, or sweep=NAME in outputs/"
            raise ConfigError(line, problem=problem)
        if override.is_sweep_override() and override.key_or_group in DESCRIPTION_KEYS:
            problem = "must be one value for all runs: those that differ in nothing else are the same run"
            raise ConfigError(line, problem=problem, remedy=_quoted(override))
        try:
            check_key(override, options)
        except ConfigError:
            if not varying or override.is_delete() or not _is_of_group(override):
                raise
            line = line if override.is_sweep_override() else apply_later(override)
        lines.append(line)
    return lines


def _quoted(override: Override) -> str | None:
    """Return how a text with commas is typed, if the setting is one."""
    if override.key_or_group != "note":
        return None
    return f'quote commas for the shell and for Hydra: "{quote_override("note", value_text(override))}"'


def _with_new_parts(typed: Sequence[Override], options: Composition) -> list[Override]:
    """Return overrides, with the ++ that Hydra asks for before those that make a part: `metrics.top5._target_=...`."""
    keys = {override.key_or_group for override in typed}

    def makes_part(override: Override) -> bool:
        target = ".".join([*override.key_or_group.split(".")[:2], "_target_"])
        return target in keys and is_new_part(override.key_or_group, options)

    return [
        parse_override(f"++{override.input_line}")
        if override.type == OverrideType.CHANGE and makes_part(override)
        else override
        for override in typed
    ]


def _varying_groups(typed: Iterable[Override], options: Composition) -> set[str]:
    """Return the groups of which a sweep chooses an option for each combination."""
    params = options.hydra["sweeper"].get("params")
    keys = set(params) if isinstance(params, Mapping) else set()
    keys |= {override.key_or_group for override in typed if override.is_sweep_override()}
    return {str(key) for key in keys if key in known_groups()}


def _is_of_group(override: Override) -> bool:
    """Return whether an override sets something within a group of this program."""
    is_setting = not is_choice(override) and not override.is_hydra_override()
    return is_setting and override.key_or_group.partition(".")[0] in known_groups()
