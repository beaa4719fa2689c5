"""The command line that does one run of a sweep alone."""

import re
import sys
from pathlib import Path

from hydra._internal.utils import get_args_parser

from cnn_experiments.combination import Combination

_OF_THE_SWEEP = re.compile(r"\+*hydra[./](mode|run|sweep|sweeper|launcher)\b")


def command_of(run: Combination, folder: Path) -> list[str]:
    """The words of it, the program's name first; they can be typed again, and then go on in the same folder.

    Args:
        run: its settings.
        folder: its own.
    """
    arguments, _ = get_args_parser().parse_known_args()
    flags = {"--config-dir": arguments.config_dir, "--config-name": arguments.config_name}
    given = [word for flag, value in flags.items() if value for word in (flag, value)]
    hydra_overrides = [override for override in run.hydra.overrides.hydra if not _OF_THE_SWEEP.match(override)]
    return [sys.argv[0], *given, *run.overrides, *hydra_overrides, setting("hydra.run.dir", folder), "hydra.mode=RUN"]


def setting(key: str, value: object) -> str:
    """An override whose value Hydra takes as it is, but for what it would interpolate."""
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), str(value))
    return f"{key}='{escaped}'"
