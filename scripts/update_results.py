"""Writes docs/results.md, the table of README.md and the headers of the recipes from the runs in docs/runs.

`python scripts/update_results.py` writes them again. With directories as arguments, the runs in them are copied to
docs/runs first.
"""

import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from picture_sources import figure_picture, hash_of_figure, save_picture

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.sources import CONF
from cnn_experiments.markdown import markdown_table
from cnn_experiments.report.published.comparison import PublishedComparison, RecipeResult, compare_with_published
from cnn_experiments.report.published.plots import network_figures
from cnn_experiments.report.published.reference import Recipe, load_recipes
from cnn_experiments.report.published.render import format_accuracy, format_reported, format_row, markdown_report
from cnn_experiments.runs.records import find_runs

DOCS = Path(__file__).parents[1] / "docs"
RUNS = DOCS / "runs"
RESULTS = DOCS / "results.md"
HEADER = re.compile(r"# @package _global_\n(# python -m .*\n# Reported.*\n(# Reached: .*\n)+)?")
README = Path(__file__).parents[1] / "README.md"
README_TABLE = re.compile(
    r"(?<=<!-- results: written by scripts/update_results.py -->\n).*?(?=<!-- end -->)", re.DOTALL
)
README_RECIPES = {
    "book/sgd/lenet": "SGD, 10 epochs",
    "book/adam/lenet": "Adam, 5 epochs",
    "book/sgd/lenet_bn": "SGD, 10 epochs",
    "book/adam/lenet_bn": "Adam, 5 epochs",
    "book/adam/resnet18": "Adam, 5 epochs, 28 pixels",
    "book/adam/densenet": "Adam, 5 epochs, 28 pixels",
}
"""The recipes in README.md, and how they train."""
NUM_SEEDS = 3


def import_runs(directories: Iterable[Path]) -> None:
    """Copy results.json and metrics.csv of the runs that are compared, and drop the stored runs that no longer are."""
    runs, _ = find_runs([*([RUNS] if RUNS.exists() else []), *directories])
    with tempfile.TemporaryDirectory(dir=DOCS) as temporary:
        imported = Path(temporary) / "runs"
        for result in compare_with_published(runs).results:
            device = re.sub(r"\W+", "-", result.device).strip("-").lower()
            for run in result.runs:
                directory = imported / result.recipe.name / device / f"seed{run.results.seed}"
                directory.mkdir(parents=True)
                for name in ("results.json", "metrics.csv"):
                    shutil.copyfile(run.directory / name, directory / name)
        shutil.rmtree(RUNS, ignore_errors=True)
        imported.rename(RUNS)


def recipe_header(recipe: Recipe, results: Sequence[RecipeResult]) -> str:
    """Return the first lines of a recipe's file."""
    lines = ["@package _global_", recipe.command, f"Reported (see docs/results.md): {format_reported(recipe)}"]
    for result in results:
        row = format_row(result)
        speed = f"{row['s/epoch ours']} s per epoch on {result.device}"
        lines.append(f"Reached: {row['ours']}: {row['verdict']}; {speed}")
    if not results:
        lines.append("Reached: not measured")
    return "".join(f"# {line}\n" for line in lines)


def readme_table(comparison: PublishedComparison) -> str:
    """Return the table of README.md: published results, those of the same recipe, and those of a better one."""
    results = {result.recipe.name: result for result in comparison.results}
    rows = []
    for name, training in README_RECIPES.items():
        result = results[name]
        better = results.get(f"best/{name.rpartition('/')[2]}")
        row = [result.recipe.network, training, published_accuracies(result.recipe), median_and_std(result)]
        rows.append([*row, median_and_std(better) if better else "not measured"])
    header = ["network", "recipe", "published", "reproduced", "ours, trained better"]
    return markdown_table(header, rows, [True] * len(header)) + "\n"


def published_accuracies(recipe: Recipe) -> str:
    """Return the median, the quantiles and the number of a book's builds, or the single results."""
    builds = recipe.distribution
    if builds is None:
        return ", ".join(format_accuracy(result.final_accuracy) for result in recipe.comparable)
    quantiles = f"[{format_accuracy(builds.low)}, {format_accuracy(builds.high)}]"
    return f"{format_accuracy(builds.median)} {quantiles}, {builds.num_builds} builds"


def median_and_std(result: RecipeResult) -> str:
    """Return the median accuracy, its standard deviation over the seeds, and their number."""
    median = format_accuracy(result.median)
    if result.std is None:
        return f"{median}, one seed"
    return f"{median} ± {format_accuracy(result.std)}, {len(result.runs)} seeds"


def results_page(comparison: PublishedComparison) -> str:
    """Return the text of docs/results.md."""
    return (
        "# Reported and reproduced results\n\n"
        "Written by `python scripts/update_results.py` from the runs in `docs/runs`. "
        "Each run on a CPU had one core of a shared machine: its seconds are approximate.\n\n"
        f"{markdown_report(comparison, RESULTS.stem)}\n{remaining_runs(comparison.not_measured)}"
    )


def remaining_runs(recipes: Sequence[Recipe]) -> str:
    """Return the command that runs the recipes without runs, and an estimate of its duration."""
    if not recipes:
        return ""
    hours = 0.0
    for recipe in recipes:
        settings = ComposedConfig.from_overrides(f"experiment={recipe.name}").settings
        num_epochs = settings["trainer"]["max_epochs"]
        hours += NUM_SEEDS * num_epochs * seconds_on_v100(recipe.network) / 3600
    names = ",".join(recipe.name for recipe in recipes)
    command = shlex.join(["python", "-m", "cnn_experiments", "-m", f"experiment={names}", f"seed=range({NUM_SEEDS})"])
    return (
        "## Command for the recipes not measured\n\n```{code-block} console\n"
        f":caption: Not run by the tests: about {hours:.1f} hours at the speed of the book's builds on a V100\n"
        f"$ {command}\n```\n"
    )


def seconds_on_v100(network: str) -> float:
    """Return the seconds per epoch of the book's builds of a network, or of ResNet-18 if the book does not build it."""
    recipes = load_recipes()
    built = [recipe for recipe in recipes.values() if recipe.network == network and recipe.distribution]
    return max(float(recipe.seconds_per_epoch["B"]) for recipe in built or [recipes["book/sgd/resnet18"]])


def main() -> None:
    """Import runs and write docs/results.md, its plots and the headers of the recipes."""
    if sys.argv[1:]:
        import_runs(map(Path, sys.argv[1:]))
    comparison = compare_with_published(find_runs([RUNS])[0])
    RESULTS.with_suffix("").mkdir(exist_ok=True)
    for name, figure in network_figures(comparison).items():
        source_hash = hash_of_figure(figure)
        save_picture(RESULTS.with_suffix("") / name, figure_picture(figure), source_hash)
    RESULTS.write_text(results_page(comparison), encoding="utf-8")
    table = readme_table(comparison)
    README.write_text(README_TABLE.sub(lambda _: table, README.read_text(encoding="utf-8")), encoding="utf-8")
    for name, recipe in load_recipes().items():
        file = CONF / "experiment" / f"{name}.yaml"
        results = [result for result in comparison.results if result.recipe == recipe]
        text = HEADER.sub(recipe_header(recipe, results), file.read_text(encoding="utf-8"), count=1)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
