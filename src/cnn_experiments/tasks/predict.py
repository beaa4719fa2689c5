"""Predicts the classes of image files with a trained network."""

import csv
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any

import torch
from rich.table import Table
from rich.text import Text

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.stored_settings import DEVICE_KEYS, IMAGES_KEYS
from cnn_experiments.console import cell, print_error, print_line, print_table, relative_path, table_title
from cnn_experiments.data.image_files import find_image_files
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runs.atomic import atomic_write
from cnn_experiments.runs.csv_text import csv_text
from cnn_experiments.runs.directory import RunDirectory
from cnn_experiments.runtime.progress import with_progress
from cnn_experiments.tasks.output_directory import output_directory
from cnn_experiments.training.build import build_trainer
from cnn_experiments.training.file_predictions import FilePrediction, image_warnings, predict_files
from cnn_experiments.training.trained_network import TrainedNetwork, load_trained_networks

_CSV_FILE = "predictions.csv"
_JSON_LINES_FILE = "predictions.jsonl"
_FILES = (_CSV_FILE, _JSON_LINES_FILE)
_MAX_ROWS = 20
"""Files in the table on the terminal."""
_MAX_PROBLEMS = 10
"""Files that could not be read and are named on the terminal."""
_MAX_COUNTS = 10
"""Classes whose files are counted on the terminal."""


def predict(configs: Sequence[ComposedConfig], directory: RunDirectory | None) -> None:  # noqa: ARG001
    """Print and write what each network predicts for the files of `input`.

    Raises:
        ConfigError: `ckpt_path` names no network, `input` no image, or a setting that was typed contradicts the run.
        RunFailedError: some files could not be read; the predictions for all others are written.
    """
    num_files, num_unreadable = 0, 0
    for config, trained in zip(configs, load_trained_networks(configs, (*IMAGES_KEYS, *DEVICE_KEYS)), strict=True):
        summary = _predict(config, trained)
        num_files += summary.num_files
        num_unreadable += len(summary.problems)
    if num_unreadable:
        raise RunFailedError(f"{num_unreadable:,} of {num_files:,} files could not be read")


@dataclass(frozen=True)
class _RankedPrediction:
    """The classes of one file with their probabilities, the most probable first."""

    path: Path
    classes: list[tuple[str, float]]
    probabilities: Mapping[str, float]
    """All of them, by class name, in the order of the data set."""


