"""Overrides of the command line: parsing and writing them."""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from cnn_experiments.config.hydra_internals import config_loader, parse_command_line
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.fingerprint import COMMAND_KEYS

_SWEEP_GROUPS = re.compile(r"\+*hydra[./](mode|run|sweep|sweeper|launcher)\b")


def parse_overrides(arguments: Sequence[str]) -> list[Override]:
    """Parse the overrides of a sweep.

    Raises:
        ConfigError: a setting of the command as a whole has several values.
        OverrideParseException: Hydra can't read one.
    """
    overrides = OverridesParser.create(config_loader()).parse_overrides(list(arguments))
    for override in overrides:
        if override.key_or_group in COMMAND_KEYS and override.is_sweep_override():
            raise ConfigError(str(override.input_line), problem="must be one value for the whole sweep")
    return overrides


def config_flags() -> list[str]:
    """Return the flags of the command line that say where the configuration is."""
    arguments = parse_command_line()
    flags = {"--config-dir": arguments.config_dir, "--config-name": arguments.config_name}
    return [word for flag, value in flags.items() if value for word in (flag, value)]


def run_argv(overrides: Iterable[str], hydra_overrides: Iterable[str], directory: Path) -> list[str]:
    """Return the command line of one run of a sweep, the program's name first.

    Typed again, it continues in the same directory.
    """
    hydra_overrides = [override for override in hydra_overrides if not _SWEEP_GROUPS.match(override)]
    return [
        sys.argv[0],
        *config_flags(),
        *overrides,
        *hydra_overrides,
        quote_override("hydra.run.dir", directory),
        "hydra.mode=RUN",
    ]


def quote_override(key: str, value: object) -> str:
    """Return an override with a quoted value, which Hydra takes literally except for interpolations."""
    # A backslash counts as one only before a quote: these, and those at the end, are doubled.
    escaped = re.sub(r"(\\*)('|$)", _escape_quote, str(value))
    return f"{key}='{escaped}'"


def _escape_quote(match: re.Match[str]) -> str:
    backslashes, quote = match.groups()
    return 2 * backslashes + ("\\'" if quote else "")
