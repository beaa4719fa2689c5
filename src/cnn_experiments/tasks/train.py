"""Trains a network, tests its best checkpoint once and records both in the run's folder."""

import logging
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar
from omegaconf import DictConfig, OmegaConf

from cnn_experiments.analysis.cost import count_multiply_adds, count_parameters
from cnn_experiments.analysis.probe import probe_image
from cnn_experiments.config.schema import plain
from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.directory import RunFolder, checkpoint_of, short
from cnn_experiments.runs.fingerprint import configuration, effective, identity
from cnn_experiments.runtime import environment as provenance
from cnn_experiments.runtime.memory import disable_malloc_trim, peak_memory, reset_peak_memory
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.training.build import build_classifier, build_data, build_trainer
from cnn_experiments.training.callbacks import (
    BestAndLast,
    DivergenceGuard,
    RandomState,
    Recorder,
    StopOnSignal,
    Throughput,
)
from cnn_experiments.training.logger import Dashboard

log = logging.getLogger(__name__)


def train(config: DictConfig, folder: RunFolder, options: dict[str, str], overrides: list[str]) -> None:
    """Runs an experiment to the test: from its first step, from a checkpoint's, or from where it stopped in its folder.

    Args:
        config: all settings.
        folder: where everything about the run is written. A run that is complete there is not repeated.
        options: the one chosen in every group; a run is known by those of `model` and `data`.
        overrides: what was typed.

    Raises:
        RunFailedError: the loss became NaN or infinite, the data can't be had, or the folder holds another run.
        Interrupted: the program was asked to end.
    """
    settings = plain(config)
    with folder.claimed(identity(settings)):
        if folder.facts.get("status") == "completed":
            log.info("complete already: %s", folder.path)
            return
        disable_malloc_trim()
        dashboard = Dashboard(folder.path)
        with _standing(folder, dashboard):
            folder.record(
                **{
                    "started": datetime.now(UTC).isoformat(timespec="seconds"),
                    "metrics": {},
                    "epochs": 0,
                    "seconds": {"fit": None, "test": None},
                    "images_per_second": {"train": None, "test": None},
                    "peak_memory_bytes": None,
                }
                | folder.facts
                | {
                    "status": "running",
                    "model": options["model"],
                    "data": options["data"],
                    "options": options,
                    "overrides": overrides,
                    "seed": config.seed,
                    "identity": identity(settings),
                    "configuration": configuration(settings),
                    "settings": effective(settings),
                    "error": None,
                }
            )
            _train_and_test(config, folder, options, dashboard)


def _train_and_test(config: DictConfig, folder: RunFolder, options: dict[str, str], dashboard: Dashboard) -> None:
    pl.seed_everything(config.seed, verbose=False)
    data = build_data(config)
    settings = plain(config)
    dashboard.begin(options | {"protocol": data.protocol.name} | effective(settings))
    classifier = build_classifier(config, data)
    monitor = data.protocol.monitor
    recorder = Recorder(folder, monitor, settings)
    throughput = Throughput()
    on_terminal = sys.stdout.isatty()
    checkpoints = BestAndLast(folder.checkpoints, monitor)
    trainer = build_trainer(
        config,
        **({"limit_val_batches": 0} if data.protocol.eval_split is None else {}),
        logger=dashboard,
        enable_progress_bar=on_terminal,
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # nothing is logged by step; Lightning warns of runs shorter than this
        callbacks=[
            RandomState(),
            DivergenceGuard(),
            throughput,
            *([RichProgressBar()] if on_terminal else []),
            recorder,  # before the checkpoints, which hold its history
            checkpoints,
            StopOnSignal(checkpoints),
        ],
    )
    device = trainer.strategy.root_device
    device_name = provenance.device_name(device)
    folder.write_config(OmegaConf.to_yaml(config, resolve=True))
    folder.record(
        protocol=data.protocol.name,
        image_size=data.size,
        parameters=count_parameters(classifier.model),
        multiply_adds=count_multiply_adds(classifier.model, probe_image(classifier.model, data.channels, data.size)),
        device=device_name,
        precision=trainer.precision,
        processes=trainer.world_size,
        git_commit=provenance.git_commit(),
        versions=provenance.versions(),
    )
    reset_peak_memory(device)
    say = log.info if trainer.is_global_zero else log.debug
    say("%s on %s, %s, seed %d", options["model"], options["data"], device_name, config.seed)

    resumed = folder.begun
    if resumed is not None:
        say("goes on behind epoch %d", Recorder.history_in(resumed)[1])
    elif config.ckpt_path:
        resumed = checkpoint_of(Path(config.ckpt_path))
        folder.adopt_best(resumed)
    with _timed_fit(folder):
        trainer.fit(classifier, datamodule=data, ckpt_path=resumed)
    fitted = time.perf_counter()
    # Now, because testing a checkpoint takes the callbacks back to its epoch.
    epochs, epoch, validated = len(recorder.epochs), recorder.tested_epoch, recorder.tested_metrics
    (tested,) = trainer.test(classifier, datamodule=data, ckpt_path=folder.best, verbose=False)
    metrics = {**tested, **validated}
    folder.record(
        epochs=epochs,
        metrics=metrics,
        tested_epoch=epoch,
        seconds=folder.facts["seconds"] | {"test": time.perf_counter() - fitted},
        images_per_second={"train": throughput.median_train, "test": throughput.test},
        peak_memory_bytes=peak_memory(device),
    )
    shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name.count("/") == 1)
    say("tested epoch %d of %d: %s", epoch, epochs, shown)
    say("folder: %s", folder.path)
    say("curves: %s --logdir %s", _tensorboard(), folder.path if folder.path.is_absolute() else folder.path.parts[0])


@contextmanager
def _timed_fit(folder: RunFolder) -> Iterator[None]:
    """Adds the seconds of training to those before an interruption."""
    before = folder.facts["seconds"]
    started = time.perf_counter()
    try:
        yield
    finally:
        folder.record(seconds=before | {"fit": (before["fit"] or 0.0) + time.perf_counter() - started})


@contextmanager
def _standing(folder: RunFolder, dashboard: Dashboard) -> Iterator[None]:
    """Writes down how the run ended, whichever way it does."""
    try:
        yield
    except BaseException as error:
        status = "interrupted" if isinstance(error, Interrupted) else "failed"
        folder.record(status=status, error=_one_line(error))
        dashboard.end(status)
        raise
    folder.record(status="completed")
    dashboard.end("completed")


def _one_line(error: BaseException) -> str:
    if isinstance(error, Interrupted):
        return error.signal
    said = str(error) if isinstance(error, RunFailedError) else f"{type(error).__name__}: {error}"
    return " ".join(said.split())


def _tensorboard() -> str:
    return "tensorboard" if shutil.which("tensorboard") else str(short(Path(sys.executable).with_name("tensorboard")))
