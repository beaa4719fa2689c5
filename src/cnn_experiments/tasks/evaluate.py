"""Measures a trained network on a split of its own data set, or of another one."""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import RichProgressBar
from rich.table import Table

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.stored_settings import DEVICE_KEYS, IMAGES_KEYS, MEASUREMENT_KEYS, uses_other_data
from cnn_experiments.console import cell, print_line, print_table, relative_path
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import ConfigError
from cnn_experiments.predictions.class_table import CLASS_TABLE_HEADER, class_table_rows
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.measures import ClassReport, class_report
from cnn_experiments.predictions.of_run import EVALUATION_FILE
from cnn_experiments.runs.atomic import atomic_write
from cnn_experiments.runs.directory import PREDICTIONS_FILE, RunDirectory
from cnn_experiments.runs.fingerprint import round_to_float32
from cnn_experiments.runs.metrics import Split, metric_keys, metrics_of
from cnn_experiments.runs.results import RunResults, finite_number
from cnn_experiments.runtime import environment
from cnn_experiments.runtime.cpu import compute_threads
from cnn_experiments.tasks.output_directory import output_directory
from cnn_experiments.training.build import build_classifier, build_data, build_trainer
from cnn_experiments.training.callbacks import PredictionRecorder
from cnn_experiments.training.execution import threads_like
from cnn_experiments.training.metrics import build_metrics, metric_info
from cnn_experiments.training.stored_checkpoint import CheckpointError, load_state
from cnn_experiments.training.trained_network import TrainedNetwork, load_trained_networks

_FILES = (EVALUATION_FILE, PREDICTIONS_FILE)
_FREE_KEYS = (*IMAGES_KEYS, *DEVICE_KEYS, *MEASUREMENT_KEYS)


def evaluate(configs: Sequence[ComposedConfig], directory: RunDirectory | None) -> None:  # noqa: ARG001
    """Print the metrics and the table of classes of each network, and write them.

    Raises:
        ConfigError: `ckpt_path` names no network, or a setting that was typed contradicts its run.
        RunFailedError: the images can't be loaded.
    """
    for config, trained in zip(configs, load_trained_networks(configs, _FREE_KEYS), strict=True):
        _evaluate(config, trained)


@dataclass(frozen=True)
class _Evaluation:
    """What was measured."""

    data_name: str
    split: Split
    metrics: Mapping[str, float]
    """By name, such as `test/acc`."""
    predictions: Predictions
    device: str
    precision: str

    @property
    def num_images(self) -> int:
        return len(self.predictions.evaluated.index)


def _evaluate(config: ComposedConfig, trained: TrainedNetwork) -> None:
    split: Split = config.settings["task"]["split"]
    results = trained.results
    data, data_name = trained.data, results.data if results else type(trained.data).__name__
    is_other = uses_other_data(trained.settings, config)
    if is_other:
        with config.error_context():
            data, data_name = _other_data(config, trained), config.choices["data"]
    if split == "val" and not data.val_size:
        raise ConfigError(
            "task.split", split, problem="must be train or test: no images are held out (data.val_size=0)"
        )
    limit_key = f"trainer.limit_{split}_batches"
    is_comparable = not is_other and split != "train" and limit_key not in config.overrides_by_key
    limit = trained.settings["trainer"][f"limit_{split}_batches"]
    if not is_comparable and limit_key not in config.overrides_by_key:
        limit = None  # that of the run was for its own training and test
    with output_directory(config, trained.directory, _FILES) as written:
        evaluation = _measure(trained, data, data_name, split, limit)
        report = class_report(evaluation.predictions.evaluated)
        evaluation.predictions.save(written / PREDICTIONS_FILE)
        _write(written / EVALUATION_FILE, config, trained, evaluation, report)
    _print(trained, evaluation, report)
    num_images = len(data.stored_split(split).labels)
    if evaluation.num_images < num_images:
        print_line(f"the first {evaluation.num_images:,} of {num_images:,} images: {limit_key}={limit}", style="yellow")
    if is_other:
        _warn_of_other_classes(trained.data, data)
    elif results is None:
        print_line("not compared: the results.json of its run is not beside the checkpoint", style="yellow")
    elif is_comparable and results.tested_epoch == trained.epoch:
        print_line(_comparison_with_run(evaluation, results))
    print_line(f"written: {', '.join(str(relative_path(written / name)) for name in _FILES)}")


def _other_data(config: ComposedConfig, trained: TrainedNetwork) -> ImageDataModule:
    """Return the data module that was typed, whose images are preprocessed as those that the network has learned."""
    own = trained.data
    settings = dict(config.settings["data"])
    if "resize" in settings:
        settings["resize"] = own.size  # images in folders and arrays are stored at this size
    data = build_data(config.settings | {"data": settings})
    for name in ("channels", "classes"):
        if getattr(data, name) != getattr(own, name):
            problem = f"{name} must be {getattr(own, name)}, as in training, not {getattr(data, name)}"
            can_convert = name == "channels" and own.channels in data.possible_channels
            suggestion = f"data.channels={own.channels}" if can_convert else None
            raise ConfigError("data", config.choices["data"], problem=problem, suggestion=suggestion)
    data.preprocessing = own.preprocessing
    return data


