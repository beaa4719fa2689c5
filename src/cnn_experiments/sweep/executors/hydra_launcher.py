"""Runs started by one of Hydra's own launchers, such as joblib or submitit."""

import logging
from collections.abc import Iterable

from hydra.plugins.launcher import Launcher

from cnn_experiments.config.overrides import quote_override
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.sweep.executors.base import RunObserver
from cnn_experiments.sweep.plan import PlannedRun

log = logging.getLogger(__name__)


class HydraLauncherExecutor:
    """Hands all runs to a launcher of Hydra's, which reports nothing: their directories say how they ended."""

    max_parallel = 1  # unknown: the launcher's own settings say it
    supports_stop = False
    supports_pruning = False

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def warm_up(self) -> None:
        """Do nothing."""

    def run(self, runs: Iterable[PlannedRun], observer: RunObserver) -> None:
        """Run all of them, and wait for their end. An error of the launcher is logged."""
        jobs = [[*run.config.overrides, quote_override("hydra.sweep.subdir", run.directory.name)] for run in runs]
        observer.on_launch()
        try:
            self._launcher.launch(jobs, initial_job_idx=0)
        except (ConfigError, RunFailedError):
            raise
        except Exception:  # a launcher may give up when one process is killed
            log.exception("%s ended before its runs", type(self._launcher).__name__)
