"""Overrides of the command line: Hydra's parser reads each of them once, and they are written for commands."""

import functools
import re
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import accumulate
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override
from omegaconf import ListConfig, OmegaConf

from cnn_experiments.config.hydra_internals import (
    cached_by_command_line,
    config_directories,
    config_loader,
    parse_command_line,
    sweep_over,
)
from cnn_experiments.config.sources import find_options
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.fingerprint import COMMAND_KEYS, SWEEP_KEYS

_GROUPS_OF_SWEEPS = ("launcher", "sweep", "sweeper")
"""Hydra's settings that only a sweep uses."""

_LATER = "only_in_combinations"
"""The tag of an override that Hydra does not apply to the configuration of a sweep as a whole."""

_MAX_NESTING = 20
"""Brackets inside each other; OmegaConf fails at some dozens more."""


@cached_by_command_line(maxsize=16384)
def parse_override(line: str) -> Override:
    """Parse an override; the combinations of a sweep share most of them.

    Raises:
        ConfigError: `glob(...)` matches no option, or there are too many brackets inside each other.
        OverrideParseException: Hydra can't read it.
    """
    if _nesting(line) > _MAX_NESTING:
        key, _, value = line.partition("=")
        raise ConfigError(key, value, problem=f"must not have more than {_MAX_NESTING} brackets inside each other")
    (override,) = _parser().parse_overrides([line])
    pattern = override.value()
    return sweep_over(override, _matching_options(override, pattern)) if isinstance(pattern, Glob) else override


def _nesting(line: str) -> int:
    """Return how many brackets of a line are inside each other at most."""
    return max(accumulate((letter in "[{(") - (letter in "]})") for letter in line), default=0)


@functools.cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def _matching_options(override: Override, pattern: Glob) -> list[str]:
    """Return the options that a pattern means; as in a shell, `*` stays within a folder: `book/*/lenet`."""

    def matches(option: str, patterns: Iterable[str]) -> bool:
        return any(fnmatchcase(option, name) and option.count("/") == name.count("/") for name in patterns)

    options = option_names(override.key_or_group)
    matching = [name for name in options if matches(name, pattern.include) and not matches(name, pattern.exclude)]
    if not matching:
        problem = f"matches none of {', '.join(options)}" if options else "must be the name of a group before glob(...)"
        raise ConfigError(str(override.input_line), problem=problem)
    return matching


def option_names(group: str) -> list[str]:
    """Return all options of a group, those of Hydra and of its plugins too; none if there is no such group."""
    return sorted({*find_options(group, config_directories()), *config_loader().get_group_options(group)})


def parse_overrides(arguments: Iterable[str]) -> list[Override]:
    """Parse the overrides of a sweep.

    Raises:
        ConfigError: a setting of the command as a whole has several values.
        OverrideParseException: Hydra can't read one.
    """
    # Iterating over a list of OmegaConf would resolve a `${...}` in it.
    lines = OmegaConf.to_container(arguments, resolve=False) if isinstance(arguments, ListConfig) else arguments
    assert isinstance(lines, Iterable)
    overrides = [_restore(parse_override(str(line))) for line in lines]
    for override in overrides:
        if override.key_or_group in COMMAND_KEYS and override.is_sweep_override():
            raise ConfigError(str(override.input_line), problem="must be one value for the whole sweep")
    return overrides


def apply_later(override: Override) -> str:
    """Return an override that Hydra applies to no configuration until `parse_overrides` has read it.

    Hydra composes the configuration of a sweep as a whole with the options that have one value. A setting that only the
    options with several values have would be unknown there.
    """
    key, _, value = quote_override(override.get_key_element(), value_text(override)).partition("=")
    return f"{key}=tag({_LATER},choice({value}))"


def _restore(override: Override) -> Override:
    value = override.value()
    if isinstance(value, ChoiceSweep) and _LATER in value.tags:
        return parse_override(f"{override.get_key_element()}={value.list[0]}")
    return override


def value_text(override: Override) -> str:
    """Return the value of an override as typed."""
    return str(override.input_line).partition("=")[2]


def values_by_key(overrides: Iterable[Override]) -> dict[str, str]:
    """Return the values of overrides as typed, by key; the last one counts."""
    return {override.key_or_group: value_text(override) for override in overrides}


def without_sweep_keys(overrides: Iterable[Override]) -> list[str]:
    """Return overrides as typed, without those of a sweep as a whole."""
    return [str(override.input_line) for override in overrides if override.key_or_group not in SWEEP_KEYS]


def config_flags() -> list[str]:
    """Return the flags of the command line that say where the configuration is."""
    arguments = parse_command_line()
    flags = {"--config-dir": arguments.config_dir, "--config-name": arguments.config_name}
    return [word for flag, value in flags.items() if value for word in (flag, value)]


def run_argv(overrides: Iterable[str], hydra_overrides: Sequence[str], directory: Path) -> list[str]:
    """Return the command line of one run of a sweep, the program's name first.

    Typed again, it continues in the same directory.
    """
    return [
        sys.argv[0],
        *config_flags(),
        *overrides,
        *(line for line in hydra_overrides if not is_kept_from_runs(parse_override(line))),
        quote_override("hydra.run.dir", directory),
        "hydra.mode=RUN",
    ]


def is_of_sweep(override: Override) -> bool:
    """Return whether an override sets what only a sweep uses: its launcher, its sweeper, or its directory."""
    return _hydra_group(override) in _GROUPS_OF_SWEEPS


def is_kept_from_runs(override: Override) -> bool:
    """Return whether a run of a sweep does not get an override from the sweep."""
    return is_of_sweep(override) or _hydra_group(override) in ("mode", "run")


def _hydra_group(override: Override) -> str | None:
    """Return the group of one of Hydra's own settings, such as `sweep` of `hydra.sweep.dir`."""
    name, *groups = re.split("[./]", override.key_or_group)
    return groups[0] if name == "hydra" and groups else None


def quote_override(key: str, value: object) -> str:
    """Return an override with a quoted value, which Hydra takes literally except for interpolations."""
    # A backslash counts as one only before a quote: these, and those at the end, are doubled.
    escaped = re.sub(r"(\\*)('|$)", _escape_quote, str(value))
    return f"{key}='{escaped}'"


def _escape_quote(match: re.Match[str]) -> str:
    backslashes, quote = match.groups()
    return 2 * backslashes + ("\\'" if quote else "")
