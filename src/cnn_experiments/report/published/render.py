"""Renders the comparison with published results as terminal tables and as Markdown."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from rich.table import Table

from cnn_experiments.console import cell, table_title
from cnn_experiments.markdown import escape_markdown, markdown_list, markdown_table
from cnn_experiments.report.published.comparison import PublishedComparison, RecipeResult
from cnn_experiments.report.published.reference import Recipe, best_reported, load_recipes, load_sources

VERDICT_LEGEND = (
    "inside means that our median lies in the brackets or the band; above means that every seed exceeds the best "
    "result reported for the network, and their mean does by more than two standard deviations"
)
_LEGEND = f"""\
Test accuracy after the last epoch; for `best/` recipes, of the epoch with the highest validation accuracy, tested once.

- reported: of all builds of a book edition the median, the 5% and 95% quantiles in brackets, the number of builds and
  the best one; or single results with their source, and a band; or for `best/` recipes the best result reported for the
  network. Sources marked as unpublished (see the end) have no public address: readers cannot check their results.
- band: from the lowest to the highest single result, extended by the distances between the quantiles and the median of
  the builds of the same network under `book/sgd`. The 5% quantile of NiN is at chance, so its upper distance extends
  the band on both sides. A wide band is easily met.
- ours: the median, the lowest and highest accuracy in brackets, the number of seeds, the standard deviation (ddof 1).
- verdict: {VERDICT_LEGEND}.
- at chance: the number of runs that ended at an accuracy of 10%, reported and ours.
- train acc: the training accuracy in the last epoch, reported and our median. A dash means that none is reported.
- s/epoch: the wall time of an epoch; ours is that of training with evaluation, checkpoints and data loading, divided by
  the number of epochs."""
_NUMBER_COLUMNS = {"at chance", "train acc", "s/epoch reported", "s/epoch ours"}


def format_row(result: RecipeResult) -> dict[str, str]:
    """Return the cells of a result by column name."""
    recipe, distribution = result.recipe, result.recipe.distribution
    reported_at_chance = f"{distribution.num_at_chance}/{distribution.num_builds}" if distribution else "-"
    reported_train_acc = ", ".join(map(format_accuracy, recipe.train_accuracies)) or "-"
    reported_seconds = [f"{seconds} ({source})" for source, seconds in recipe.seconds_per_epoch.items()]
    return {
        "recipe": recipe.name,
        "reported": format_reported(recipe),
        "ours": _format_ours(result),
        "verdict": result.verdict,
        "at chance": f"{reported_at_chance}, {result.num_at_chance}/{len(result.runs)}",
        "train acc": f"{reported_train_acc}, {format_accuracy(result.train_accuracy)}",
        "s/epoch reported": ", ".join(reported_seconds) or "-",
        "s/epoch ours": "-" if result.seconds_per_epoch is None else f"{result.seconds_per_epoch:.1f}",
    }


def format_reported(recipe: Recipe) -> str:
    """Return the results that a recipe is compared with."""
    if recipe.distribution is not None:
        distribution = recipe.distribution
        quantiles = f"[{format_accuracy(distribution.low)}, {format_accuracy(distribution.high)}]"
        return (
            f"{format_accuracy(distribution.median)} {quantiles} of {distribution.num_builds}, "
            f"best {format_accuracy(distribution.best)}"
        )
    if recipe.band is None:
        return f"{format_accuracy(best_reported(recipe.network))}, the best of its network"
    low, high = recipe.band
    results = [f"{format_accuracy(result.final_accuracy)} ({result.source})" for result in recipe.comparable]
    return f"{', '.join(results)}, band [{format_accuracy(low)}, {format_accuracy(high)}]"


def _format_ours(result: RecipeResult) -> str:
    text = format_accuracy(result.median)
    if result.std is None:
        text += ", one seed"
    else:
        low, high = format_accuracy(min(result.accuracies)), format_accuracy(max(result.accuracies))
        text += f" [{low}, {high}] of {len(result.runs)}, sd {format_accuracy(result.std, 4)}"
    return f"{text}, {result.num_failed} failed" if result.num_failed else text


def format_accuracy(value: float, digits: int = 3) -> str:
    """Return an accuracy in the format of the book: `.812`."""
    return f"{value:.{digits}f}".removeprefix("0")


def format_notes(recipes: Iterable[Recipe]) -> list[str]:
    """Return one line for every source of the recipes, every note and every reported result with a known error."""
    recipes = list(recipes)
    names = {result.source for recipe in recipes for result in recipe.reported}
    names |= {name for recipe in recipes for name in recipe.seconds_per_epoch}
    lines = [
        f"{name}: {source.description} ({source.url or 'unpublished: no public address'})"
        for name, source in load_sources().items()
        if name in names
    ]
    lines += [f"{recipe.name}: {recipe.note}" for recipe in recipes if recipe.note]
    lines += [
        f"{recipe.name}: {format_accuracy(result.final_accuracy)} ({result.source}) is not compared, "
        f"its network has an error: {result.known_error}"
        for recipe in recipes
        for result in recipe.reported
        if result.known_error
    ]
    return lines


def terminal_tables(comparison: PublishedComparison) -> list[Table]:
    """Return one table for every device."""
    tables = []
    for device, results in comparison.group_by(lambda result: result.device).items():
        rows = [format_row(result) for result in results]
        table = Table(title=table_title(f"on {device}"), title_justify="left")
        for column in rows[0]:
            is_number = column in _NUMBER_COLUMNS
            table.add_column(column, justify="right" if is_number else "left", no_wrap=column == "recipe")
        for row in rows:
            table.add_row(*map(cell, row.values()))
        tables.append(table)
    return tables


def markdown_report(comparison: PublishedComparison, plots_directory: str) -> str:
    """Return the legend, a table for every device, what was not measured or compared, the sources and the plots.

    Args:
        comparison: what the report shows.
        plots_directory: where the plots are, relative to the Markdown file.
    """
    parts = [_LEGEND]
    for device, results in comparison.group_by(lambda result: result.device).items():
        parts += [f"## On {escape_markdown(device)}", _markdown_table([_markdown_row(result) for result in results])]
    if comparison.not_measured:
        rows = [
            {"command": f"`{recipe.command}`", "reported": format_reported(recipe), "ours": "not measured"}
            for recipe in comparison.not_measured
        ]
        parts += ["## Not measured", _markdown_table(rows)]
    if comparison.excluded:
        parts += ["## Excluded runs", markdown_list([escape_markdown(line) for line in comparison.excluded])]
    parts += ["## Sources and notes", markdown_list(format_notes(load_recipes().values()))]
    if comparison.results:
        parts.append("## Curves")
    parts += [
        f"![{network}: reported and our curves]({quote(plots_directory)}/{plot_filename(network)})"
        for network in comparison.group_by(lambda result: result.recipe.network)
    ]
    return "\n\n".join(parts) + "\n"


def plot_filename(network: str) -> str:
    """Return the name of the file with the curves of a network."""
    return f"{network.lower().replace(' ', '-')}.png"


def _markdown_row(result: RecipeResult) -> dict[str, str]:
    row = format_row(result)
    del row["recipe"]
    return {"command": f"`{_command(result)}`"} | row | {"date, versions, commit": escape_markdown(_provenance(result))}


def _command(result: RecipeResult) -> str:
    """Return the command that repeats the runs."""
    seeds = ",".join(str(run.results.seed) for run in result.runs)
    command = f"{result.recipe.command} seed={seeds}"
    return command.replace(" experiment=", " -m experiment=") if len(result.runs) > 1 else command


def _provenance(result: RecipeResult) -> str:
    """Return the dates, versions and commits of the runs."""
    runs = [run.results for run in result.runs]
    dates = sorted({str(run.started)[:10] for run in runs})
    period = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    versions = {f"torch {run.versions['torch']}, lightning {run.versions['lightning']}" for run in runs}
    commits = {f"commit {_short_commit(run.git_commit)}" for run in runs if run.git_commit}
    return "; ".join([period, *sorted(versions), *sorted(commits)])


def _short_commit(commit: str) -> str:
    """Return seven digits of a commit, with the suffix that marks uncommitted changes."""
    digits, dash, suffix = commit.partition("-")
    return digits[:7] + dash + suffix


def _markdown_table(rows: Sequence[dict[str, str]]) -> str:
    return markdown_table(list(rows[0]), [list(row.values()) for row in rows], [True] * len(rows[0]))
