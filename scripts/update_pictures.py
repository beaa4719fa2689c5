"""Makes the pictures in docs/pictures that are outdated, from the runs and measurements that are kept in docs.

`make pictures` runs it. Pictures of pages need Chromium, and that of a learning rate search needs Fashion-MNIST. With
the directory of a sweep as argument, it and its runs are copied to docs/example_sweep first. The sweep there is that of

    python -m cnn_experiments -m model=lenet,lenet_bn optimizer=adam,sgd seed=0,1,2 trainer.max_epochs=3 \
        trainer.limit_train_batches=100 sweep=example
"""

import contextlib
import functools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import tensorboard
import torch
import yaml
from benchmark_tables import CPU_FILE, Comparison, comparison_figure
from event_file_pages import EVENT_FILES, copy_event_files, serve_event_files, start_address
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from picture_sources import figure_picture, hash_of_command, hash_of_figure, hash_of_page, save_picture, stored_hash
from PIL import Image, ImageChops

from cnn_experiments.config.sources import CONF
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.report.leaderboard.groups import build_leaderboard
from cnn_experiments.report.leaderboard.html import render_page
from cnn_experiments.report.published.comparison import RecipeResult, compare_with_published
from cnn_experiments.report.published.reference import Recipe, best_reported
from cnn_experiments.report.run_page.content import StoredRun
from cnn_experiments.report.run_page.html import render_run_page
from cnn_experiments.report.statistics import measured_curve
from cnn_experiments.report.svg import COLORS
from cnn_experiments.runs.directory import (
    BEST_CHECKPOINT,
    CHECKPOINTS,
    CONFIG_FILE,
    METRICS_FILE,
    PREDICTIONS_FILE,
)
from cnn_experiments.runs.records import find_runs
from cnn_experiments.runs.results import RESULTS_FILE

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
SWEEP = ROOT / "docs" / "example_sweep"
RUNS = ROOT / "docs" / "runs"
BENCHMARKS = ROOT / "docs" / "benchmarks"
SHOWN_SWEEP = Path("outputs", "example")
"""The directory of the sweep that the pages name."""
RUN_WITH_CHECKPOINT = "lenet_bn-adam-seed0"
"""The start of the name of the run whose predictions, weights and pictures for TensorBoard are kept."""
NUM_MISTAKES = 25
"""Images of mistakes that are kept: what a run's page shows."""
PACKAGE = ROOT / "src" / "cnn_experiments"
EXPLAIN_CODE = (
    PACKAGE / "analysis" / "activation_maps.py",
    PACKAGE / "tasks" / "activation_pictures.py",
    PACKAGE / "tasks" / "explanation.py",
)
FIND_LR_CODE = (
    PACKAGE / "tasks" / "find_lr.py",
    PACKAGE / "training" / "learning_rate_search.py",
    PACKAGE / "models" / "lenet.py",
    CONF / "model" / "lenet.yaml",
    CONF / "model" / "lenet_bn.yaml",
    CONF / "optimizer" / "sgd.yaml",
    CONF / "task" / "find_lr.yaml",
)
LABEL_DISTANCE = 0.02
"""Between the labels of curves that end close to each other, in units of the accuracy."""
RANGE_COLOR, BAND_COLOR, PUBLISHED_COLOR = "#c9ccd2", "#ebecef", "#4a4f57"
PUBLISHED_MARKER: Any = {"markersize": 11, "markeredgewidth": 1.6}
MARGIN = 24
"""Pixels below what a page shows."""
PAGE_MILLISECONDS = 20_000
"""The time of a page's clock at which its picture is taken; the clock runs ahead while the page does nothing."""
TENSORBOARD_SETTINGS = {
    "timeSeriesSettingsPaneOpened": False,
    "stepSelectorEnabled": False,  # so that there is no table below a chart
    "sideBarWidthInPercent": 28,
    "timeSeriesCardMinWidth": 400,
}
CURVES_ADDRESS = (
    "/?smoothing=0&tagFilter=^(train|val)/(acc|loss)$&runColorGroup=regex:(lenet_bn-adam|lenet_bn-sgd|lenet-adam|lenet-sgd)"
    "&forceSVG=true#timeseries"  # Chromium's clock does not wait for charts that a worker draws
)


@dataclass(frozen=True)
class DocPicture:
    """A picture of the docs."""

    file: str
    """In docs/pictures."""
    source_hash: Callable[[], str]
    """Returns a hash of what it shows, or of the code and the runs that it is made from."""
    draw: Callable[[], Image.Image]


