"""What happens between composing the configuration of a run and the run: checks, and a directory of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_errors import exit_on_config_error
from cnn_experiments.console import print_line
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.directory import RunDirectory, foreign_file_problem, is_unused, numbered_paths
from cnn_experiments.runs.lock import acquire
from cnn_experiments.runs.path_errors import check_printable, path_errors
from cnn_experiments.runs.plan_file import check_plan, rejection_recorded
from cnn_experiments.runs.state import RunState, next_action
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.runtime.distributed import (
    check_launch,
    check_rank_variables,
    check_sweep_launch,
    is_rank_zero,
)
from cnn_experiments.tasks import preflight, task_of


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
            with rejection_recorded(_named_directory(config)) as directory:
                if directory is not None:
                    check_plan(directory, run.settings)
                run.validate()
            trainer = run.settings["trainer"]
            is_first = is_rank_zero(trainer)
            with _one_message(is_first), rejection_recorded(directory):
                needs_directory = task_of(run).needs_run_directory
                check_launch(trainer, names_directory=_names_directory(config) or not needs_directory)
                if is_first:
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
    """Make the directory of a run; of two processes that want the same one, one gets it."""
    HydraConfig.instance().set_config(config)  # the directory's name refers to it
    wanted = Path(config.hydra.run.dir)
    check_printable("hydra.run.dir", wanted)
    with path_errors("hydra.run.dir", wanted):
        if _names_directory(config):
            _claim_named_directory(wanted, run, is_first)
            return
        directory = _make_unused_directory(wanted)
        acquire(directory)
    with read_write(config.hydra):
        config.hydra.run.dir = str(directory)


def _make_unused_directory(wanted: Path) -> Path:
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for path in numbered_paths(wanted):
        with suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("there is always another number")


def _claim_named_directory(directory: Path, run: ComposedConfig, is_first: bool) -> None:
    """Lock a new directory, or one in which this same run stopped; end the program if it is completed there.

    A process that is not the first makes and locks nothing.
    """
    key = "hydra.run.dir"

    def read_action(state: RunState) -> Action:
        return next_action(state, run.run_id, retry_failed=True, restart=run.starts_over)

    if is_first:
        directory.mkdir(parents=True, exist_ok=True)
    state = RunState.read(directory)
    action = read_action(state)
    if action == Action.SKIP:
        _end_as_completed(directory, is_first)
    if problem := foreign_file_problem(directory):
        raise ConfigError(key, directory, problem=problem)
    if not is_first:
        return
    if action == Action.REJECT or (action == Action.START and not is_unused(directory)):
        reason = state.rejection(run.settings) if action == Action.REJECT else "it holds other files"
        problem = f"must be a new directory, or one in which this same run stopped; {reason}"
        remedy = None
        if state.status == Status.DAMAGED and RunDirectory(directory).find_resume_checkpoint():
            remedy = f"ckpt_path={directory} with another hydra.run.dir continues from its last checkpoint"
        raise ConfigError(key, directory, problem=problem, remedy=remedy)
    ckpt_path = run.settings["ckpt_path"]
    if problem := RunDirectory(directory).ckpt_path_problem(action, ckpt_path):
        raise ConfigError("ckpt_path", ckpt_path, problem=problem)
    if not acquire(directory):
        raise ConfigError(key, directory, problem="locked by another process")
    if read_action(RunState.read(directory)) == Action.SKIP:
        _end_as_completed(directory, is_first)


def _end_as_completed(directory: Path, is_first: bool) -> None:
    if is_first:
        print_line(f"already completed: {directory}")
    sys.exit(0)
