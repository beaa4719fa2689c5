"""Finds a learning rate: a short training with a rate that grows, of which nothing but a figure is kept."""

from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
import matplotlib as mpl
from matplotlib.figure import Figure

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.console import print_line, printable, relative_path, shorten
from cnn_experiments.errors import ConfigError, RunFailedError, error_message
from cnn_experiments.predictions.figures import to_png
from cnn_experiments.runs.atomic import atomic_write_bytes
from cnn_experiments.runs.directory import RunDirectory
from cnn_experiments.runtime import memory
from cnn_experiments.tasks.output_directory import output_directory
from cnn_experiments.training.learning_rate_search import LearningRateCurve, record_learning_rate_curve

_FIGURE_FILE = "learning_rate.png"
_PARENT = Path("outputs")
"""Where new directories are made; no run is there whose directory could be used."""
_MAX_TITLE = 80
"""Characters of a title."""


def find_lr(configs: Sequence[ComposedConfig], directory: RunDirectory | None) -> None:  # noqa: ARG001
    """Print the learning rate at which the loss of each configuration falls fastest, and draw the loss over the rate.

    Raises:
        ConfigError: `task.to` can't be written, or several configurations would write there.
        RunFailedError: the loss of one did not fall.
    """
    to = configs[0].settings["task"]["to"]
    if to is not None and len(configs) > 1:
        raise ConfigError("task.to", to, problem="must be null for several networks")
    memory.disable_malloc_trim()
    names = [" ".join(word for word in config.overrides if not word.startswith("task")) for config in configs]
    num_failed = 0
    for name, config in zip(names, configs, strict=True):
        if len(configs) > 1:
            print_line(name)
        num_failed += not _find_lr(name, config)
    if num_failed:
        raise RunFailedError("the loss did not fall; other values of task.min_lr and task.max_lr may help")


def _find_lr(name: str, config: ComposedConfig) -> bool:
    """Search the rate of one configuration, and return whether there is one."""
    settings, task = config.settings, config.settings["task"]
    with config.error_context(), output_directory(config, _PARENT, [_FIGURE_FILE]) as directory:
        pl.seed_everything(settings["seed"], verbose=False)
        curve = record_learning_rate_curve(settings, task["num_steps"], task["min_lr"], task["max_lr"])
        path = directory / _FIGURE_FILE
        try:
            atomic_write_bytes(path, to_png(_figure(curve, title=name)))
        except OSError as error:
            raise RunFailedError(f"{relative_path(path)} could not be written: {error_message(error)}") from error
    if curve.has_diverged:
        print_line(f"the loss diverged after {len(curve.rates)} of {curve.num_steps} steps")
    step = curve.steepest_step()
    if step is not None:
        print_line(f"optimizer.lr={curve.rates[step]:.2g}")
    print_line(f"figure: {relative_path(path)}")
    return step is not None


def _figure(curve: LearningRateCurve, title: str) -> Figure:
    """Draw the loss of each step over its learning rate, and mark the suggestion."""
    with mpl.rc_context({"font.size": 9, "axes.grid": True, "grid.alpha": 0.3, "text.parse_math": False}):
        figure = Figure(figsize=(6.4, 4), dpi=120, layout="constrained")
        axes = figure.add_subplot()
        axes.plot(curve.rates, curve.losses, color="#3b82c4", alpha=0.4, linewidth=1, label="loss of each batch")
        axes.plot(curve.rates, curve.smoothed_losses, color="#3b82c4", linewidth=2, label="smoothed")
        step = curve.steepest_step()
        if step is not None:
            rate, loss = curve.rates[step], curve.smoothed_losses[step]
            axes.plot(rate, loss, "o", color="#d1495b", label=f"falls fastest: optimizer.lr={rate:.2g}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.set_title(shorten(printable(title), _MAX_TITLE))
        if curve.smoothed_losses:
            lowest, highest = min(curve.smoothed_losses), max(curve.smoothed_losses)
            margin = 0.1 * (highest - lowest) or 1.0
            axes.set_ylim(lowest - margin, highest + margin)  # single batches after a divergence would hide the curve
        axes.legend()
    return figure