@dataclass
class _Summary:
    """What the terminal shows of all predictions."""

    num_files: int
    rows: list[_RankedPrediction] = field(default_factory=list)
    """The first ones."""
    num_predicted: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Files by predicted class."""
    num_wrong_backgrounds: int = 0
    num_blank: int = 0
    """Images whose pixels all have the same color."""
    problems: list[tuple[Path, str]] = field(default_factory=list)
    """Files that could not be read, and why."""

    def add(self, prediction: _RankedPrediction) -> None:
        """Count one prediction, and keep it if it is one of the first."""
        self.num_predicted += 1
        self.counts[prediction.classes[0][0]] += 1
        if len(self.rows) < _MAX_ROWS:
            self.rows.append(prediction)


def _predict(config: ComposedConfig, trained: TrainedNetwork) -> _Summary:
    with config.error_context():
        source = config.settings["input"]
        if source is None:
            raise ConfigError("input", None, problem="must be an image, a folder of images or a pattern")
        found = find_image_files(source)
    paths = found.paths
    options = config.settings["task"]
    summary = _Summary(len(paths))
    device = _device(trained.settings)
    with (
        output_directory(config, trained.directory, _FILES) as directory,
        closing(with_progress(paths, "predicting")) as shown_paths,
    ):
        predictions = predict_files(trained, shown_paths, invert=options["invert"], device=device)
        _write(directory, _ranked(predictions, trained, options["top"], summary))
    _print(trained, summary, is_inverted=options["invert"])
    if found.left_out:
        print_line(found.left_out, style="yellow")
    if summary.num_predicted:
        print_line(f"written: {', '.join(str(relative_path(directory / name)) for name in _FILES)}")
    return summary


def _device(settings: Mapping[str, Any]) -> torch.device:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it would print the devices
    trainer = build_trainer(settings, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    return trainer.strategy.root_device


def _ranked(
    predictions: Iterable[FilePrediction], trained: TrainedNetwork, top: int, summary: _Summary
) -> Iterator[_RankedPrediction]:
    """Yield the predictions of the files that could be read, and let the summary count all."""
    names = trained.data.class_names
    for prediction in predictions:
        if prediction.probabilities is None:
            summary.problems.append((prediction.path, str(prediction.problem)))
            continue
        summary.num_wrong_backgrounds += prediction.has_wrong_background
        summary.num_blank += prediction.is_blank
        values = prediction.probabilities.tolist()
        order = sorted(range(len(names)), key=lambda index: -values[index])[:top]
        ranked = _RankedPrediction(
            path=prediction.path,
            classes=[(names[index], values[index]) for index in order],
            probabilities=dict(zip(names, values, strict=True)),
        )
        summary.add(ranked)
        yield ranked


def _write(directory: Path, predictions: Iterator[_RankedPrediction]) -> None:
    """Write the predictions as they come, and nothing if there are none."""
    first = next(predictions, None)
    if first is None:
        return
    with atomic_write(directory / _CSV_FILE) as table, atomic_write(directory / _JSON_LINES_FILE) as lines:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_csv_header(first))
        for prediction in chain([first], predictions):
            writer.writerow(_csv_row(prediction))
            _write_json_line(prediction, lines)


def _csv_header(prediction: _RankedPrediction) -> list[str]:
    more = [f"{name} {rank}" for rank in range(2, len(prediction.classes) + 1) for name in ("class", "probability")]
    names = [csv_text(f"probability of {name}") for name in prediction.probabilities]
    return ["file", "class", "probability", *more, *names]


def _csv_row(prediction: _RankedPrediction) -> list[str]:
    classes = [text for name, value in prediction.classes for text in (csv_text(name), _format_number(value))]
    return [csv_text(str(prediction.path)), *classes, *map(_format_number, prediction.probabilities.values())]


def _format_number(probability: float) -> str:
    return f"{probability:.7g}"


def _write_json_line(prediction: _RankedPrediction, file: IO[str]) -> None:
    name, probability = prediction.classes[0]
    content = {
        "file": str(prediction.path),
        "class": name,
        "probability": probability,
        "top": [{"class": name, "probability": value} for name, value in prediction.classes],
        "probabilities": prediction.probabilities,
    }
    file.write(f"{json.dumps(content)}\n")


def _print(trained: TrainedNetwork, summary: _Summary, *, is_inverted: bool) -> None:
    if summary.rows:
        print_table(_table(trained, summary))
        if hidden := summary.num_predicted - len(summary.rows):
            print_line(f"... and {hidden:,} more files")
        print_line(f"predicted classes: {_format_counts(summary.counts)}")
    for line in image_warnings(
        trained.data,
        num_wrong_backgrounds=summary.num_wrong_backgrounds,
        num_blank=summary.num_blank,
        num_images=summary.num_predicted,
        inverting="task.invert=true",
        invert=is_inverted,
    ):
        print_line(line, style="yellow")
    for path, problem in summary.problems[:_MAX_PROBLEMS]:
        print_error(f"{path}: {problem}")
    if (hidden := len(summary.problems) - _MAX_PROBLEMS) > 0:
        print_error(f"... and {hidden:,} more files that could not be read")


def _table(trained: TrainedNetwork, summary: _Summary) -> Table:
    title = f"{relative_path(trained.checkpoint)}, epoch {trained.epoch}, on {summary.num_files:,} files"
    table = Table(title=table_title(title))
    table.add_column("file")
    table.add_column("class")
    table.add_column("probability", justify="right", no_wrap=True)
    has_more = any(len(row.classes) > 1 for row in summary.rows)
    if has_more:
        table.add_column("next")
    for row in summary.rows:
        (name, probability), *more = row.classes
        cells: list[Text | str] = [cell(row.path), cell(name), f"{probability:.1%}"]
        if has_more:
            cells.append(cell(", ".join(f"{name} {value:.1%}" for name, value in more)))
        table.add_row(*cells)
    return table


def _format_counts(counts: Counter[str]) -> str:
    shown = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(_MAX_COUNTS))
    hidden = len(counts) - _MAX_COUNTS
    return f"{shown} and {hidden} other classes" if hidden > 0 else shown
