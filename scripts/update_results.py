"""Writes docs/results.md and the headers of the recipes from the runs in docs/runs.

`python scripts/update_results.py` writes them again; with folders as arguments, it takes in the runs there first.
"""

import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hydra import compose, initialize_config_dir

from cnn_experiments.config.hydra_errors import CONF
from cnn_experiments.report.published import markdown
from cnn_experiments.report.published.comparison import Ledger, Row, ledger
from cnn_experiments.report.published.reference import Recipe, recipes
from cnn_experiments.report.published.render import cells, published
from cnn_experiments.runs.records import find

DOCS = Path(__file__).parents[1] / "docs"
RUNS = DOCS / "runs"
RESULTS = DOCS / "results.md"
HEADER = re.compile(r"# @package _global_\n(# python -m .*\n# Published.*\n(# Reached: .*\n)+)?")
SEEDS = 3


def take_in(folders: Iterable[Path]) -> None:
    """Keeps what the ledger reads of the runs that it counts, those kept before included."""
    found, _ = find([*([RUNS] if RUNS.exists() else []), *folders])
    with tempfile.TemporaryDirectory(dir=DOCS) as made:
        fresh = Path(made) / "runs"
        for row in ledger(found).rows:
            device = re.sub(r"\W+", "-", row.device).strip("-").lower()
            for run in row.runs:
                folder = fresh / row.recipe.name / device / f"seed{run.results['seed']}"
                folder.mkdir(parents=True)
                for name in ("results.json", "metrics.csv"):
                    shutil.copyfile(run.folder / name, folder / name)
        shutil.rmtree(RUNS, ignore_errors=True)
        fresh.rename(RUNS)


def header(recipe: Recipe, rows: list[Row]) -> str:
    """The first lines of a recipe's file."""
    reached = [f"{cells(row)[2]}: {row.verdict}; {cells(row)[-1]} s an epoch on {row.device}" for row in rows]
    lines = ["@package _global_", recipe.command, f"Published (see docs/results.md): {published(recipe)}"]
    return "".join(f"# {line}\n" for line in [*lines, *(f"Reached: {line}" for line in reached or ["not measured"])])


def page(made: Ledger) -> str:
    """The text of docs/results.md."""
    return (
        "# Published and reproduced\n\nMade by `python scripts/update_results.py` from the runs in [runs](runs). "
        "Those on a CPU had one core each of a machine that others used too: their seconds are rough.\n\n"
        f"{markdown.markdown(made, RESULTS.stem)}\n{the_rest(made.missing)}"
    )


def the_rest(missing: list[Recipe]) -> str:
    """How to measure what is not measured, and how long that takes."""
    if not missing:
        return ""
    by_name = recipes()
    hours = 0.0
    for recipe in missing:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            epochs = compose("config", [f"experiment={recipe.name}"]).trainer.max_epochs
        builds = [each for each in by_name.values() if each.network == recipe.network and each.builds]
        seconds = max(float(each.seconds["B"]) for each in builds or [by_name["book/sgd/resnet18"]])
        hours += SEEDS * epochs * seconds / 3600
    names = ",".join(recipe.name for recipe in missing)
    command = shlex.join(["python", "-m", "cnn_experiments", "-m", f"experiment={names}", f"seed=range({SEEDS})"])
    return (
        f"## The rest in one command\n\n    {command}\n\n"
        f"Three seeds each: about {hours:.1f} hours at the seconds an epoch that the book's builds took on a V100.\n"
    )


def main() -> None:
    """Takes runs in and writes everything."""
    if sys.argv[1:]:
        take_in(map(Path, sys.argv[1:]))
    made = ledger(find([RUNS])[0])
    markdown.draw(made, RESULTS.with_suffix(""))
    RESULTS.write_text(page(made))
    for name, recipe in recipes().items():
        file = CONF / "experiment" / f"{name}.yaml"
        rows = [row for row in made.rows if row.recipe == recipe]
        file.write_text(HEADER.sub(header(recipe, rows), file.read_text(), count=1))


if __name__ == "__main__":
    main()
