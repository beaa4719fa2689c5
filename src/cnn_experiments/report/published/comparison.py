"""Published figures beside those of runs that follow the same recipes."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cnn_experiments.report.published.reference import Recipe, best_of, recipes
from cnn_experiments.runs.records import Run

_SAME_RESULT = {
    "experiment",
    "seed",
    "ckpt_path",
    "data.root",
    "trainer.accelerator",
    "trainer.devices",
    "memory_format",
}
"""What may be set on the command line of a recipe and leaves it that recipe, on one device."""
_PLACES = {"trainer=default", "trainer=cpu", "trainer=gpu"}
_SAME_MAKE = ("parameters", "multiply_adds", "protocol", "epochs", "precision", "configuration")
"""What tells runs of a recipe from those made before the recipe was changed."""
_NUMBERS = ("metrics test/acc", "metrics train/acc", "seconds fit", "epochs", "parameters", "multiply_adds")
_WORDS = ("started", "protocol", "precision", "device", "versions torch", "versions lightning")
_CHANCE = 0.1


@dataclass(frozen=True)
class Row:
    """A recipe and its completed runs on one kind of device, one for each seed."""

    recipe: Recipe
    runs: Sequence[Run]
    failed: int
    """How many further seeds failed there, by a loss that is no number or otherwise."""

    @property
    def device(self) -> str:
        """The device's kind and model."""
        return str(self.runs[0].results["device"])

    @property
    def accuracies(self) -> list[float]:
        """Test accuracy that each run reports."""
        return [run.results["metrics"]["test/acc"] for run in self.runs]

    @property
    def median(self) -> float:
        """Of the test accuracies."""
        return statistics.median(self.accuracies)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the test accuracies (ddof 1); None for a single run."""
        return statistics.stdev(self.accuracies) if len(self.runs) > 1 else None

    @property
    def chance(self) -> int:
        """How many runs ended at the accuracy of guessing."""
        return sum(map(_at_chance, self.accuracies))

    @property
    def train_accuracy(self) -> float:
        """Median over the runs."""
        return statistics.median(run.results["metrics"]["train/acc"] for run in self.runs)

    @property
    def seconds(self) -> float | None:
        """Wall time of an epoch with the evaluation behind it, the median over the runs that were not resumed."""
        whole = [run.results for run in self.runs if not any(map(_is_resuming, run.results["overrides"]))]
        return statistics.median(each["seconds"]["fit"] / each["epochs"] for each in whole) if whole else None

    @property
    def verdict(self) -> str:
        """Whether the median lies in the published band.

        Of a recipe without one: whether every run beats the highest figure that is published for its network, and their
        mean does by more than two standard deviations.
        """
        if self.recipe.band is None:
            return self._verdict_on_a_better_recipe()
        low, high = self.recipe.band
        if _at_chance(self.median):
            return "at chance"
        if low <= self.median <= high:
            return "inside"
        return "outside, below" if self.median < low else "outside, above"

    def _verdict_on_a_better_recipe(self) -> str:
        best = best_of(self.recipe.network)
        if min(self.accuracies) <= best:
            return "not above"
        if self.deviation is None:
            return "above, one seed"
        return "above" if statistics.mean(self.accuracies) - best > 2 * self.deviation else "above, narrowly"


@dataclass(frozen=True)
class Ledger:
    """All rows with runs, in the order of the published figures; and why other runs are in none."""

    rows: list[Row]
    left_out: list[str]
    """A line on each run of a recipe that is in no row."""
    of_no_recipe: int
    """How many runs follow none of the recipes."""

    def by(self, kind: Callable[[Row], str]) -> dict[str, list[Row]]:
        """The rows in groups of one kind."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(kind(row), []).append(row)
        return groups

    @property
    def missing(self) -> list[Recipe]:
        """The recipes without a run."""
        measured = {row.recipe.name for row in self.rows}
        return [recipe for name, recipe in recipes().items() if name not in measured]


def ledger(runs: Iterable[Run]) -> Ledger:
    """Sorts runs into the rows that they belong to.

    A run counts where it followed a published recipe to the end and nothing was set that changes the result.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    failures: dict[tuple[str, str], set[int]] = {}
    left_out: list[str] = []
    of_no_recipe = 0
    for run in runs:
        name = str(run.setup.options.get("experiment")).removesuffix(".yaml")
        key = name, str(run.results.get("device"))
        if name not in recipes():
            of_no_recipe += 1
        elif reason := _why_not(run, name):
            left_out.append(f"{run.folder}: {reason}")
            if run.results["status"] == "failed" and not _changes(run):
                failures.setdefault(key, set()).add(run.results["seed"])
        else:
            groups.setdefault(key, []).append(run)
    rows = []
    for name, recipe in recipes().items():
        for key, group in sorted(groups.items()):
            if key[0] == name:
                counted, others = _one_for_each_seed(group)
                failed = failures.get(key, set()) - {run.results["seed"] for run in counted}
                rows.append(Row(recipe, counted, len(failed)))
                left_out += others
    return Ledger(rows, sorted(left_out), of_no_recipe)


def _one_for_each_seed(runs: list[Run]) -> tuple[list[Run], list[str]]:
    """The newest of each seed, all of the same make as the newest of all; and a line on each of the others."""
    newest_first = sorted(runs, key=lambda run: run.results["started"], reverse=True)
    newest = newest_first[0]
    seeds: dict[int, Run] = {}
    left_out = []
    for run in newest_first:
        seed = run.results["seed"]
        other = [fact for fact in _SAME_MAKE if run.results.get(fact) != newest.results.get(fact)]
        if other:
            differing = ", ".join(
                f"{fact} {run.results.get(fact)} and not {newest.results.get(fact)}" for fact in other
            )
            left_out.append(f"{run.folder}: {differing} as in {newest.folder}, which is newer")
        elif seed in seeds:
            left_out.append(f"{run.folder}: seed {seed} again, as in {seeds[seed].folder}")
        else:
            seeds[seed] = run
    return [run for _, run in sorted(seeds.items())], left_out


def _why_not(run: Run, name: str) -> str | None:
    results = run.results
    if changes := _changes(run):
        return f"not {name}, it has {' '.join(changes)}"
    if results["status"] != "completed":
        return f"{name} {results['status']}: {results.get('error') or 'not at its end'}"
    if results.get("processes", 1) > 1:
        return f"not {name}, {results['processes']} processes had a batch each"
    for kind, leaves in ((int | float, _NUMBERS), (str, _WORDS)):
        if lacking := [leaf for leaf in leaves if not isinstance(_leaf(results, leaf), kind)]:
            return f"{name}, without {', '.join(lacking)}"
    try:
        run.curve("test/acc")
    except ValueError as error:
        return f"{name}, metrics.csv is damaged: {error}"
    return None


def _leaf(results: dict[str, Any], path: str) -> Any:
    found: Any = results
    for key in path.split():
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _changes(run: Run) -> list[str]:
    """The overrides that make another recipe of it."""
    return [
        override
        for override in run.results["overrides"]
        if override not in _PLACES and override.lstrip("+").partition("=")[0] not in _SAME_RESULT
    ]


def _at_chance(accuracy: float) -> bool:
    return abs(accuracy - _CHANCE) < 5e-4


def _is_resuming(override: str) -> bool:
    return override.partition("=")[0] == "ckpt_path" and override != "ckpt_path=null"