def import_sweep(directory: Path) -> None:
    """Copy the results, curves and event files of each run, and of one also the predictions, weights and pictures."""
    shutil.rmtree(SWEEP, ignore_errors=True)
    SWEEP.mkdir()
    copy_event_files(directory, SWEEP, settings={}, has_pictures=False)
    for record in find_runs([directory])[0]:
        source, target = record.directory, SWEEP / record.directory.name
        target.mkdir(parents=True)
        for name in (RESULTS_FILE, METRICS_FILE):
            shutil.copyfile(source / name, target / name)
        settings = yaml.safe_load((source / CONFIG_FILE).read_text())
        settings["data"]["root"] = "data"  # instead of a path of this machine
        (target / CONFIG_FILE).write_text(yaml.safe_dump(settings, sort_keys=False))
        has_checkpoint = source.name.startswith(RUN_WITH_CHECKPOINT)
        copy_event_files(source, target, {"data.root": "data"}, has_pictures=has_checkpoint)
        if has_checkpoint:
            predictions = Predictions.load(source / PREDICTIONS_FILE)
            replace(
                predictions,
                mistake_index=predictions.mistake_index[:NUM_MISTAKES],
                mistake_images=predictions.mistake_images[:NUM_MISTAKES],
            ).save(target / PREDICTIONS_FILE)
            (target / CHECKPOINTS).mkdir()
            torch.save(
                weights_alone(source / CHECKPOINTS / BEST_CHECKPOINT, settings), target / CHECKPOINTS / BEST_CHECKPOINT
            )


def weights_alone(checkpoint: Path, settings: dict[str, object]) -> dict[str, object]:
    """Return a checkpoint without the state of the optimizer and of random numbers, which only a resumed run needs."""
    content = torch.load(checkpoint, weights_only=True)
    recorder = content["callbacks"]["Recorder"] | {"settings": settings}
    return {
        "epoch": content["epoch"],
        "global_step": content["global_step"],
        "pytorch-lightning_version": content["pytorch-lightning_version"],
        "state_dict": content["state_dict"],
        "callbacks": {"Recorder": recorder},
        "FashionMNIST": {"facts": content["FashionMNIST"]["facts"]},
    }


def run_with_checkpoint() -> Path:
    """Return the directory of the kept run that has predictions and weights."""
    (directory,) = SWEEP.glob(f"{RUN_WITH_CHECKPOINT}-*")
    return directory


@contextlib.contextmanager
def shown_sweep() -> Iterator[None]:
    """Change to a temporary directory in which the sweep lies where a user has it."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        shutil.copytree(SWEEP, SHOWN_SWEEP)
        yield


@functools.cache
def leaderboard_page() -> str:
    """Return the page of the kept sweep."""
    with shown_sweep():
        return render_page(build_leaderboard(find_runs([SHOWN_SWEEP])[0]), [], str(SHOWN_SWEEP))


@functools.cache
def run_page() -> str:
    """Return the page of the kept run."""
    with shown_sweep():
        directory = SHOWN_SWEEP / run_with_checkpoint().name
        return render_run_page(StoredRun.read(directory), str(directory))


def take_screenshot(address: str, width: int, height: int) -> Image.Image:
    """Return a picture of a page as Chromium shows it, without what is empty at its end.

    Args:
        address: of the page.
        width: of the window, in pixels.
        height: of the window; what is below it is cut off.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("pictures of pages need chromium, which is not installed")
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, "page.png")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
        output = [
            f"--virtual-time-budget={PAGE_MILLISECONDS}",
            f"--window-size={width},{height}",
            f"--screenshot={file}",
        ]
        command = [chromium, *flags, *output, f"--user-data-dir={Path(temporary, 'profile')}", address]
        subprocess.run(command, check=True, capture_output=True, timeout=300)  # noqa: S603
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
    corner = picture.getpixel((0, 0))
    content = ImageChops.difference(picture, Image.new("RGB", picture.size, corner)).getbbox()
    bottom = height if content is None else min(height, content[3] + MARGIN)
    return picture.crop((0, 0, width, bottom))


