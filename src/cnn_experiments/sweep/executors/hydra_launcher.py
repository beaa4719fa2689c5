"""Runs started by one of Hydra's own launchers, such as joblib or submitit."""

import logging
from collections.abc import Iterable, Sequence

from hydra.plugins.launcher import Launcher

from cnn_experiments.config.overrides import quote_override
from cnn_experiments.errors import ConfigError, RunFailedError, describe_error
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.sweep.executors.base import Beginning, Capacity, RunObserver, begin, end
from cnn_experiments.sweep.plan import PlannedRun

log = logging.getLogger(__name__)


class HydraLauncherExecutor:
    """Hands all runs to a launcher of Hydra's, which reports nothing: their directories say how they ended."""

    supports_stop = False
    supports_pruning = False

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def capacity(self, runs: Sequence[PlannedRun]) -> Capacity:
        """Return one run at once: how many it is, the launcher's own settings say."""
        return Capacity(1, {})

    def warm_up(self) -> None:
        """Do nothing."""

    def run(self, runs: Iterable[PlannedRun], observer: RunObserver) -> None:
        """Run all of them, wait for their end and report it. An error of the launcher is logged.

        Raises:
            ConfigError: the launcher rejects its settings.
            Interrupted: a signal came.
        """
        observer.on_launch()
        started = [run for run in runs if begin(run, observer) == Beginning.BEGUN]
        jobs = [[*run.config.overrides, quote_override("hydra.sweep.subdir", run.directory.name)] for run in started]
        error = "process exited without recording a status"
        try:
            self._launcher.launch(jobs, initial_job_idx=0)
        except Interrupted as interruption:
            for run in started:
                end(run, observer, Status.INTERRUPTED, signal=interruption.signal)
            raise
        except (ConfigError, RunFailedError):
            for run in started:
                end(run, observer, Status.INTERRUPTED, error="the launcher did not start it")
            raise
        except Exception as launcher_error:  # a launcher may give up when one process is killed
            error = describe_error(launcher_error)
            log.exception("%s ended before its runs", type(self._launcher).__name__)
        for run in started:
            has_started = run.read_state().status != Status.NEW
            end(run, observer, Status.FAILED if has_started else Status.INTERRUPTED, error=error)
