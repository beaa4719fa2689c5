"""Trains a network, tests its best checkpoint once and records both in the run's directory."""

import logging
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import RichProgressBar

from cnn_experiments.analysis.cost import count_multiply_adds, count_parameters
from cnn_experiments.analysis.probe import probe_image
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.console import relative_path
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.directory import RunDirectory, resolve_checkpoint
from cnn_experiments.runs.fingerprint import effective_settings
from cnn_experiments.runs.metrics import metric_keys
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.runtime import environment, memory
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.training.build import build_classifier, build_data, build_trainer
from cnn_experiments.training.callbacks import (
    BestAndLastCheckpoint,
    History,
    RNGState,
    StopOnSignal,
    TerminateOnNaN,
    Throughput,
    TrainingLimits,
    last_row,
    read_checkpoint_info,
    reported_metrics,
)
from cnn_experiments.training.limits import Limits
from cnn_experiments.training.logger import RunLogger

log = logging.getLogger(__name__)


def train(configs: Sequence[ComposedConfig], directory: RunDirectory | None) -> None:
    """Train and test: from the first step, from a checkpoint, or from where the run stopped in its directory.

    Args:
        configs: one configuration, in a sequence.
        directory: where everything about the run is written. A run that is completed there is not repeated.

    Raises:
        RunFailedError: the loss became NaN or infinite, the data could not be downloaded, or the directory belongs to
            another run.
        Interrupted: a signal asked the program to end.
    """
    (config,) = configs
    assert directory is not None
    with directory.locked_for(config.run_id) as action:
        if action == Action.SKIP:
            log.info("already completed: %s", directory.path)
            return
        memory.disable_malloc_trim()
        previous = directory.results
        directory.begin(RunResults.initial(config.choices, config.overrides, config.settings, previous))
        logger = RunLogger(directory.path)
        with _record_end(directory, logger):
            experiment = _TrainingRun(config, directory, logger)
            experiment.run()
        experiment.print_result()  # after the status is recorded, so that a closed stdout can't fail the run


class _TrainingRun:
    """A run: training, then the test."""

    def __init__(self, config: ComposedConfig, directory: RunDirectory, logger: RunLogger) -> None:
        settings = config.settings
        pl.seed_everything(settings["seed"], verbose=False)
        self.settings = settings
        self.choices = config.choices
        self.directory = directory
        self.data = build_data(settings)
        protocol = self.data.protocol
        logger.log_start(self.choices | {"protocol": protocol.name} | effective_settings(settings))
        self.classifier = build_classifier(settings, self.data)
        self.limits = Limits.from_settings(settings)
        self.history = History(directory, protocol.monitor, settings, self.limits)
        self.throughput = Throughput()
        self.trainer = _build_trainer(settings, self.data, logger, self._callbacks(protocol.monitor))
        self.device_name = environment.device_name(self.trainer.strategy.root_device)
        directory.write_config(config.to_yaml())

    def _callbacks(self, monitor: str | None) -> list[pl.Callback]:
        checkpoint = BestAndLastCheckpoint(self.directory.checkpoints, monitor)
        return [
            RNGState(),
            TrainingLimits(self.limits),  # before those that ask whether training ends
            TerminateOnNaN(),
            self.throughput,
            self.history,  # before the checkpoint, which contains it
            checkpoint,
            StopOnSignal(checkpoint),
        ]

    def run(self) -> None:
        """Train, test and record."""
        device = self.trainer.strategy.root_device
        self.directory.update(**self._run_metadata())
        memory.reset_peak_memory(device)
        self._print(
            "%s on %s, %s, seed %d",
            self.choices["model"],
            self.choices["data"],
            self.device_name,
            self.settings["seed"],
        )
        checkpoint = self._resume_checkpoint()
        earlier_seconds = _earlier_fit_seconds(checkpoint, self.directory)
        with _timed_fit(self.directory, earlier_seconds):
            self.trainer.fit(self.classifier, datamodule=self.data, ckpt_path=checkpoint)
        start_time = time.perf_counter()
        tested_epoch, metrics = self._test()
        assert self.directory.results is not None
        self.directory.update(
            epochs=len(self.history.epochs),
            metrics=metrics,
            tested_epoch=tested_epoch,
            seconds=self.directory.results.seconds | {"test": time.perf_counter() - start_time},
            images_per_second={"train": self.throughput.median_train, "test": self.throughput.test},
            peak_memory_bytes=memory.peak_memory(device),
        )

    def _run_metadata(self) -> dict[str, Any]:
        """Return what is known of the run before it trains."""
        model, data = self.classifier.model, self.data
        return {
            "protocol": data.protocol.name,
            "image_size": data.size,
            "parameters": count_parameters(model),
            "multiply_adds": count_multiply_adds(model, probe_image(model, data.channels, data.size)),
            "device": self.device_name,
            "precision": self.trainer.precision,
            "processes": self.trainer.world_size,
            "git_commit": environment.git_commit(),
            "versions": environment.versions(),
        }

    def _resume_checkpoint(self) -> Path | None:
        """Return the checkpoint to continue from: this directory's own, else that of `ckpt_path`, else none."""
        if (own_checkpoint := self.directory.find_resume_checkpoint()) is not None:
            _, num_epochs = read_checkpoint_info(own_checkpoint)
            self._print("resuming after epoch %d", num_epochs)
            return own_checkpoint
        if self.settings["ckpt_path"] is None:
            return None
        checkpoint = resolve_checkpoint(Path(self.settings["ckpt_path"]))
        self.directory.copy_best_checkpoint(checkpoint)
        return checkpoint

    def _test(self) -> tuple[int, dict[str, float]]:
        """Test the weights of the best checkpoint, and return its epoch and all its metrics.

        They are loaded here because `trainer.test(ckpt_path=...)` would also restore the callbacks.
        """
        checkpoint = torch.load(self.directory.best, map_location="cpu", weights_only=True)
        self.classifier.load_state_dict(checkpoint["state_dict"])
        (metrics,) = self.trainer.test(self.classifier, datamodule=self.data, verbose=False)
        row = last_row(checkpoint)
        # The test metrics come first in results.json. They also come last, because with the book protocol the row has
        # test metrics as well, of the evaluation after the epoch.
        return int(row["epoch"]), dict(metrics) | reported_metrics(row) | dict(metrics)

    def print_result(self) -> None:
        """Print the metrics, the directory and how to see the curves."""
        results, path = self.directory.results, self.directory.path
        assert results is not None
        keys = metric_keys()  # all but the accuracies of single classes
        formatted_metrics = "  ".join(
            f"{name} {value:.4g}" for name, value in results.metrics.items() if name in keys and value is not None
        )
        self._print("tested epoch %d of %d: %s", results.tested_epoch, results.epochs, formatted_metrics)
        self._print("directory: %s", path)
        logdir = path if path.is_absolute() or not path.parts else path.parts[0]
        self._print("curves: %s --logdir %s", _tensorboard(), logdir)

    def _print(self, message: str, *arguments: object) -> None:
        """Print and log a line, in the first of several processes."""
        log.log(logging.INFO if self.trainer.is_global_zero else logging.DEBUG, message, *arguments)


