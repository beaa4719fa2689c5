"""Trains a network, tests its best checkpoint once and records both in the run's directory."""

import errno
import logging
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar

from cnn_experiments.analysis.cost import all_stage_costs, count_multiply_adds, count_parameters
from cnn_experiments.analysis.probe import probe_image
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.console import is_jupyter, relative_path
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import RunFailedError, describe_error, error_message
from cnn_experiments.runs.directory import LOG_FILE, PREDICTIONS_FILE, RunDirectory, resolve_checkpoint
from cnn_experiments.runs.fingerprint import effective_settings
from cnn_experiments.runs.metrics import metric_keys, metrics_of
from cnn_experiments.runs.plan_file import PLAN_FILE
from cnn_experiments.runs.regular_file import is_regular_file
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.runtime import environment, memory
from cnn_experiments.runtime.contention import watched_cores
from cnn_experiments.runtime.cpu import compute_threads, usable_cores
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.training.build import (
    build_callbacks,
    build_classifier,
    build_data,
    build_trainer,
    without_source,
)
from cnn_experiments.training.callbacks import (
    BatchPicture,
    BestAndLastCheckpoint,
    CheckpointFiles,
    History,
    NotebookProgressBar,
    PredictionRecorder,
    RNGState,
    StopOnSignal,
    StopReason,
    TerminateOnNaN,
    Throughput,
    TrainingLimits,
)
from cnn_experiments.training.execution import Execution, choose_execution
from cnn_experiments.training.fine_tuning import origin_of
from cnn_experiments.training.limits import Limits
from cnn_experiments.training.logger import RunLogger, build_logger
from cnn_experiments.training.metrics import build_metrics, build_monitor, metric_info
from cnn_experiments.training.pictures import log_filters, log_predictions
from cnn_experiments.training.stored_checkpoint import (
    CheckpointError,
    StoredCheckpoint,
    check_restorable,
    check_weights,
    read_checkpoint,
)

log = logging.getLogger(__name__)


def train(configs: Sequence[ComposedConfig], directory: RunDirectory | None) -> None:
    """Train and test: from the first step, from a checkpoint, or from where the run stopped in its directory.

    Args:
        configs: one configuration, in a sequence.
        directory: where everything about the run is written. A run that is completed there is not repeated.

    Raises:
        RunFailedError: the run failed, for whatever reason; the traceback of an error is in run.log. Whatever a run has
            saved stays, and the next call continues from it.
        Interrupted: a signal asked the program to end.
    """
    (config,) = configs
    assert directory is not None
    with (
        _described_errors(config, directory),
        directory.locked_for(
            config.run_id, restart=config.starts_over, ckpt_path=config.settings["ckpt_path"]
        ) as action,
    ):
        if action == Action.SKIP:
            log.info("already completed: %s", directory.display_path)
            return
        memory.disable_malloc_trim()
        previous = directory.results
        changed = config.changed_settings
        directory.begin(RunResults.initial(config.choices, config.overrides, config.settings, changed, previous))
        logger = _build_logger(config.settings, directory)
        with _record_end(directory, logger, previous) as attempt:
            execution = choose_execution(config.settings, _continued_results(config, directory, previous))
            with compute_threads(execution.threads):
                attempt.run = run = _TrainingRun(config, directory, logger, execution)
                run.run()
        run.print_result()  # after the status is recorded, so that a closed stdout can't fail the run


