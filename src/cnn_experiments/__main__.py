"""The command line: `python -m cnn_experiments [OVERRIDES]`."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, cast

import hydra
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig, read_write

from cnn_experiments.config.hydra_errors import CONF, refusing
from cnn_experiments.config.schema import near
from cnn_experiments.errors import Refusal, RunFailedError
from cnn_experiments.runtime.signals import Interrupted, interruptible

if TYPE_CHECKING:
    from cnn_experiments.runs.directory import RunFolder

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
    _leave_out_warnings()
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

    from cnn_experiments.config.command_line import command_of
    from cnn_experiments.config.composed import Combination
    from cnn_experiments.runs.directory import RunFolder, short
    from cnn_experiments.runtime.distributed import isolated_ddp_environment

    _log_warnings()
    job = HydraConfig.get()
    path = Path(job.runtime.output_dir)
    folder = RunFolder(short(path))
    run = Combination(config, cast(DictConfig, job))
    with read_write(cast(DictConfig, job)):
        job.run.dir = str(path)  # where Lightning's further processes write, those of a sweep's job too
    try:
        with isolated_ddp_environment(command_of(run, path) if job.mode == RunMode.MULTIRUN else sys.argv):
            get_method(config.task._target_)(config, folder, run.options, run.overrides)
    except (RunFailedError, MisconfigurationException) as error:
        log.error("failed: %s", error)
    except Interrupted as interruption:
        log.warning("interrupted by %s; %s", interruption.signal, _how_it_goes_on(job, folder))
        raise
    except (Exception, SystemExit):
        log.exception("failed; the log is %s", folder.path / "run.log")
    else:
        return True
    return False


def _how_it_goes_on(job: HydraConf, folder: "RunFolder") -> str:
    if folder.begun is None:
        return "nothing was trained yet"
    chosen = any(override.startswith("hydra.run.dir=") for override in job.overrides.hydra)
    return f"to go on: {'the same command' if chosen else f'ckpt_path={folder.path}'}"


def _leave_out_warnings() -> None:
    """Those that no user can mend."""
    # lightning 2.6.6 asks torch from 2.13 on in a way that torch calls deprecated
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec", category=FutureWarning)
    # Slurm is one way among others where it is installed
    warnings.filterwarnings("ignore", message="The `srun` command is available on your system but is not used")


def _log_warnings() -> None:
    """One line each."""
    logging.captureWarnings(capture=True)
    warnings.formatwarning = lambda message, category, *_: f"{category.__name__}: {message}"


if __name__ == "__main__":
    main()
