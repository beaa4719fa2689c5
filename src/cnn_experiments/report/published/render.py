"""What the ledger says, cell by cell, in a terminal and in a file."""

from collections.abc import Iterable

from cnn_experiments.report.published.comparison import Row
from cnn_experiments.report.published.reference import Recipe, best_of, sources

HEAD = ("recipe", "published", "ours", "verdict", "at chance", "train acc", "s/epoch published", "s/epoch ours")


def cells(row: Row) -> list[str]:
    """What stands in a row, under HEAD."""
    recipe, builds = row.recipe, row.recipe.builds
    low, high = min(row.accuracies), max(row.accuracies)
    if row.deviation is None:
        spread = ", one seed"
    else:
        spread = f" [{share(low)}, {share(high)}] of {len(row.runs)}, sd {share(row.deviation, 4)}"
    if row.failed:
        spread += f", {row.failed} failed"
    return [
        recipe.name,
        published(recipe),
        share(row.median) + spread,
        row.verdict,
        f"{f'{builds.chance}/{builds.count}' if builds else '-'}, {row.chance}/{len(row.runs)}",
        f"{', '.join(map(share, recipe.train_accuracies)) or '-'}, {share(row.train_accuracy)}",
        ", ".join(f"{seconds} ({source})" for source, seconds in recipe.seconds.items()) or "-",
        f"{row.seconds:.1f}" if row.seconds is not None else "-",
    ]


def published(recipe: Recipe) -> str:
    """The figures that a recipe has to meet."""
    if recipe.builds is not None:
        builds = recipe.builds
        spread = f"{share(builds.median)} [{share(builds.low)}, {share(builds.high)}] of {builds.count}"
        return f"{spread}, best {share(builds.best)}"
    if recipe.band is None:
        return f"{share(best_of(recipe.network))}, the best of its network"
    low, high = recipe.band
    printed = ", ".join(f"{share(each.last)} ({each.source})" for each in recipe.comparable)
    return f"{printed}, band [{share(low)}, {share(high)}]"


def share(value: float, digits: int = 3) -> str:
    """.812, as the course prints it."""
    return f"{value:.{digits}f}".removeprefix("0")


def notes(shown: Iterable[Recipe]) -> list[str]:
    """What has to be known of the published figures of some recipes: sources, mistakes."""
    shown = list(shown)
    used = {each.source for recipe in shown for each in recipe.prints} | {s for recipe in shown for s in recipe.seconds}
    lines = [f"{name}: {meaning}" for name, meaning in sources().items() if name in used]
    lines += [f"{recipe.name}: {recipe.remark}" for recipe in shown if recipe.remark]
    lines += [
        f"{recipe.name}: {share(each.last)} ({each.source}) belongs to a mistaken network: {each.mistake}"
        for recipe in shown
        for each in recipe.prints
        if each.mistake
    ]
    return lines