class _TrainingRun:
    """A run: training, then the test."""

    def __init__(
        self, config: ComposedConfig, directory: RunDirectory, logger: RunLogger, execution: Execution
    ) -> None:
        settings = config.settings
        self.execution = execution
        pl.seed_everything(settings["seed"], verbose=False)
        self.settings = settings
        self.choices = config.choices
        self.config = config
        self.directory = directory
        self.logger = logger
        self.data = build_data(settings)
        protocol = self.data.protocol
        logger.log_start(self.choices | {"protocol": protocol.name} | effective_settings(settings))
        directory.update(logger_versions=logger.versions())
        has_own_weights = settings["ckpt_path"] is not None or bool(_own_checkpoints(config, directory))
        initial = without_source(settings) if has_own_weights else settings
        self.classifier = build_classifier({**initial, "memory_format": execution.memory_format}, self.data)
        self.limits = Limits.from_settings(settings)
        own_metrics = build_metrics(settings)
        self.monitor = build_monitor(settings, own_metrics) if protocol.has_monitor else None
        self.metric_info = metric_info(own_metrics, self.monitor)
        self.history = History(directory, self.monitor, metrics_of([self.metric_info]), settings, self.limits)
        self.throughput = Throughput()
        self.recorder = PredictionRecorder()
        training_limits = TrainingLimits(self.limits, self.history)
        own_callbacks = build_callbacks(settings)
        self.stop_reason = StopReason(training_limits, own_callbacks)
        callbacks = self._callbacks(own_callbacks, training_limits)
        self.trainer = _build_trainer(settings, self.data, directory, logger, callbacks)
        self.device_name = environment.device_name(self.trainer.strategy.root_device)
        directory.write_config(config.to_yaml())

    def _callbacks(
        self, own_callbacks: Mapping[str, pl.Callback], training_limits: TrainingLimits
    ) -> list[pl.Callback]:
        for name, callback in own_callbacks.items():
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                # Lightning would write beside best.ckpt and last.ckpt, or over one.
                callback.dirpath = str(self.directory.checkpoints.absolute() / name)
        checkpoint = BestAndLastCheckpoint(self.directory.checkpoints, self.monitor)
        return [
            *own_callbacks.values(),  # first: they may draw random numbers when training starts, and end it
            RNGState(),
            training_limits,  # before those that ask whether training ends
            TerminateOnNaN(),
            *([BatchPicture(self.logger)] if self.logger.has_event_files else []),
            self.throughput,
            self.recorder,
            self.stop_reason,  # before the checkpoint, which contains it
            self.history,  # likewise
            checkpoint,
            StopOnSignal(checkpoint),
        ]

    def run(self) -> None:
        """Train, test and record."""
        device = self.trainer.strategy.root_device
        self.directory.update(**self._run_metadata())
        memory.reset_peak_memory(device)
        self._print(
            "%s on %s, %s, %s, seed %d",
            self.choices["model"],
            self.choices["data"],
            self.device_name,
            self.execution.describe(with_threads=device.type == "cpu" and self.trainer.world_size == 1),
            self.settings["seed"],
        )
        self._record_origin()
        if self.data.augmentation.mixes:
            self._print("images are mixed: train/acc is measured against the class with the largest share of each")
        checkpoint = self._resume_checkpoint()
        try:
            with watched_cores(self.execution.threads, self._report_contention):
                self.trainer.fit(self.classifier, datamodule=self.data, ckpt_path=checkpoint)
        finally:
            self.directory.update_if_possible(seconds=self.history.seconds())
        start_time = time.perf_counter()
        tested_epoch, metrics = self._test()
        assert self.directory.results is not None
        self.directory.update(
            epochs=len(self.history.epochs),
            stopped_early=self.stop_reason.reason,
            metrics=metrics,
            tested_epoch=tested_epoch,
            seconds=self.directory.results.seconds | {"test": time.perf_counter() - start_time},
            images_per_second={"train": self.throughput.median_train, "test": self.throughput.test},
            peak_memory_bytes=memory.peak_memory(device),
        )
        self._write_predictions()

    def _report_contention(self) -> None:
        if self.execution.threads * self.trainer.world_size <= usable_cores():  # else they are its own
            self._print("slowed down: other programs use the cores that this run computes with")

    def _record_origin(self) -> None:
        """Record and print where the first weights come from, if another run has trained them."""
        if (origin := origin_of(self.classifier.model)) is None:
            return
        values = {"path": str(origin.checkpoint), "identity": origin.run_id, "epoch": origin.epoch}
        self.directory.update(initialized_from=values | {"new_layers": list(origin.new_layers)})
        new = f"new: {', '.join(origin.new_layers)}" if origin.new_layers else "all of them"
        self._print("weights of %s, epoch %d; %s", origin.checkpoint, origin.epoch, new)

    def _run_metadata(self) -> dict[str, Any]:
        """Return what is known of the run before it trains."""
        model, data = self.classifier.model, self.data
        image = probe_image(model, data.channels, data.size)
        return {
            "protocol": data.protocol.name,
            "metric_info": self.metric_info,
            "monitor": self.monitor.to_json() if self.monitor else None,
            "image_size": data.size,
            "parameters": count_parameters(model),
            "multiply_adds": count_multiply_adds(model, image),
            "stages": [asdict(stage) for stage in all_stage_costs(model, image)],
            "device": self.device_name,
            "precision": self.trainer.precision,
            "memory_format": self.execution.memory_format,
            "threads": self.execution.threads if self.trainer.world_size == 1 else None,
            "processes": self.trainer.world_size,
            "git_commit": environment.git_commit(),
            "versions": environment.versions(),
        }

    @property
    def has_trained(self) -> bool:
        """Return whether a training step was made."""
        return self.history.has_trained(self.trainer)

    def _resume_checkpoint(self) -> Path | None:
        """Return the checkpoint to continue from: this directory's own, else that of `ckpt_path`, else none.

        Raises:
            RunFailedError: there are checkpoints, but the run cannot continue from them.
            OSError: one cannot be read.
        """
        if own_checkpoints := _own_checkpoints(self.config, self.directory):
            checkpoint, stored = self._usable_checkpoint(own_checkpoints)
            self._print("resuming after epoch %d", stored.num_epochs)
            self.history.start_clock(_earlier_fit_seconds(stored, self.directory.results))
            return checkpoint
        if self.settings["ckpt_path"] is None:
            self.history.start_clock(0.0)
            return None
        checkpoint = resolve_checkpoint(Path(self.settings["ckpt_path"]))
        stored = _read_usable(checkpoint, self.settings)
        self.directory.copy_best_checkpoint(checkpoint)
        self.history.start_clock(_earlier_fit_seconds(stored, _results_next_to(checkpoint)))
        return checkpoint

    def _usable_checkpoint(self, checkpoints: Sequence[Path]) -> tuple[Path, StoredCheckpoint]:
        """Return the first checkpoint of this directory that is whole; a damaged one before it is put aside.

        Also best.ckpt ends an epoch, so that the epochs after it are repeated with the same results.
        """
        problems: list[str] = []
        for checkpoint in checkpoints:
            try:
                stored = _read_usable(checkpoint, self.settings)
            except RunFailedError as error:
                problems.append(str(error))
                continue
            except FileNotFoundError as error:  # the process that writes has just put it aside
                problems.append(error_message(error))
                continue
            damaged = checkpoints[: len(problems)]
            if checkpoint != self.directory.best and (problem := self._best_checkpoint_problem()):
                damaged = [*damaged, self.directory.best]
                problems.append(problem)
            if problems and self.directory.is_writer and (place := self.directory.put_aside(*damaged)):
                log.warning("%s; put aside in %s", "; ".join(problems), relative_path(place))
            return checkpoint, stored
        raise RunFailedError(f"{'; '.join(problems)}; restart=true puts the checkpoints aside and starts over")

    def _best_checkpoint_problem(self) -> str | None:
        """Return what is wrong with best.ckpt if it is there; without it, the best of the epochs that follow counts."""
        if not is_regular_file(self.directory.best):
            return None
        try:
            check_weights(read_checkpoint(self.directory.best), self.settings)
        except FileNotFoundError:  # the process that writes has just put it aside
            return None
        except CheckpointError as error:
            return f"{relative_path(self.directory.best)}: {error}"
        return None

    def _test(self) -> tuple[int, dict[str, float]]:
        """Test the weights of the best checkpoint, and return its epoch and all its metrics.

        They are loaded here because `trainer.test(ckpt_path=...)` would also restore the callbacks.
        """
        # A run may have lost its best.ckpt, and no epoch may have followed.
        checkpoint = self.directory.best if is_regular_file(self.directory.best) else self.directory.last
        try:
            stored = read_checkpoint(checkpoint)
        except CheckpointError as error:
            raise RunFailedError(f"{relative_path(checkpoint)}: {error}") from error
        self.classifier.load_state_dict(stored.content["state_dict"])
        (metrics,) = self.trainer.test(self.classifier, datamodule=self.data, verbose=False)
        row = stored.epochs[-1]
        # The test metrics come first in results.json. They also come last, because with the book protocol the row has
        # test metrics as well, of the evaluation after the epoch.
        return int(row["epoch"]), dict(metrics) | self.history.reported_metrics(row) | dict(metrics)

    def _write_predictions(self) -> None:
        """Write the logits of the test, and of the images held out, which the tested network predicts now.

        Pictures are drawn of them. A run does not fail because one can't be.
        """
        if self.data.val_size:
            self.trainer.predict(self.classifier, datamodule=self.data, return_predictions=False)
        if self.directory.is_writer:
            predictions = self.recorder.predictions(self.data)
            predictions.save(self.directory.path / PREDICTIONS_FILE)
            if not self.logger.has_event_files:
                return
            try:
                log_filters(self.logger, self.classifier.model, self.trainer.global_step)
                log_predictions(self.logger, predictions, self.trainer.global_step)
            except Exception as error:  # of a library that draws
                log.warning("TensorBoard's pictures could not be drawn: %s", describe_error(error))

    def print_result(self) -> None:
        """Print the metrics, the directory and how to see the curves."""
        results, path = self.directory.results, self.directory.display_path
        assert results is not None
        keys = metric_keys(metrics_of([self.metric_info]))  # all but the accuracies of single classes
        formatted_metrics = "  ".join(
            f"{name} {value:.4g}" for name, value in results.metrics.items() if name in keys and value is not None
        )
        if results.stopped_early is not None:
            self._print("stopped early: %s", results.stopped_early)
        self._print("tested epoch %d of %d: %s", results.tested_epoch, results.epochs, formatted_metrics)
        self._print("directory: %s", path)
        if self.logger.has_event_files:
            logdir = path if path.is_absolute() else path.parts[0]
            self._print("curves: %s --logdir %s", shlex.quote(_tensorboard()), shlex.quote(str(logdir)))

    def _print(self, message: str, *arguments: object) -> None:
        """Print and log a line, in the first of several processes."""
        log.log(logging.INFO if self.trainer.is_global_zero else logging.DEBUG, message, *arguments)


