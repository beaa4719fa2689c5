"""One run from Python: what its directory holds, and its network when that is asked for."""

import shlex
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cnn_experiments.api.tables import Column, Table, html_table, to_html
from cnn_experiments.config.call import configured
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.overrides import quote_override
from cnn_experiments.config.stored_settings import CONFIG_DIR_REMEDY
from cnn_experiments.console import relative_path
from cnn_experiments.errors import ConfigError, suggest
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.of_run import directory_of_predictions, evaluation_overrides
from cnn_experiments.runs.directory import CONFIG_FILE, METRICS_FILE, PREDICTIONS_FILE
from cnn_experiments.runs.fingerprint import flatten
from cnn_experiments.runs.metrics import SPLITS, metrics_of
from cnn_experiments.runs.records import read_all_curves
from cnn_experiments.runs.regular_file import read_text, reading_problem
from cnn_experiments.runs.results import RESULTS_FILE, RunResults
from cnn_experiments.runs.stages import format_shape, format_share
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cnn_experiments.api.image_predictions import ImagePredictions, ImageSource
    from cnn_experiments.api.picture import Picture
    from cnn_experiments.data.datamodule import ImageDataModule
    from cnn_experiments.training.trained_network import TrainedNetwork

_MAX_CONFIG_BYTES = 10_000_000
_MAX_MISTAKES = 1000
"""A picture can't be much higher."""
_MAX_CLASS_MAPS = 100
"""Each takes about 20 ms to draw."""


