"""Training in the process of a notebook or a script."""

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path

from cnn_experiments.api.run import LoadedRun, load
from cnn_experiments.api.run_log import run_log
from cnn_experiments.config.call import RunCall, compose_call, configured
from cnn_experiments.config.overrides import quote_override
from cnn_experiments.console import print_line
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.directory import LOG_FILE, RunDirectory
from cnn_experiments.runs.lock import release
from cnn_experiments.runtime.distributed import (
    check_launch,
    check_rank_variables,
    isolated_ddp_environment,
    num_processes,
)
from cnn_experiments.runtime.signals import Interrupted, interruptible
from cnn_experiments.tasks import TASKS, preflight, task_of
from cnn_experiments.tasks.claim import check_settings, claim_named_directory, claim_new_directory

log = logging.getLogger(__name__)


def train(*overrides: str, config_dir: str | Path | None = None) -> LoadedRun:
    """Train one network in this process, test it, and return the run.

    It does what the command `python -m cnn_experiments OVERRIDES` does: the settings are checked before anything is
    downloaded or trained, the run has a directory of its own below `outputs/` or the one in `hydra.run.dir=DIRECTORY`,
    and a completed run is not repeated there. Random numbers, warnings, logging and signal handlers of this process are
    the same afterwards as before. For example, one epoch::

        run = cnn_experiments.train("model=lenet", "trainer.max_epochs=1")

    Args:
        overrides: as on the command line, such as `model=lenet`, `optimizer.lr=0.01`, `experiment=book/sgd/lenet`.
        config_dir: the directory of your own options, as that of `--config-dir`.

    Raises:
        ConfigError: a setting is not allowed, or the directory can't be used. Nothing was trained.
        RunFailedError: the run failed. The traceback is in its run.log, and the same call with its directory continues.
        KeyboardInterrupt: Ctrl-C, or the kernel was interrupted. The message says how the run is resumed.
    """
    with configured(config_dir, overrides):
        check_rank_variables()
        call = compose_call(config_dir, overrides)
        config = call.config
        if task_of(config) is not TASKS["train"]:
            raise ConfigError("task", config.task, problem="must be train here; other tasks are for the command line")
        named_directory = call.directory if call.names_directory else None
        check_settings(config, named_directory)
        _check_one_process(config.settings["trainer"])
        preflight(config, named_directory)
        directory = _claim(call)
        if directory is not None:
            try:
                _train(call, directory)
            except Interrupted as interruption:
                if interruption.signal != signal.SIGINT.name:
                    os.kill(os.getpid(), signal.Signals[interruption.signal])  # for the process's own handler
                hint = _resume_hint(RunDirectory(directory.absolute()), overrides, config_dir)
                raise KeyboardInterrupt(hint) from None
            finally:
                release(directory)
    return load(call.directory if directory is None else directory, config_dir=config_dir)


def _check_one_process(trainer: dict[str, object]) -> None:
    check_launch(trainer, names_directory=True)
    if num_processes(trainer) > 1:
        problem = "must be 1 in a notebook or script; the command line starts the other processes of a run"
        raise ConfigError("trainer.devices", trainer["devices"], problem=problem)


def _claim(call: RunCall) -> Path | None:
    """Return the directory of the run, which is locked, or None if the run is completed there."""
    if not call.names_directory:
        return claim_new_directory(call.directory)
    if claim_named_directory(call.directory, call.config):
        return call.directory
    print_line(f"already completed: {call.directory}")
    return None


def _train(call: RunCall, path: Path) -> None:
    from lightning.pytorch.utilities.seed import isolate_rng

    directory = RunDirectory(path.absolute())
    working_directory = chdir(directory.path) if call.changes_directory else nullcontext()
    with (
        run_log(directory.path / LOG_FILE),
        _interruptible(),
        isolated_ddp_environment(sys.argv),
        isolate_rng(),
        working_directory,
    ):
        try:
            task_of(call.config).run([call.config_for_run], directory)
        except Interrupted as interruption:
            log.warning("interrupted by %s", interruption.signal)
            raise


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise Interrupted when a signal arrives; a watchdog, which would end the kernel, has no limit.

    Only the main thread can handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with interruptible(grace_period=threading.TIMEOUT_MAX):
        yield


def _resume_hint(directory: RunDirectory, overrides: Sequence[str], config_dir: str | Path | None) -> str:
    if directory.find_resume_checkpoint() is None:
        return f"nothing was trained yet; directory: {directory.display_path}"
    typed = [line for line in overrides if line.partition("=")[0] not in ("restart", "hydra.run.dir")]
    line = f"hydra.run.dir={directory.display_path}"
    if shlex.quote(line) != line:
        line = quote_override("hydra.run.dir", directory.display_path)
    arguments = [repr(text) for text in (*typed, line)]
    if config_dir is not None:
        arguments.append(f"config_dir={str(config_dir)!r}")
    return f"to resume the run, call train({', '.join(arguments)})"