def _own_checkpoints(config: ComposedConfig, directory: RunDirectory) -> list[Path]:
    """Return the checkpoints in the directory that the run continues from.

    A process that does not write may be here before the one that puts those of an earlier attempt aside.

    Raises:
        OSError: the directory cannot be read.
    """
    return [] if config.starts_over else directory.resumable_checkpoints()


def _continued_results(
    config: ComposedConfig, directory: RunDirectory, previous: RunResults | None
) -> RunResults | None:
    """Return the results of the run that this one continues, if they are there: `previous`, if it was here."""
    if _own_checkpoints(config, directory):
        return previous
    if (ckpt_path := config.settings["ckpt_path"]) is not None:
        return _results_next_to(resolve_checkpoint(Path(ckpt_path)))
    return None


def _build_logger(settings: Mapping[str, Any], directory: RunDirectory) -> RunLogger:
    """Return the loggers, which are in one process alone, and continue what they logged before the run was resumed."""
    assert directory.results is not None
    if not directory.is_writer:
        return RunLogger(directory.path, {})
    return build_logger(settings, directory.path, directory.results.logger_versions)


def _build_trainer(
    settings: Mapping[str, Any],
    data: ImageDataModule,
    directory: RunDirectory,
    logger: RunLogger,
    callbacks: Sequence[pl.Callback],
) -> pl.Trainer:
    has_terminal = sys.stdout.isatty() and not is_jupyter()
    progress_bar: list[pl.Callback] = [RichProgressBar()] if has_terminal else []
    if is_jupyter():
        progress_bar = [NotebookProgressBar()]
    limits = {"limit_predict_batches": settings["trainer"]["limit_val_batches"]}
    if data.protocol.eval_split is None:
        limits["limit_val_batches"] = 0
    return build_trainer(
        settings,
        **limits,
        default_root_dir=directory.path,
        logger=logger,
        enable_progress_bar=has_terminal,
        plugins=[CheckpointFiles()],
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # nothing is logged by step; Lightning warns of runs shorter than this
        callbacks=[*progress_bar, *callbacks],
    )