def page_picture(file: str, page: Callable[[], str], width: int, height: int) -> DocPicture:
    """Return a picture of a page in a window of this size, which is a part of its hash."""

    def draw() -> Image.Image:
        with tempfile.TemporaryDirectory() as temporary:
            page_file = Path(temporary, "page.html")
            page_file.write_text(page(), encoding="utf-8")
            return take_screenshot(page_file.as_uri(), width, height)

    return DocPicture(file, lambda: f"{hash_of_page(page())}-{width}x{height}", draw)


@functools.cache
def tensorboard_server() -> str:
    """Return the address of a server of the kept sweep."""
    with shown_sweep():
        return serve_event_files(SHOWN_SWEEP)


def tensorboard_picture(file: str, address: str, width: int, height: int) -> DocPicture:
    """Return a picture of TensorBoard's page of the kept sweep.

    Args:
        file: the picture in docs/pictures.
        address: of the page on the server.
        width: of the window, in pixels.
        height: of the window.
    """

    def source_hash() -> str:
        state = [tensorboard.__version__, json.dumps(TENSORBOARD_SETTINGS), address, f"{width}x{height}"]
        return hash_of_command(state, sorted(SWEEP.rglob(EVENT_FILES)))

    def draw() -> Image.Image:
        return take_screenshot(start_address(tensorboard_server(), TENSORBOARD_SETTINGS, address), width, height)

    return DocPicture(file, source_hash, draw)


def program_picture(
    file: str, overrides: Callable[[], Sequence[str]], written_file: str, sources: Callable[[], Sequence[Path]]
) -> DocPicture:
    """Return a picture that the program draws.

    Args:
        file: the picture in docs/pictures.
        overrides: returns those of the command.
        written_file: what the program calls the picture.
        sources: returns the files that it depends on.
    """

    def draw() -> Image.Image:
        data = Path(os.environ.get("CNN_EXPERIMENTS_DATA", ROOT / "data")).absolute()
        environment = os.environ | {"CNN_EXPERIMENTS_DATA": str(data)}
        command = [sys.executable, "-m", "cnn_experiments", *overrides(), "task.to=pictures"]
        with shown_sweep():
            subprocess.run(command, check=True, env=environment, capture_output=True)  # noqa: S603
            with Image.open(Path("pictures", written_file)) as opened:
                return opened.convert("RGB")

    return DocPicture(file, lambda: hash_of_command(overrides(), sources()), draw)


def explain_overrides() -> list[str]:
    """Return the command that draws class activation maps of the most confident mistakes of the kept run.

    The stage is a batch normalization: with its values of both signs, hardly a map is empty.
    """
    checkpoint = SHOWN_SWEEP / run_with_checkpoint().name
    return ["task=explain", f"ckpt_path={checkpoint}", "task.stage=features.5", "task.max_images=6"]


def explain_sources() -> list[Path]:
    """Return the weights and images that are explained, and the code that does it."""
    directory = run_with_checkpoint()
    return [directory / CHECKPOINTS / BEST_CHECKPOINT, directory / PREDICTIONS_FILE, *EXPLAIN_CODE]


def overview_figure() -> Figure:
    """Draw our curves of the recipes, and all measured recipes beside what is published."""
    results = compare_with_published(find_runs([RUNS])[0]).results
    style = {"font.size": 10, "axes.spines.right": False, "axes.spines.top": False, "axes.axisbelow": True}
    with mpl.rc_context(style):
        figure = Figure(figsize=(9, 4.4), dpi=200, layout="constrained", facecolor="white")
        curves, ranges = figure.subplots(1, 2, width_ratios=(1, 1.25))
        draw_curves(curves, [result for result in results if result.recipe.name.startswith("book/adam/")])
        draw_ranges(ranges, results)
        figure.legend(*ranges.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def draw_curves(axes: Axes, results: Sequence[RecipeResult]) -> None:
    """Draw the median test accuracy by epoch of each recipe, and the range over the seeds."""
    shown = [result for result in results if "scratch" not in result.recipe.name]
    last_epoch = 0
    labels = []
    for result, color in zip(shown, COLORS, strict=False):
        curves = [measured_curve(run.curve("test/acc")) for run in result.runs]
        epochs = sorted(set.intersection(*map(set, curves)))
        values = np.array([[curve[epoch] for epoch in epochs] for curve in curves])
        middle = np.median(values, axis=0)
        axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.18, linewidth=0)
        axes.plot(epochs, middle, color=color, linewidth=2)
        labels.append((middle[-1], f"  {result.recipe.network}, {format_seeds(result)}", color))
        last_epoch = max(last_epoch, epochs[-1])
    height = math.inf
    for accuracy, label, color in sorted(labels, reverse=True):
        height = min(accuracy, height - LABEL_DISTANCE)
        axes.annotate(label, (last_epoch, height), color=color, va="center")
    axes.set(xlabel="epoch", ylabel="test accuracy", xlim=(0.8, 1.62 * last_epoch))
    axes.set_xticks(range(1, last_epoch + 1))
    axes.set_title("book/adam: median and range of the seeds", loc="left", fontsize=11)
    axes.grid(alpha=0.3)


