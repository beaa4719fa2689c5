"""What happens between composing the configuration of a run and the run: checks, and a directory of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_errors import exit_on_config_error
from cnn_experiments.console import announce, print_line, relative_path
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.plan_file import PLAN_FILE, rejection_recorded
from cnn_experiments.runtime.distributed import (
    check_launch,
    check_rank_variables,
    check_sweep_launch,
    is_rank_zero,
)
from cnn_experiments.tasks import preflight, task_of
from cnn_experiments.tasks.claim import check_settings, claim_named_directory, claim_new_directory


class RunDirectoryCallback(Callback):
    """Checks a run and gives it a directory before Hydra writes anything. The sweepers do the same for a sweep.

    Bad input ends the program with one line and status 2.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Reject a sweep that several processes were started for."""
        with exit_on_config_error():
            check_rank_variables()
            check_sweep_launch()

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a run and claim its directory. The first of several processes does, and the others follow."""
        with exit_on_config_error():
            check_rank_variables()
            run = ComposedConfig(config)
            directory = _named_directory(config)
            check_settings(run, directory)
            trainer = run.settings["trainer"]
            is_first = is_rank_zero(trainer)
            with _one_message(is_first), rejection_recorded(directory):
                needs_directory = task_of(run).needs_run_directory
                check_launch(trainer, names_directory=_names_directory(config) or not needs_directory)
                if is_first:
                    _announce(config, run)
                    preflight(run, directory)
                if not needs_directory:
                    _use_no_directory(config)
                else:
                    _claim_directory(config, run, is_first)


@contextmanager
def _one_message(is_first: bool) -> Iterator[None]:
    """Let only the first of several processes say what is wrong; all end with the same status."""
    try:
        yield
    except ConfigError:
        if is_first:
            raise
        sys.exit(2)


def _announce(config: DictConfig, run: ComposedConfig) -> None:
    """Say what starts and where, unless it is a run of a sweep, which says it itself."""
    task = task_of(run)
    if not task.needs_run_directory:
        what = run.settings["ckpt_path"] if task.needs_checkpoint else _network_and_data(run)
        if what:  # a checkpoint that is missing is an error, which the task reports
            announce(f"{run.task}: {what}")
        return
    HydraConfig.instance().set_config(config)  # the directory's name refers to it
    with suppress(OmegaConfBaseException, OSError):  # a name that can't be resolved is rejected when it is made
        directory = Path(config.hydra.run.dir)
        if not (directory / PLAN_FILE).exists():
            announce(f"{_network_and_data(run)}: {relative_path(directory.absolute())}")


def _network_and_data(run: ComposedConfig) -> str:
    return f"{run.choices['model']} on {run.choices['data']}"


def _named_directory(config: DictConfig) -> Path | None:
    """Return the directory that was typed, or that a sweep has chosen."""
    if not _names_directory(config):
        return None
    HydraConfig.instance().set_config(config)  # the directory's name may refer to it
    return Path(config.hydra.run.dir)


def _names_directory(config: DictConfig) -> bool:
    return any(override.startswith("hydra.run.dir=") for override in config.hydra.overrides.hydra)


def _use_no_directory(config: DictConfig) -> None:
    """Keep Hydra from making a directory and a log file."""
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.output_subdir = None
        config.hydra.run.dir = "."
        handlers = OmegaConf.select(config, "hydra.job_logging.handlers")
        if handlers and handlers.pop("file", None):
            config.hydra.job_logging.root.handlers.remove("file")


def _claim_directory(config: DictConfig, run: ComposedConfig, is_first: bool) -> None:
    """Make the directory of a run; end the program if the run is completed there."""
    HydraConfig.instance().set_config(config)  # the directory's name refers to it
    wanted = Path(config.hydra.run.dir)
    if not _names_directory(config):
        directory = claim_new_directory(wanted)
        with read_write(config.hydra):
            config.hydra.run.dir = str(directory)
    elif not claim_named_directory(wanted, run, is_first=is_first):
        if is_first:
            print_line(f"already completed: {wanted}")
        sys.exit(0)