def _read_usable(checkpoint: Path, settings: Mapping[str, Any]) -> StoredCheckpoint:
    """Return a checkpoint from which a run with these settings can continue.

    Raises:
        RunFailedError: it can't.
        OSError: the file cannot be read.
    """
    try:
        stored = read_checkpoint(checkpoint)
        check_restorable(stored, settings)
    except CheckpointError as error:
        raise RunFailedError(f"{relative_path(checkpoint)}: {error}") from error
    return stored


def _results_next_to(checkpoint: Path) -> RunResults | None:
    """Return the results of the run that a checkpoint belongs to, if they are there."""
    try:
        return RunResults.load(checkpoint.absolute().parents[1])
    except (OSError, ValueError, IndexError):
        return None


def _earlier_fit_seconds(stored: StoredCheckpoint, results: RunResults | None) -> float:
    """Return the training time up to a checkpoint; one of an earlier version is not later than its run's results."""
    if stored.fit_seconds is not None:
        return stored.fit_seconds
    return (results.seconds.get("fit") or 0.0) if results else 0.0


@dataclass
class _Attempt:
    """One call of `train` that works on a run."""

    run: _TrainingRun | None = None

    @property
    def has_trained(self) -> bool:
        """Return whether a training step was made."""
        return self.run is not None and self.run.has_trained


