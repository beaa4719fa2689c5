"""The command line: `python -m cnn_experiments [OVERRIDES]`."""

import signal

_on_ctrl_c = signal.getsignal(signal.SIGINT)
if _on_ctrl_c is signal.default_int_handler:  # Ctrl-C during the imports ends the program without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, read_write

from cnn_experiments.config.command_line import check_command_line
from cnn_experiments.config.composed import ComposedConfig, make_paths_absolute
from cnn_experiments.config.hydra_errors import exit_on_config_error
from cnn_experiments.config.overrides import run_argv
from cnn_experiments.config.sources import CONF
from cnn_experiments.console import print_error
from cnn_experiments.errors import ConfigError, IncompleteSweepError, RunFailedError, describe_error
from cnn_experiments.runs.directory import LOG_FILE, RunDirectory
from cnn_experiments.runs.plan_file import check_plan, record_rejection
from cnn_experiments.runtime.cpu import watch_cores
from cnn_experiments.runtime.distributed import is_rank_zero, isolated_ddp_environment
from cnn_experiments.runtime.output import lossy_output
from cnn_experiments.runtime.signals import Interrupted, interruptible
from cnn_experiments.runtime.third_party_warnings import filter_third_party_warnings
from cnn_experiments.tasks import task_of

if _on_ctrl_c is signal.default_int_handler:
    signal.signal(signal.SIGINT, _on_ctrl_c)

log = logging.getLogger(__name__)


def main() -> None:
    """Run the command line.

    Exit status: 0 for success, 1 for a run that failed, 2 for bad input, 128 plus the number of a signal that ended it:
    130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    """
    succeeded = True

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def run(config: DictConfig) -> None:
        nonlocal succeeded
        succeeded &= _run_job(config)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra passes errors on unchanged; exit_on_config_error() prints one line
    filter_third_party_warnings()
    watch_cores()
    with lossy_output():
        try:
            with interruptible(), exit_on_config_error():
                sys.argv[1:] = check_command_line(sys.argv[1:])
                try:
                    run()
                except IncompleteSweepError as error:
                    sys.exit(error.status)
        except Interrupted as interruption:
            sys.exit(interruption.status)
        except SystemExit:
            raise
        except BaseException as error:  # of the user's code: Exceptions end above, and signals raise Interrupted
            print_error(describe_error(error))
            sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)
        sys.exit(0 if succeeded else 1)


def _run_job(config: DictConfig) -> bool:
    """Run one job and return whether it succeeded; a failure is logged, and a sweep continues."""
    make_paths_absolute(config, Path(HydraConfig.get().runtime.cwd))
    composed = ComposedConfig(config, cast(DictConfig, HydraConfig.get()))
    task = task_of(composed)
    if not task.needs_run_directory:
        if is_rank_zero(composed.settings["trainer"]):
            with exit_on_config_error():  # here, because Hydra would print a line of its own before
                task.run([composed], None)
        return True
    _log_warnings()
    hydra_config = HydraConfig.get()
    path = Path(hydra_config.runtime.output_dir)
    directory = RunDirectory(path, is_writer=is_rank_zero(composed.settings["trainer"]))
    with read_write(cast(DictConfig, hydra_config)):
        hydra_config.run.dir = str(path)  # the other ranks that Lightning starts write here too, also in a multirun job
    argv = sys.argv
    if hydra_config.mode == RunMode.MULTIRUN:
        argv = run_argv(composed.overrides, hydra_config.overrides.hydra, path)
    try:
        with isolated_ddp_environment(argv):
            check_plan(path, composed.settings)
            task.run([composed], directory)
    except (ConfigError, RunFailedError) as error:
        if isinstance(error, ConfigError):
            record_rejection(path, str(error))
        log.info("directory: %s", directory.display_path)
        log.error("failed: %s", " ".join(str(error).split()))
    except Interrupted as interruption:
        hint = "nothing was trained yet"
        if directory.find_resume_checkpoint() is not None:
            hint = f"to resume, run the same command again{composed.resume_suffix(directory.display_path)}"
        log.warning("interrupted by %s; %s", interruption.signal, hint)
        raise
    except (Exception, SystemExit) as error:
        log.exception("failed: %s; the traceback is in %s", describe_error(error), directory.display_path / LOG_FILE)
    else:
        return True
    return False


def _log_warnings() -> None:
    """Log each warning in one line."""
    logging.captureWarnings(capture=True)
    warnings.formatwarning = lambda message, category, *_: f"{category.__name__}: {message}"


if __name__ == "__main__":
    main()
