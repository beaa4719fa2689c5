"""The loggers of a run: those that were chosen, and the one that Lightning knows, which calls them all."""

import importlib.util
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import Logger

from cnn_experiments.config.instantiate import check_call, instantiate
from cnn_experiments.errors import ConfigError, describe_error
from cnn_experiments.runs.status import Status
from cnn_experiments.training.event_files import EventFileLogger

log = logging.getLogger(__name__)

_GROUP = "logger"
_FINAL_STATUS = {Status.COMPLETED: "success", Status.FAILED: "failed", Status.INTERRUPTED: "aborted"}
"""Lightning's words for how a run ended."""
_REQUIRED_PACKAGES = {
    "cnn_experiments.training.wandb_logger.WandbLogger": ("wandb", ("wandb",)),
    "cnn_experiments.training.mlflow_logger.MLFlowLogger": ("mlflow", ("mlflow", "sqlalchemy", "alembic")),
}
"""The extra that installs the packages of a logger, and the packages."""

Settings = Mapping[str, Any]


class RunLogger(Logger):
    """Pass on to several loggers what a run logs. A logger that fails is left out from then on, and the run continues.

    The results are also in metrics.csv and results.json. No logger changes the state of the random number generators.

    Args:
        directory: the run directory.
        loggers: by the name that the settings give them. There are none in a process that does not write: of several
            that train together, only rank 0 does.
    """

    def __init__(self, directory: Path, loggers: Mapping[str, Logger]) -> None:
        super().__init__()
        self._directory = directory
        self.loggers = dict(loggers)

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self._directory)

    @property
    def has_event_files(self) -> bool:
        """Return whether TensorBoard shows the run."""
        return any(isinstance(logger, EventFileLogger) for logger in self.loggers.values())

    def log_start(self, settings: Settings) -> None:
        """Log the settings, which have dotted keys."""
        self._call_all(lambda logger: logger.log_hyperparams(dict(settings)))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Write nothing: `log_start` has written the settings."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log the metrics of a step."""
        self._call_all(lambda logger: logger.log_metrics(dict(metrics), step=step))

    def log_image(self, tag: str, png: bytes, step: int) -> None:
        """Write a picture, a PNG file, for TensorBoard."""
        self._call_all(lambda logger: logger.log_image(tag, png, step), EventFileLogger)

    def log_text(self, tag: str, markdown: str, step: int) -> None:
        """Write a text for TensorBoard."""
        self._call_all(lambda logger: logger.log_text(tag, markdown, step), EventFileLogger)

    def log_end(self, status: Status) -> None:
        """Log how the run ended: completed, failed or interrupted."""
        self._call_all(lambda logger: logger.finalize(_FINAL_STATUS[status]))

    def finalize(self, status: str) -> None:
        """Write nothing: Lightning ends the training, the test and the predictions, and `log_end` the run."""

    def save(self) -> None:
        self._call_all(lambda logger: logger.save())

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        self._call_all(lambda logger: logger.after_save_checkpoint(checkpoint_callback))

    def versions(self) -> dict[str, str]:
        """Return by which name or number each logger knows the run, if it has one; a resumed run continues it."""
        versions = {}
        for name in list(self.loggers):
            with self._left_out_on_error(name), _unchanged_random_state():
                if (version := self.loggers[name].version) not in (None, ""):
                    versions[name] = str(version)
        return versions

    def _call_all(self, call: Callable[[Any], None], kind: type = Logger) -> None:
        for name in [name for name, logger in self.loggers.items() if isinstance(logger, kind)]:
            with self._left_out_on_error(name), _unchanged_random_state():
                call(self.loggers[name])

    @contextmanager
    def _left_out_on_error(self, name: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:  # a logger may raise anything
            del self.loggers[name]
            _warn_of_failure(name, error)


def check_loggers(settings: Settings) -> None:
    """Check that every logger can be built. None is built: some make files or connect to a server then.

    Raises:
        ConfigError: a package is missing, a logger is none, or it has no such argument.
    """
    for name, logger_settings in settings[_GROUP].items():
        extra, packages = _REQUIRED_PACKAGES.get(str(logger_settings.get("_target_")), (None, ()))
        if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
            problem = f"needs the package {missing[0]}, which is not installed"
            remedy = f'pip install "cnn_experiments[{extra}]" installs it'
            raise ConfigError(_GROUP, name, problem=problem, remedy=remedy)
        check_call(f"{_GROUP}.{name}", logger_settings, Logger)


def build_logger(settings: Settings, directory: Path, versions: Mapping[str, str]) -> RunLogger:
    """Return the loggers of a run as one. A logger that can't be built is left out, with a warning.

    Args:
        settings: all settings of the run. A `save_dir` that is null becomes the run directory, and a `version` that is
            null the one that the logger had before the run was resumed.
        directory: the run directory.
        versions: what `RunLogger.versions` returned before the run was resumed.
    """
    loggers: dict[str, Logger] = {}
    for name, logger_settings in settings[_GROUP].items():
        known = {"save_dir": str(directory), "version": versions.get(name)}
        null = {key for key, value in logger_settings.items() if value is None}
        filled = {**logger_settings, **{key: value for key, value in known.items() if key in null}}
        try:
            with _unchanged_random_state():
                loggers[name] = instantiate(f"{_GROUP}.{name}", filled, Logger)
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # a logger may raise anything
            _warn_of_failure(name, error.__cause__ or error)
    return RunLogger(directory, loggers)


def _warn_of_failure(name: str, error: BaseException) -> None:
    log.warning("logger.%s failed, and logs nothing from here on: %s", name, describe_error(error))


@contextmanager
def _unchanged_random_state() -> Iterator[None]:
    """Restore the state of the random number generators, from which the training draws."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
