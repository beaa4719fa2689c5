"""The command line that does one run of a sweep alone."""

import re
import sys
from pathlib import Path

from hydra._internal.utils import get_args_parser

from cnn_experiments.config.composed import Combination

_OF_THE_SWEEP = re.compile(r"\+*hydra[./](mode|run|sweep|sweeper|launcher)\b")


def command_of(run: Combination, folder: Path) -> list[str]:
    """The words of it, the program's name first; they can be typed again, and then go on in the same folder.

    Args:
        run: its settings.
        folder: its own.
    """
    hydra_overrides = [override for override in run.hydra.overrides.hydra if not _OF_THE_SWEEP.match(override)]
    return [sys.argv[0], *flags(), *run.overrides, *hydra_overrides, setting("hydra.run.dir", folder), "hydra.mode=RUN"]


def flags() -> list[str]:
    """Those that were typed and say where the configuration is."""
    arguments, _ = get_args_parser().parse_known_args()
    known = {"--config-dir": arguments.config_dir, "--config-name": arguments.config_name}
    return [word for flag, value in known.items() if value for word in (flag, value)]


def setting(key: str, value: object) -> str:
    """An override whose value Hydra takes as it is, but for what it would interpolate."""
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), str(value))
    return f"{key}='{escaped}'"