@contextmanager
def _record_end(directory: RunDirectory, logger: RunLogger, previous: RunResults | None) -> Iterator[_Attempt]:
    """Record the final status, also if the block raises.

    A run that was interrupted stays so if it could not continue: it does not fail before its first step.
    """
    attempt = _Attempt()
    try:
        yield attempt
    except Interrupted as interruption:
        directory.update_if_possible(status=Status.INTERRUPTED, signal=interruption.signal)
        logger.log_end(Status.INTERRUPTED)
        raise
    except BaseException as error:
        status, signal = Status.FAILED, None
        if previous is not None and previous.status != Status.FAILED and not attempt.has_trained:
            status, signal = Status.INTERRUPTED, previous.signal
        directory.update_if_possible(status=status, signal=signal, error=_describe(error))
        logger.log_end(status)
        raise
    directory.update(status=Status.COMPLETED)
    logger.log_end(Status.COMPLETED)


@contextmanager
def _described_errors(config: ComposedConfig, directory: RunDirectory) -> Iterator[None]:
    """Turn every error into one line; its traceback is written to run.log alone.

    Raises:
        RunFailedError: the block raised an error.
    """
    try:
        yield
    except RunFailedError as error:
        if error.__cause__ is not None:
            directory.log_traceback(error)
        raise
    except (Exception, SystemExit) as error:
        directory.log_traceback(error)
        if _is_from_outside(error):
            raise RunFailedError(f"{_describe(error)}; {_resume_hint(config, directory)}") from error
        line = _describe(error) if isinstance(error, MisconfigurationException) else describe_error(error)
        raise RunFailedError(f"{line}; the traceback is in {directory.display_path / LOG_FILE}") from error


_MACHINE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO}
"""Errors of a disk: full, broken, read-only or gone."""


def _is_from_outside(error: BaseException) -> bool:
    """Return whether the machine failed and not the run: what is missing can be provided, and the run continues."""
    if isinstance(error, OSError):
        return error.errno in _MACHINE_ERRORS
    return isinstance(error, MemoryError | torch.OutOfMemoryError)


def _describe(error: BaseException) -> str:
    """Return the cause of an error in one line."""
    if isinstance(error, RunFailedError | MisconfigurationException):
        message = str(error)
    elif isinstance(error, MemoryError):
        message = "out of memory"
    else:
        message = error_message(error)
    return " ".join(message.split())


def _resume_hint(config: ComposedConfig, directory: RunDirectory) -> str:
    """Return how the run continues when its cause is gone."""
    suffix = config.resume_suffix(directory.display_path)
    if (directory.path / PLAN_FILE).exists():  # of a sweep, which leaves failed runs as they are
        suffix += " with retry_failed=true"
    return f"the same command{suffix} {'resumes' if directory.find_resume_checkpoint() else 'starts'} the run"


def _tensorboard() -> str:
    if shutil.which("tensorboard"):
        return "tensorboard"
    return str(relative_path(Path(sys.executable).with_name("tensorboard")))
