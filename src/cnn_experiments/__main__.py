"""The command line: `python -m cnn_experiments [OVERRIDES]`."""

import logging
import os
import re
import sys
import warnings
from pathlib import Path
from typing import cast

import hydra
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig, read_write

from cnn_experiments.errors import Refusal, RunFailedError
from cnn_experiments.gate import CONF, refusing
from cnn_experiments.interruption import Interrupted, interruptible
from cnn_experiments.settings import near

log = logging.getLogger(__name__)


def main() -> None:
    """Runs what the command line says.

    Exit status: 0 for success, 1 for a run that failed, 2 for bad input, 130 and 143 for Ctrl-C and SIGTERM.
    """
    failed = False

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def run(config: DictConfig) -> None:
        nonlocal failed
        failed |= not _succeeds(config)

    # Hydra's parser takes no -m between settings.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda word: word not in ("-m", "--multirun"))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come out of Hydra as they are; refusing() puts them in one line
    with interruptible(), refusing():
        _check_flags(sys.argv[1:])
        run()
    sys.exit(1 if failed else 0)


def _check_flags(words: list[str]) -> None:
    """Python's parser takes the beginning of a flag for the flag."""
    known = [flag for action in get_args_parser()._actions for flag in action.option_strings]
    for word in words:
        flag, _, value = word.partition("=")
        if flag.startswith("--") and flag not in known:
            setting = f"; a setting has no dashes: {word.lstrip('-')}" if value else ""
            raise Refusal(f"{flag}: there is no such flag{near(flag, known)}{setting}")


def _succeeds(config: DictConfig) -> bool:
    """Runs one job; a failure is told and logged, and a sweep goes on behind it."""
    # Only now: torch takes seconds to import.
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from cnn_experiments.processes import processes_of_a_job
    from cnn_experiments.run_folder import RunFolder, short

    _log_warnings()
    job = HydraConfig.get()
    choices = job.runtime.choices.items()
    options = {group: choice for group, choice in choices if choice is not None and not group.startswith("hydra/")}
    path = Path(job.runtime.output_dir)
    folder = RunFolder(short(path))
    with read_write(cast(DictConfig, job)):
        job.run.dir = str(path)  # where Lightning's further processes write, those of a sweep's job too
    try:
        with processes_of_a_job(_command_of(job) if job.mode == RunMode.MULTIRUN else sys.argv):
            get_method(config.task._target_)(config, folder, options, list(job.overrides.task))
    except (RunFailedError, MisconfigurationException) as error:
        log.error("failed: %s", error)
    except Interrupted as interruption:
        goes_on = f"to go on: ckpt_path={folder.path}" if folder.last.exists() else "no epoch was complete"
        log.warning("interrupted by %s; %s", interruption.signal, goes_on)
        raise
    except Exception:
        log.exception("failed; the log is %s", folder.path / "run.log")
    else:
        return True
    return False


def _command_of(job: HydraConf) -> list[str]:
    """The command line that runs one job of this sweep alone."""
    arguments, _ = get_args_parser().parse_known_args()
    flags = {"--config-dir": arguments.config_dir, "--config-name": arguments.config_name}
    given = [word for flag, value in flags.items() if value for word in (flag, value)]
    of_the_sweep = re.compile(r"\+*hydra\.(mode|run|sweep|sweeper|launcher)\b")
    hydra_overrides = [override for override in job.overrides.hydra if not of_the_sweep.match(override)]
    return [sys.argv[0], *given, *job.overrides.task, *hydra_overrides, "hydra.mode=RUN"]


def _log_warnings() -> None:
    """Warnings take one line each, and those that no user can mend none."""
    logging.captureWarnings(capture=True)
    warnings.formatwarning = lambda message, category, *_: f"{category.__name__}: {message}"
    # lightning 2.6.6 asks torch from 2.13 on in a way that torch calls deprecated
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec", category=FutureWarning)


if __name__ == "__main__":
    main()