def draw_ranges(axes: Axes, results: Sequence[RecipeResult]) -> None:
    """Draw the test accuracy of every seed of each recipe, over the published range or the band."""
    for place, result in enumerate(results):
        low, published, high = published_range(result.recipe)
        if low is not None and high is not None:
            color = RANGE_COLOR if result.recipe.distribution else BAND_COLOR
            axes.barh(place, high - low, left=low, height=0.62, color=color, linewidth=0)
        axes.plot(published, [place] * len(published), "|", color=PUBLISHED_COLOR, **PUBLISHED_MARKER)
        ours = result.accuracies
        axes.plot(ours, [place] * len(ours), "o", color=COLORS[0], markersize=4.5, alpha=0.75, markeredgewidth=0)
    axes.barh(np.nan, np.nan, color=RANGE_COLOR, label="published, 5 % to 95 %")
    axes.barh(np.nan, np.nan, color=BAND_COLOR, label="our band around single results")
    axes.plot([], [], "|", color=PUBLISHED_COLOR, label="published", **PUBLISHED_MARKER)
    axes.plot([], [], "o", color=COLORS[0], markersize=4.5, label="ours, each seed")
    axes.set_yticks(range(len(results)), [result.recipe.name for result in results], fontsize=9)
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy on Fashion-MNIST")
    axes.set_title("Published figures and ours, by recipe", loc="left", fontsize=11)
    axes.grid(axis="x", alpha=0.3)


def published_range(recipe: Recipe) -> tuple[float | None, list[float], float | None]:
    """Return the published range or the band of a recipe, and the median of its builds or its single results.

    A recipe without published results has the best result of its network alone.
    """
    if recipe.distribution is not None:
        return recipe.distribution.low, [recipe.distribution.median], recipe.distribution.high
    if recipe.band is not None:
        return recipe.band[0], [result.final_accuracy for result in recipe.comparable], recipe.band[1]
    return None, [best_reported(recipe.network)], None


def format_seeds(result: RecipeResult) -> str:
    """Return how many seeds a recipe was run with."""
    return "1 seed" if len(result.runs) == 1 else f"{len(result.runs)} seeds"


def drawn_picture(file: str, figure: Callable[[], Figure]) -> DocPicture:
    """Return a picture that matplotlib draws; a figure is drawn only once."""
    return DocPicture(file, lambda: hash_of_figure(figure()), lambda: figure_picture(figure()))


DOC_PICTURES = (
    drawn_picture("overview.png", overview_figure),
    drawn_picture("against_others.png", lambda: comparison_figure(Comparison.read(BENCHMARKS / CPU_FILE))),
    page_picture("leaderboard_table.png", leaderboard_page, width=1330, height=466),
    page_picture("leaderboard.png", leaderboard_page, width=1330, height=4000),
    page_picture("run_page.png", run_page, width=1200, height=2170),
    tensorboard_picture("tensorboard.png", CURVES_ADDRESS, width=1330, height=850),
    tensorboard_picture("hparams.png", "/#hparams", width=1330, height=650),
    tensorboard_picture("tensorboard_images.png", "/#images", width=1190, height=1640),
    program_picture("explain.png", explain_overrides, "overview.png", explain_sources),
    program_picture(
        "find_lr.png",
        lambda: ["task=find_lr", "model=lenet_bn", "optimizer=sgd"],
        "learning_rate.png",
        lambda: FIND_LR_CODE,
    ),
)


def main() -> None:
    """Import the runs of a sweep, and make the pictures that are outdated."""
    if sys.argv[1:]:
        import_sweep(Path(sys.argv[1]))
    for picture in DOC_PICTURES:
        path, source_hash = PICTURES / picture.file, picture.source_hash()
        if stored_hash(path) == source_hash:
            print(f"unchanged: {path.relative_to(ROOT)}")
        else:
            save_picture(path, picture.draw(), source_hash)
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
