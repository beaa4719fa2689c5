"""Draws where a trained network looks: class activation maps over images, and the activations of a stage."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor

from cnn_experiments.analysis.cost import StageCost, stage_costs
from cnn_experiments.analysis.probe import probe_image
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.stored_settings import IMAGES_KEYS
from cnn_experiments.console import cell, print_error, print_line, print_table, printable, relative_path, table_title
from cnn_experiments.data.image_files import ImageFileError, find_image_files, read_image_for
from cnn_experiments.errors import ConfigError, RunFailedError, describe_error, error_message, suggest
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.of_run import directory_of_predictions, evaluation_overrides
from cnn_experiments.runs.atomic import atomic_write_bytes
from cnn_experiments.runs.directory import PREDICTIONS_FILE, RunDirectory
from cnn_experiments.runs.stages import format_shape
from cnn_experiments.tasks.activation_pictures import (
    ClassMap,
    ExplainedImage,
    draw_activations,
    draw_image,
    draw_overview,
)
from cnn_experiments.tasks.output_directory import output_directory
from cnn_experiments.training.trained_network import TrainedNetwork, load_trained_networks

_OVERVIEW_FILE = "overview.png"
_OVERVIEW_IMAGES = 25
_MAP_SIZE = 256
"""Pixels per side, about, of the maps that are drawn."""
_MAX_STEM = 40
"""Letters of a file's name in the names of its pictures."""


def explain(configs: Sequence[ComposedConfig], directory: RunDirectory | None) -> None:  # noqa: ARG001
    """Draw the maps of the images of `input`, or of the most confident mistakes of a run.

    Raises:
        ConfigError: `ckpt_path` names no network, `input` no image, or `task.stage` no stage whose output is a grid.
        RunFailedError: some files could not be read, and the pictures of all others are written; or a picture could
            not be computed or written.
    """
    if find_spec("captum") is None:
        problem = "needs the package captum, which is not installed"
        raise ConfigError("task", "explain", problem=problem, remedy='pip install ".[explain]" installs it')
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


@dataclass(frozen=True)
class _Explanation:
    """What the network makes of an image."""

    image: _Input
    predicted: int
    probabilities: Tensor
    """float64 (classes,)."""
    has_empty_map: bool
    """Whether nothing in the stage speaks for the predicted class."""
    picture: ExplainedImage
    activations: NDArray[np.float32]
    """(C, H, W)."""


def _explain(config: ComposedConfig, trained: TrainedNetwork) -> tuple[int, int]:
    """Explain the images of one configuration, and return the numbers of images and of unreadable files."""
    with config.error_context():
        stage = _chosen_stage(config, trained)
        inputs, num_unreadable = _inputs(config, trained)
    if inputs:
        files = [name for image in inputs for name in image.files]
        with output_directory(config, trained.directory, [*files, _OVERVIEW_FILE]) as directory:
            explanations = [_explanation(trained, stage, image) for image in inputs]
            _write(trained, stage, explanations, directory)
        _print(trained, stage, explanations, directory)
    return len(inputs) + num_unreadable, num_unreadable


def _chosen_stage(config: ComposedConfig, trained: TrainedNetwork) -> StageCost:
    """Return the stage of `task.stage`, or the default.

    Raises:
        ConfigError: there is no such stage, or its output is no grid.
    """
    from cnn_experiments.analysis.activation_maps import default_stage, has_grid

    image = probe_image(trained.network, trained.data.channels, trained.data.size)
    stages = {stage.name: stage for stage in stage_costs(trained.network, image)}
    names = [name for name, stage in stages.items() if has_grid(stage)]
    if not names:
        problem = "must be of a network that has a stage whose output is a grid of more than one position"
        raise ConfigError("ckpt_path", config.settings["ckpt_path"], problem=problem)
    typed = config.settings["task"]["stage"]
    if typed is None:
        return default_stage(stages.values())
    if typed in names:
        return stages[typed]
    allowed = f"one of {', '.join(names)}"
    if typed in stages:
        output = format_shape(stages[typed].shape) or "something else than a tensor"
        problem = f"must be a stage whose output is a grid, not {output}: {allowed}"
        raise ConfigError("task.stage", typed, problem=problem)
    raise ConfigError("task.stage", typed, problem=f"must be {allowed}", suggestion=suggest(typed, names))


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


def _explanation(trained: TrainedNetwork, stage: StageCost, image: _Input) -> _Explanation:
    from cnn_experiments.analysis.activation_maps import class_activation_maps, enlarge_maps, stage_activations

    pixels = image.pixels.unsqueeze(0)
    logits = trained.logits(pixels)[0]
    if not logits.isfinite().all():
        raise RunFailedError(f"{image.name}: the network's outputs are NaN or infinite")
    predicted = int(logits.argmax())
    roles = {"predicted": predicted} if image.label is None else {"predicted": predicted, "true": image.label}
    inputs = trained.data.preprocessing(pixels)
    classes = torch.tensor(list(roles.values()))
    try:
        maps = class_activation_maps(trained.network, stage.name, inputs.repeat(len(roles), 1, 1, 1), classes)
        activations = stage_activations(trained.network, stage.name, inputs)[0]
    except Exception as error:  # the network may be the user's own
        problem = f"the logits can't be traced back to the stage {stage.name}: {describe_error(error)}"
        raise RunFailedError(problem) from error
    probabilities = logits.double().softmax(dim=0)
    native_size = trained.data.native_size
    enlarged = enlarge_maps(maps, native_size * max(1, round(_MAP_SIZE / native_size))).numpy()
    class_maps = [
        ClassMap(role, trained.data.class_names[number], float(probabilities[number]), values)
        for (role, number), values in zip(roles.items(), enlarged, strict=True)
    ]
    return _Explanation(
        image=image,
        predicted=predicted,
        probabilities=probabilities,
        has_empty_map=not maps[0].any(),
        picture=ExplainedImage(image.title, image.pixels.numpy(), class_maps),
        activations=activations.numpy(),
    )


def _write(trained: TrainedNetwork, stage: StageCost, explanations: Sequence[_Explanation], directory: Path) -> None:
    """Write all pictures."""
    stage_title = f"{stage.name}, {format_shape(stage.shape)}"
    pictures = [explanation.picture for explanation in explanations[:_OVERVIEW_IMAGES]]
    overview = draw_overview(pictures, f"{relative_path(trained.checkpoint)}\n{stage_title}")
    atomic_write_bytes(directory / _OVERVIEW_FILE, overview)
    for explanation in explanations:
        maps_file, activations_file = explanation.image.files
        atomic_write_bytes(directory / maps_file, draw_image(explanation.picture))
        activations = draw_activations(explanation.activations, f"{explanation.image.title}\n{stage_title}")
        atomic_write_bytes(directory / activations_file, activations)


def _print(trained: TrainedNetwork, stage: StageCost, explanations: Sequence[_Explanation], directory: Path) -> None:
    title = f"{relative_path(trained.checkpoint)}, epoch {trained.epoch}, {stage.name}, {format_shape(stage.shape)}"
    table = Table(title=table_title(title))
    table.add_column("image")
    has_labels = any(explanation.image.label is not None for explanation in explanations)
    for heading in ("predicted", "true") if has_labels else ("predicted",):
        table.add_column(heading)
        table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("file")
    for explanation in explanations:
        image = explanation.image
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