def _measure(
    trained: TrainedNetwork, data: ImageDataModule, data_name: str, split: Split, limit: float | None
) -> _Evaluation:
    classifier = build_classifier(trained.settings, data, trained.network)
    try:
        load_state(classifier.loss, trained.loss_state)
    except CheckpointError as error:
        raise ConfigError("ckpt_path", relative_path(trained.checkpoint), problem=f"its loss: {error}") from error
    recorder = PredictionRecorder()
    trainer = _build_trainer(trained.settings, limit, recorder)
    data.tested_split = split
    with compute_threads(threads_like(trained.results) or torch.get_num_threads()):
        (metrics,) = trainer.test(classifier, datamodule=data, verbose=False)
    return _Evaluation(
        data_name=data_name,
        split=split,
        metrics={f"{split}/{name.removeprefix('test/')}": value for name, value in metrics.items()},
        predictions=recorder.predictions(data),
        device=environment.device_name(trainer.strategy.root_device),
        precision=str(trainer.precision),
    )


def _build_trainer(settings: Mapping[str, Any], limit: float | None, recorder: PredictionRecorder) -> pl.Trainer:
    is_terminal = sys.stdout.isatty()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it would print the devices
    return build_trainer(
        {**settings, "trainer": settings["trainer"] | {"limit_test_batches": limit}},
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=is_terminal,
        callbacks=[*([RichProgressBar()] if is_terminal else []), recorder],
    )


def _print(trained: TrainedNetwork, evaluation: _Evaluation, report: ClassReport) -> None:
    print_line(
        f"{relative_path(trained.checkpoint)}, epoch {trained.epoch}, on {evaluation.num_images:,} images "
        f"({evaluation.data_name}, {evaluation.split}), {evaluation.device}"
    )
    table = Table()
    for column in CLASS_TABLE_HEADER:
        table.add_column(column, justify="left" if column == CLASS_TABLE_HEADER[0] else "right", no_wrap=True)
    *rows, mean_row = class_table_rows(evaluation.predictions.class_names, report)
    for row in rows:
        table.add_row(*map(cell, row))
    table.add_section()
    table.add_row(*map(cell, mean_row))
    print_table(table)
    own_metrics = metrics_of([metric_info(build_metrics(trained.settings))])
    keys = {key.partition("/")[2] for key in metric_keys(own_metrics)}
    metrics = {name: value for name, value in evaluation.metrics.items() if name.partition("/")[2] in keys}
    print_line("  ".join(f"{name} {round_to_float32(value)}" for name, value in metrics.items()))


def _comparison_with_run(evaluation: _Evaluation, results: RunResults) -> str:
    """Return whether the metrics are those of the run's own test."""
    differences = {
        name: abs(round_to_float32(value) - stored)
        for name, value in evaluation.metrics.items()
        if (stored := finite_number(results.metrics.get(name))) is not None
    }
    if not differences:
        return "the run's results.json has no metrics of this split"
    if not any(differences.values()):
        return f"equal to the run's results.json, to the last digit ({len(differences)} metrics)"
    name = max(differences, key=lambda name: differences[name])
    return (
        f"differs from the run's results.json by at most {differences[name]:.1g} ({name}); "
        f"the run was on {results.device or 'an unknown device'} with {results.precision}"
    )


def _warn_of_other_classes(own: ImageDataModule, other: ImageDataModule) -> None:
    if tuple(own.class_names) != tuple(other.class_names):
        names = [", ".join(list(data.class_names)[:3]) for data in (own, other)]
        print_line(
            f"the classes have other names: the network learned {names[0]}, ...; these images are of {names[1]}, ...",
            style="yellow",
        )


def _write(
    path: Path, config: ComposedConfig, trained: TrainedNetwork, evaluation: _Evaluation, report: ClassReport
) -> None:
    """Write everything that was measured, and what with."""
    classes = zip(evaluation.predictions.class_names, report.classes, strict=True)
    content = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "checkpoint": str(relative_path(trained.checkpoint)),
        "epoch": trained.epoch,
        "data": evaluation.data_name,
        "split": evaluation.split,
        "images": evaluation.num_images,
        "metrics": {name: round_to_float32(value) for name, value in evaluation.metrics.items()},
        "classes": {name: asdict(measures) for name, measures in classes},
        "overrides": config.overrides,
        "device": evaluation.device,
        "precision": evaluation.precision,
        "versions": environment.versions(),
    }
    with atomic_write(path) as file:
        json.dump(content, file, indent=1)
