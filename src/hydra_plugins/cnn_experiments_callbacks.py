"""What happens between composing the configuration of a run and the run: checks, and a directory of its own."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_errors import exit_on_config_error
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.directory import is_unused, numbered_paths
from cnn_experiments.runs.lock import acquire
from cnn_experiments.runs.state import RunState, next_action
from cnn_experiments.runs.status import Action
from cnn_experiments.runtime.distributed import is_rank_zero
from cnn_experiments.tasks import preflight, task_of


class RunDirectoryCallback(Callback):
    """Checks a run and gives it a directory before Hydra writes anything. The sweepers do the same for a sweep.

    Bad input ends the program with one line and status 2.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a run and claim its directory. The first of several processes does, and the others follow."""
        with exit_on_config_error():
            run = ComposedConfig(config)
            if is_rank_zero():
                _check(run)
            if not task_of(run).needs_run_directory:
                _use_no_directory(config)
            elif is_rank_zero():
                _claim_directory(config, run.run_id)


def _check(run: ComposedConfig) -> None:
    run.validate()
    preflight(run)


def _use_no_directory(config: DictConfig) -> None:
    """Keep Hydra from making a directory and a log file."""
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.output_subdir = None
        config.hydra.run.dir = "."
        handlers = OmegaConf.select(config, "hydra.job_logging.handlers")
        if handlers and handlers.pop("file", None):
            config.hydra.job_logging.root.handlers.remove("file")


def _claim_directory(config: DictConfig, run_id: str) -> None:
    """Make the directory of a run; of two processes that want the same one, one gets it."""
    HydraConfig.instance().set_config(config)  # the directory's name refers to it
    wanted = Path(config.hydra.run.dir)
    if any(override.startswith("hydra.run.dir=") for override in config.hydra.overrides.hydra):
        _claim_named_directory(wanted, run_id)
        return
    directory = _make_unused_directory(wanted)
    acquire(directory)
    with read_write(config.hydra):
        config.hydra.run.dir = str(directory)


def _make_unused_directory(wanted: Path) -> Path:
    for path in numbered_paths(wanted):
        with suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise AssertionError("there is always another number")


def _claim_named_directory(directory: Path, run_id: str) -> None:
    """Lock a new directory, or one in which this same run stopped."""
    key = "hydra.run.dir"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ConfigError(key, directory, problem="must be a directory; this is a file") from None
    action = next_action(RunState.read(directory), run_id, retry_failed=True)
    if action == Action.REJECT or (action == Action.START and not is_unused(directory)):
        raise ConfigError(key, directory, problem="must be a new directory, or one in which this same run stopped")
    if not acquire(directory):
        raise ConfigError(key, directory, problem="locked by another process")
    if next_action(RunState.read(directory), run_id, retry_failed=True) == Action.SKIP:
        raise ConfigError(key, directory, problem="this run is already completed there")
