"""Draws where a trained network looks: class activation maps over images, and the activations of a stage."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from cnn_experiments.analysis.cost import StageCost
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.stored_settings import IMAGES_KEYS
from cnn_experiments.console import cell, print_error, print_line, print_table, printable, relative_path, table_title
from cnn_experiments.data.image_files import ImageFileError, find_image_files, read_image_for
from cnn_experiments.errors import ConfigError, RunFailedError, error_message
from cnn_experiments.predictions.figures import to_png
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.of_run import directory_of_predictions, evaluation_overrides
from cnn_experiments.runs.atomic import atomic_write_bytes
from cnn_experiments.runs.directory import PREDICTIONS_FILE, RunDirectory
from cnn_experiments.tasks.activation_pictures import activations_figure, image_figure, overview_figure
from cnn_experiments.tasks.explanation import (
    Explanation,
    check_captum,
    choose_stage,
    compute_activations,
    explain_image,
    stage_title,
)
from cnn_experiments.tasks.output_directory import output_directory
from cnn_experiments.training.trained_network import TrainedNetwork, load_trained_networks

_OVERVIEW_FILE = "overview.png"
_OVERVIEW_IMAGES = 25
_MAX_STEM = 40
"""Letters of a file's name in the names of its pictures."""


def explain(configs: Sequence[ComposedConfig], directory: RunDirectory | None) -> None:  # noqa: ARG001
    """Draw the maps of the images of `input`, or of the most confident mistakes of a run.

    Raises:
        ConfigError: `ckpt_path` names no network, `input` no image, or `task.stage` no stage whose output is a grid.
        RunFailedError: some files could not be read, and the pictures of all others are written; or a picture could
            not be computed or written.
    """
    check_captum("task=explain")
    num_images, num_unreadable = 0, 0
    for config, trained in zip(configs, load_trained_networks(configs, IMAGES_KEYS), strict=True):
        images, problems = _explain(config, trained)
        num_images += images
        num_unreadable += problems
    if num_unreadable:
        raise RunFailedError(f"{num_unreadable:,} of {num_images:,} files could not be read")


@dataclass(frozen=True)
class _Input:
    """An image to be explained."""

    name: str
    title: str
    """Above its pictures."""
    stem: str
    """Of the names of its pictures."""
    pixels: Tensor
    """uint8 (channels, native_size, native_size)."""
    label: int | None
    """The true class, if it is known."""

    @property
    def files(self) -> tuple[str, str]:
        """Return the names of its pictures: of its maps, and of the activations."""
        return f"{self.stem}.png", f"{self.stem}-activations.png"


def _explain(config: ComposedConfig, trained: TrainedNetwork) -> tuple[int, int]:
    """Explain the images of one configuration, and return the numbers of images and of unreadable files."""
    with config.error_context():
        stage = choose_stage(trained, config.settings["task"]["stage"], "task.stage")
        inputs, num_unreadable = _inputs(config, trained)
    if inputs:
        files = [name for image in inputs for name in image.files]
        with output_directory(config, trained.directory, [*files, _OVERVIEW_FILE]) as directory:
            explanations = [
                explain_image(trained, stage, image.pixels, title=image.title, label=image.label) for image in inputs
            ]
            _write(trained, stage, inputs, explanations, directory)
        _print(trained, stage, inputs, explanations, directory)
    return len(inputs) + num_unreadable, num_unreadable


def _inputs(config: ComposedConfig, trained: TrainedNetwork) -> tuple[list[_Input], int]:
    """Return the images that are explained, and the number of files that can't be read."""
    options = config.settings["task"]
    if config.settings["input"] is None:
        if options["invert"]:
            problem = "must be false for the mistakes of a run; it is for the images that input names"
            raise ConfigError("task.invert", value=True, problem=problem)
        return _mistakes(trained, options["max_images"]), 0
    found = find_image_files(config.settings["input"])
    paths = found.paths
    if found.left_out:
        print_line(found.left_out, style="yellow")
    chosen = paths[: options["max_images"]]
    if len(chosen) < len(paths):
        print_line(f"the first {len(chosen):,} of {len(paths):,} files; task.max_images={len(paths)} explains all")
    images = []
    num_digits = len(str(len(chosen)))
    for number, path in enumerate(chosen, start=1):
        try:
            pixels = read_image_for(trained.data, path, invert=options["invert"])
        except ImageFileError as error:
            print_error(f"{path}: {error}")
            continue
        stem = f"{number:0{num_digits}}-{printable(path.stem)[:_MAX_STEM]}"
        images.append(_Input(str(path), title=path.name, stem=stem, pixels=pixels, label=None))
    return images, len(chosen) - len(images)