def load(
    directory: str | Path, *, config_dir: str | Path | None = None, device: "str | torch.device" = "cpu"
) -> "LoadedRun":
    """Return the run in a directory, whether it is completed or not; its network is built when it is asked for.

    Nothing in a checkpoint is executed, and only classes and functions are built that the files of this package or of
    `config_dir` name.

    Args:
        directory: of the run.
        config_dir: the directory of your own options if the run was trained with some, as that of `--config-dir`.
        device: where the network computes, such as `cuda`.

    Raises:
        ConfigError: there is no run, or its results.json is damaged.
    """
    path = Path(directory).absolute()
    try:
        results = RunResults.load(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        problem = f"must be a run's directory; there is no {RESULTS_FILE}"
        raise ConfigError("directory", directory, problem=problem) from error
    except (OSError, ValueError) as error:
        problem = f"its {RESULTS_FILE} can't be used: {reading_problem(error)}"
        raise ConfigError("directory", directory, problem=problem) from error
    return LoadedRun(path, results, config_dir=config_dir, device=device)


class LoadedRun:
    """A run: its settings, metrics and curves, its network, and what that predicts. `load` and `train` return it.

    Args:
        directory: of the run.
        results: the content of its results.json.
        config_dir: the directory of the user's own options, or None.
        device: where the network computes.
    """

    def __init__(
        self,
        directory: Path,
        results: RunResults,
        *,
        config_dir: str | Path | None = None,
        device: "str | torch.device" = "cpu",
    ) -> None:
        self.directory = directory
        self.results = results
        self.status: Status = RunState.of(directory, results).status
        """The status of the run when it was loaded."""
        self._config_dir = config_dir
        self._device = device

    @property
    def metrics(self) -> dict[str, float | None]:
        """Return the metrics in results.json: `run.metrics["test/acc"]`."""
        return self.results.metrics

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Return the options and all settings as on the command line: `model` is `lenet`, `optimizer.lr` is 0.001.

        Raises:
            ConfigError: config.yaml is damaged.
        """
        try:
            nested = yaml.safe_load(read_text(self.directory / CONFIG_FILE, _MAX_CONFIG_BYTES))
        except FileNotFoundError:  # the run ended before it was written
            nested = {}
        except (OSError, ValueError) as error:
            raise self._file_error(CONFIG_FILE, reading_problem(error)) from error
        except yaml.YAMLError as error:
            raise self._file_error(CONFIG_FILE, "is not valid YAML") from error
        if not isinstance(nested, dict):
            raise self._file_error(CONFIG_FILE, "must hold settings")
        options = {"model": self.results.model, "data": self.results.data} | self.results.options
        return options | self.results.settings | flatten(nested)

    @cached_property
    def curves(self) -> dict[str, dict[int, float]]:
        """Return every metric by epoch, from 1, also what callbacks log: `run.curves["val/acc"][1]`.

        Raises:
            ConfigError: metrics.csv is damaged.
        """
        try:
            columns = read_all_curves(self.directory)
        except ValueError as error:
            raise self._file_error(METRICS_FILE, str(error)) from error
        curves: dict[str, dict[int, float]] = {}
        for name, curve in columns.items():
            if isinstance(curve, str):
                raise self._file_error(METRICS_FILE, f"{name}: {curve}")
            if curve:
                curves[name] = curve
        return curves

    @property
    def network(self) -> "nn.Module":
        """Return the network of the tested epoch in evaluation mode: float32 (N, channels, size, size) to logits.

        Its inputs are `run.data.preprocessing(images)` of uint8 images. `run.predict` does both.

        Raises:
            ConfigError: the run has no checkpoint, or it can't be used.
        """
        return self._trained.network

    @property
    def data(self) -> "ImageDataModule":
        """Return the data module of the run: `run.data.stored_split("test")` has its images and labels.

        Raises:
            ConfigError: as `network`.
        """
        return self._trained.data

    @cached_property
    def _trained(self) -> "TrainedNetwork":
        import torch

        from cnn_experiments.training.trained_network import load_trained_network

        with configured(self._config_dir):
            line = quote_override("ckpt_path", self.directory)
            try:
                trained = load_trained_network(ComposedConfig.from_overrides("task=evaluate", line))
            except ConfigError as error:
                if error.remedy != CONFIG_DIR_REMEDY:
                    raise
                remedy = "if it is your own, an option in the directory of load(..., config_dir=DIRECTORY) must name it"
                raise error.with_context(remedy=remedy) from error
        try:
            trained.network.to(torch.device(self._device))
        except (AssertionError, RuntimeError) as error:
            problem = f"can't be used: {str(error).partition(chr(10))[0]}"
            raise ConfigError("device", self._device, problem=problem) from error
        return trained

    def predict(self, images: "ImageSource", *, invert: bool = False) -> "ImagePredictions":
        """Return what the network makes of images, which it gets as it got those of its training.

        Args:
            images: the path of a file, a folder or a pattern; an image of PIL; uint8 values of numpy or torch: (H, W),
                (N, H, W), (C, H, W), (N, C, H, W) or with the channels last; or a list of these. Values (H, W, 3) or
                (H, W, 4) are always one image in color, as `np.asarray` makes them of one of PIL, which a network of
                gray images gets in gray. It rejects (3, H, W), which may also be three images.
            invert: whether dark and light are exchanged, for dark objects on white if the network knows light ones on
                black.

        Raises:
            ConfigError: there is no such file, or values are of another type or shape; or as `network`.
        """
        from cnn_experiments.api.image_predictions import predict

        return predict(self._trained, images, device=self._device, invert=invert)

    @cached_property
    def predictions(self) -> Predictions:
        """Return the logits of all test images and of the images held out for validation, from predictions.npz.

        If the run's test wrote none, they are those of the test images that `task=evaluate` wrote below the run's
        directory.

        Raises:
            ConfigError: there is no such file, or it is damaged.
        """
        path = directory_of_predictions(self.directory, self.results) / PREDICTIONS_FILE
        try:
            return Predictions.load(path)
        except FileNotFoundError as error:
            raise self._file_error(PREDICTIONS_FILE, self._why_no_predictions()) from error
        except (OSError, ValueError) as error:
            raise ConfigError(str(relative_path(path)), problem=reading_problem(error)) from error

    def _why_no_predictions(self) -> str:
        if self.status == Status.RUNNING:
            return "there is none yet; the test of the run writes it"
        overrides = evaluation_overrides(relative_path(self.directory))
        if overrides is None:
            return f"there is none; the run is {self.status} and has no checkpoint, with which task=evaluate writes one"
        return f"there is none; {shlex.join(overrides)} writes one"

    def show_mistakes(self, most: int = 25) -> "Picture":
        """Return a picture of the most confident mistakes of the test, with true and predicted classes.

        Args:
            most: how many are shown at most, up to 1000; predictions.npz has the images of at least 25.

        Raises:
            ConfigError: as `predictions`, or `most` is another number.
        """
        from cnn_experiments.api.picture import Picture
        from cnn_experiments.predictions.figures import mistakes_figure

        if not 1 <= most <= _MAX_MISTAKES:
            raise ConfigError("most", most, problem=f"must be an integer from 1 to {_MAX_MISTAKES}")
        return Picture(mistakes_figure(self.predictions, most))

    def show_curves(self, name: str = "acc") -> "Picture":
        """Return a picture of a metric by epoch, a curve for each split that has it, with the tested epoch marked.

        Args:
            name: of the metric, such as `acc` or `loss`, or of another curve of `run.curves`, such as `lr`.

        Raises:
            ConfigError: there is no such metric; or as `curves`.
        """
        from cnn_experiments.api.curve_figure import curves_figure
        from cnn_experiments.api.picture import Picture

        curves: dict[str, Mapping[int, float]] = {
            split: self.curves[f"{split}/{name}"] for split in SPLITS if f"{split}/{name}" in self.curves
        }
        if not curves and name in self.curves:
            curves = {name: self.curves[name]}
        if not curves:
            names = list(dict.fromkeys(key.partition("/")[2] or key for key in self.curves))
            if not names:
                raise ConfigError("name", name, problem="there are no curves: the run has not completed an epoch")
            allowed = f"must be one of {', '.join(sorted(names))}"
            raise ConfigError("name", name, problem=allowed, suggestion=suggest(name, names))
        labels = {metric.name: metric.label for metric in metrics_of([self.results.metric_info])}
        title = f"{self.results.model} on {self.results.data}"
        return Picture(curves_figure(curves, labels.get(name, name), title, self.results.tested_epoch))

    def show_filters(self) -> "Picture":
        """Return a picture of the weights of the first convolution, each filter with its own range of gray or color.

        At most 256 filters are shown. If the images are not in color, a filter has a picture for each channel.

        Raises:
            ConfigError: the network has no convolution; or as `network`.
        """
        from cnn_experiments.api.picture import Picture
        from cnn_experiments.training.pictures import filter_grid

        pixels = filter_grid(self.network)
        if pixels is None:
            raise ConfigError("show_filters()", problem="the network has no convolution")
        return Picture.from_pixels(pixels)

    def show_activations(self, image: "ImageSource", stage: str | None = None) -> "Picture":
        """Return a picture of what a stage outputs for one image: at most 64 channels, a panel each.

        Args:
            image: one image, in any form that `predict` takes.
            stage: the name of a stage in `run.stages()`; by default the last one whose output has at least 4 x 4
                positions.

        Raises:
            ConfigError: there is no such stage, its output is no grid, or there are several images; or as `predict`.
        """
        from cnn_experiments.api.picture import Picture
        from cnn_experiments.tasks.activation_pictures import activations_figure
        from cnn_experiments.tasks.explanation import choose_stage, compute_activations, stage_title

        names, pixels = self._images_to_draw(image, "image")
        if len(pixels) > 1:
            raise ConfigError("image", f"{len(pixels)} images", problem="must be one image")
        chosen = choose_stage(self._trained, stage, "stage")
        activations = compute_activations(self._trained, chosen, pixels[0], self._device)
        return Picture(activations_figure(activations, f"{names[0]}\n{stage_title(chosen)}"))

    def show_class_maps(self, images: "ImageSource", stage: str | None = None) -> "Picture":
        """Return a picture of where the network looks: over each image, what speaks for the predicted class (Grad-CAM).

        Args:
            images: up to 100 images, in any form that `predict` takes.
            stage: the name of a stage in `run.stages()`; by default the last one whose output has at least 4 x 4
                positions.

        Raises:
            ConfigError: captum is not installed, there is no such stage, its output is no grid, or there are too many
                images; or as `predict`.
            RunFailedError: the logits are not finite, or do not depend on the stage.
        """
        from cnn_experiments.api.picture import Picture
        from cnn_experiments.tasks.activation_pictures import overview_figure
        from cnn_experiments.tasks.explanation import check_captum, choose_stage, explain_image, stage_title

        check_captum("show_class_maps()")
        names, pixels = self._images_to_draw(images, "images")
        if len(pixels) > _MAX_CLASS_MAPS:
            raise ConfigError("images", f"{len(pixels)} images", problem=f"must be at most {_MAX_CLASS_MAPS}")
        chosen = choose_stage(self._trained, stage, "stage")
        pictures = [
            explain_image(self._trained, chosen, image, title=name, device=self._device).picture
            for name, image in zip(names, pixels, strict=True)
        ]
        title = f"{self.results.model} on {self.results.data}\n{stage_title(chosen)}"
        return Picture(overview_figure(pictures, title))

    def _images_to_draw(self, source: "ImageSource", argument: str) -> "tuple[list[str], torch.Tensor]":
        """Return the titles of images, and the images: uint8 (N, channels, native_size, native_size).

        Raises:
            ConfigError: one can't be read.
        """
        from cnn_experiments.api.image_predictions import read_images

        read = read_images(self.data, source, argument, invert=False)
        for name, problem in read.unreadable.items():
            raise ConfigError(name, problem=problem)
        return [f"image {name}" if name.isdecimal() else Path(name).name for name in read.names], read.pixels

    def stages(self) -> Table:
        """Return the table of the network's stages: output of one image, parameters and multiply-adds.

        Raises:
            ConfigError: as `network`.
        """
        from cnn_experiments.analysis import cost
        from cnn_experiments.analysis.probe import probe_image

        network, data = self.network, self.data
        image = probe_image(network, data.channels, data.size)
        stages = cost.all_stage_costs(network, image)
        parameters = [stage.parameters for stage in stages]
        multiply_adds = [stage.multiply_adds for stage in stages]
        image_shape = format_shape((data.channels, data.size, data.size))
        return Table(
            title=f"{self.results.model}, one image of {image_shape}",
            columns=[
                Column("stage", [stage.name for stage in stages], is_text=True),
                Column("layers", [stage.layers for stage in stages], is_text=True),
                Column("output", [format_shape(stage.shape) for stage in stages], is_text=True),
                *_with_share("parameters", parameters),
                *_with_share("multiply-adds", multiply_adds),
            ],
            notes=[f"total: {sum(parameters):,} parameters, {sum(multiply_adds):,} multiply-adds"],
        )

    def __repr__(self) -> str:
        return f"<{self._summary()}, {relative_path(self.directory)}>"

    def _repr_html_(self) -> str:
        metrics = metrics_of([self.results.metric_info])
        names = [metric.name for metric in metrics if any(metric.key(split) in self.metrics for split in SPLITS)]
        splits = [split for split in SPLITS if any(f"{split}/{name}" in self.metrics for name in names)]
        rows = [[name, *(_format_metric(self.metrics.get(f"{split}/{name}")) for split in splits)] for name in names]
        text = f"<p><b>{to_html(self._summary())}</b><br><code>{to_html(str(relative_path(self.directory)))}</code>"
        if self.results.error:
            text += f"<br>{to_html(self.results.error)}"
        return f"{text}</p>" + (html_table(["", *splits], rows, [True, *(False for _ in splits)]) if rows else "")

    def _summary(self) -> str:
        results = self.results
        epochs = "1 epoch" if results.epochs == 1 else f"{results.epochs} epochs"
        tested = f", epoch {results.tested_epoch} tested" if results.tested_epoch else ""
        parts = [f"{results.model} on {results.data}: {self.status}", f"{epochs}{tested}", f"seed {results.seed}"]
        return ", ".join(parts)

    def _file_error(self, name: str, problem: str) -> ConfigError:
        return ConfigError(str(relative_path(self.directory / name)), problem=problem)


def _with_share(name: str, counts: Sequence[int]) -> list[Column]:
    total = sum(counts)
    shares = [count / max(1, total) for count in counts]
    return [Column(name, counts, "{:,}".format), Column(f"share of {name}", shares, format_share)]


def _format_metric(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