def _build_trainer(
    settings: Mapping[str, Any], data: ImageDataModule, logger: RunLogger, callbacks: Sequence[pl.Callback]
) -> pl.Trainer:
    is_terminal = sys.stdout.isatty()
    progress_bar = [RichProgressBar()] if is_terminal else []
    limits = {"limit_val_batches": 0} if data.protocol.eval_split is None else {}
    return build_trainer(
        settings,
        **limits,
        logger=logger,
        enable_progress_bar=is_terminal,
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # nothing is logged by step; Lightning warns of runs shorter than this
        callbacks=[*progress_bar, *callbacks],
    )


def _earlier_fit_seconds(checkpoint: Path | None, directory: RunDirectory) -> float:
    """Return the training time of the parts of the run that ended before this one."""
    if checkpoint is None:
        return 0.0
    if checkpoint == directory.last:
        results = directory.results
    else:
        try:
            results = RunResults.load(checkpoint.parents[1])
        except (OSError, ValueError):  # no results.json next to the checkpoint
            results = None
    return (results.seconds.get("fit") or 0.0) if results else 0.0


@contextmanager
def _timed_fit(directory: RunDirectory, earlier_seconds: float) -> Iterator[None]:
    """Record the seconds of training, those of the earlier parts of the run included."""
    assert directory.results is not None
    seconds = directory.results.seconds
    start_time = time.perf_counter()
    try:
        yield
    finally:
        directory.update(seconds=seconds | {"fit": earlier_seconds + time.perf_counter() - start_time})


@contextmanager
def _record_end(directory: RunDirectory, logger: RunLogger) -> Iterator[None]:
    """Record the final status, also if the block raises."""
    try:
        yield
    except Interrupted as interruption:
        directory.update(status=Status.INTERRUPTED, signal=interruption.signal)
        logger.log_end(Status.INTERRUPTED)
        raise
    except BaseException as error:
        directory.update(status=Status.FAILED, error=_error_line(error))
        logger.log_end(Status.FAILED)
        raise
    directory.update(status=Status.COMPLETED)
    logger.log_end(Status.COMPLETED)


def _error_line(error: BaseException) -> str:
    message = str(error) if isinstance(error, RunFailedError) else f"{type(error).__name__}: {error}"
    return " ".join(message.split())


def _tensorboard() -> str:
    if shutil.which("tensorboard"):
        return "tensorboard"
    return str(relative_path(Path(sys.executable).with_name("tensorboard")))