def _mistakes(trained: TrainedNetwork, max_images: int) -> list[_Input]:
    """Return the mistakes of the run's test, the most confident one first."""
    predictions = _predictions_of(trained)
    labels = dict(zip(predictions.evaluated.index.tolist(), predictions.evaluated.label.tolist(), strict=True))
    indices = predictions.mistake_index[:max_images].tolist()
    num_mistakes = len(predictions.evaluated.mistakes())
    if not num_mistakes:
        print_line(f"{relative_path(trained.directory)}: no mistakes in the test; input=FOLDER explains other images")
    elif len(indices) < num_mistakes:
        print_line(f"the {len(indices):,} most confident of {num_mistakes:,} mistakes in the test")
    return [
        _Input(name, title=name, stem=f"test-{index}", pixels=torch.from_numpy(pixels), label=labels[index])
        for index, pixels in zip(indices, predictions.mistake_images, strict=False)
        for name in [f"test image {index}"]
    ]


def _predictions_of(trained: TrainedNetwork) -> Predictions:
    """Return the predictions of the run's test, or of an evaluation of the run if that wrote none.

    Raises:
        ConfigError: there are none.
        RunFailedError: they can't be read, or are of other images than those of the network.
    """
    directory, results = trained.directory, trained.results
    path = (directory if results is None else directory_of_predictions(directory, results)) / PREDICTIONS_FILE
    name = relative_path(path)
    try:
        predictions = Predictions.load(path)
    except FileNotFoundError as error:
        problem = f"there is no {name} with the mistakes of a run's test"
        raise ConfigError("input", None, problem=problem, remedy=_what_to_type(trained)) from error
    except (OSError, ValueError) as error:
        reason = error_message(error) if isinstance(error, OSError) else error
        raise RunFailedError(f"{name} could not be read: {reason}") from error
    data = trained.data
    shape = (data.channels, data.native_size, data.native_size)
    if predictions.class_names != tuple(data.class_names) or predictions.mistake_images.shape[1:] != shape:
        raise RunFailedError(f"{name} is of other images than those of {type(data).__name__}")
    return predictions


def _what_to_type(trained: TrainedNetwork) -> str:
    overrides = None if trained.results is None else evaluation_overrides(relative_path(trained.directory))
    images = "input=FOLDER explains images of your own"
    return images if overrides is None else f"{images}, and {shlex.join(overrides)} writes those mistakes"


def _write(
    trained: TrainedNetwork,
    stage: StageCost,
    images: Sequence[_Input],
    explanations: Sequence[Explanation],
    directory: Path,
) -> None:
    """Compute the activations, and write all pictures."""
    pictures = [explanation.picture for explanation in explanations[:_OVERVIEW_IMAGES]]
    overview = overview_figure(pictures, f"{relative_path(trained.checkpoint)}\n{stage_title(stage)}")
    atomic_write_bytes(directory / _OVERVIEW_FILE, to_png(overview))
    for image, explanation in zip(images, explanations, strict=True):
        maps_file, activations_file = image.files
        atomic_write_bytes(directory / maps_file, to_png(image_figure(explanation.picture)))
        activations = compute_activations(trained, stage, image.pixels)
        figure = activations_figure(activations, f"{image.title}\n{stage_title(stage)}")
        atomic_write_bytes(directory / activations_file, to_png(figure))


def _print(
    trained: TrainedNetwork,
    stage: StageCost,
    images: Sequence[_Input],
    explanations: Sequence[Explanation],
    directory: Path,
) -> None:
    title = f"{relative_path(trained.checkpoint)}, epoch {trained.epoch}, {stage_title(stage)}"
    table = Table(title=table_title(title))
    table.add_column("image")
    has_labels = any(image.label is not None for image in images)
    for heading in ("predicted", "true") if has_labels else ("predicted",):
        table.add_column(heading)
        table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("file")
    for image, explanation in zip(images, explanations, strict=True):
        cells = [cell(image.name)]
        for number in (explanation.predicted, image.label):
            if number is not None:
                cells += [cell(trained.data.class_names[number]), cell(f"{explanation.probabilities[number]:.1%}")]
        table.add_row(*cells, cell(image.files[0]))
    print_table(table)
    if num_empty := sum(explanation.has_empty_map for explanation in explanations):
        line = f"{num_empty:,} of {len(explanations):,} maps of the predicted class are empty: nothing in {stage.name}"
        print_line(f"{line} speaks for it; another task.stage may show more", style="yellow")
    num_pictures = 2 * len(explanations) + 1
    print_line(f"written: {num_pictures:,} pictures in {relative_path(directory)}; see {_OVERVIEW_FILE} first")
