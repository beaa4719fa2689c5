"""Compares completed runs of the recipes with the results that others report."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cnn_experiments.report.published.reference import CHANCE_ACCURACY, Recipe, best_reported, load_recipes
from cnn_experiments.report.statistics import measurement
from cnn_experiments.runs.records import RunRecord
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.settings import split_override
from cnn_experiments.runs.status import Status

_NEUTRAL_KEYS = {
    "experiment",
    "seed",
    "ckpt_path",
    "data.root",
    "trainer.accelerator",
    "trainer.devices",
    "memory_format",
}
"""Overrides that leave a run a run of its recipe, on one device."""
_NEUTRAL_OVERRIDES = {"trainer=default", "trainer=cpu", "trainer=gpu"}
_RECIPE_VERSION_KEYS = ("parameters", "multiply_adds", "protocol", "epochs", "precision", "configuration")
"""Keys of results.json that differ between runs from before and after a change of their recipe."""
_REQUIRED_FIELDS: dict[tuple[str, ...], type] = {
    ("metrics", "test/acc"): float,
    ("metrics", "train/acc"): float,
    ("seconds", "fit"): float,
    ("epochs",): float,
    ("parameters",): float,
    ("multiply_adds",): float,
    ("started",): str,
    ("protocol",): str,
    ("precision",): str,
    ("device",): str,
    ("versions", "torch"): str,
    ("versions", "lightning"): str,
}
"""What results.json must hold for a run to be compared."""


@dataclass(frozen=True)
class RecipeResult:
    """The completed runs of a recipe on one device, one for each seed."""

    recipe: Recipe
    runs: Sequence[RunRecord]
    num_failed: int
    """Seeds whose runs failed on the device."""

    @property
    def device(self) -> str:
        """Return the kind and model of the device."""
        return str(self.runs[0].results.device)

    @property
    def accuracies(self) -> list[float]:
        """Return the test accuracy of every run."""
        return [_number(run, "metrics", "test/acc") for run in self.runs]

    @property
    def median(self) -> float:
        """Return the median test accuracy."""
        return statistics.median(self.accuracies)

    @property
    def std(self) -> float | None:
        """Return the standard deviation of the test accuracies (ddof 1); None for a single run."""
        return statistics.stdev(self.accuracies) if len(self.runs) > 1 else None

    @property
    def num_at_chance(self) -> int:
        """Return the number of runs that ended at the accuracy of guessing."""
        return sum(map(_is_at_chance, self.accuracies))

    @property
    def train_accuracy(self) -> float:
        """Return the median training accuracy in the last epoch."""
        return statistics.median(_number(run, "metrics", "train/acc") for run in self.runs)

    @property
    def seconds_per_epoch(self) -> float | None:
        """Return the median wall time of an epoch and its evaluation; None if every run was resumed with `ckpt_path`.

        The seconds of a resumed run do not cover all of its epochs.
        """
        complete = [run for run in self.runs if not any(map(_is_resuming, run.results.overrides))]
        if not complete:
            return None
        return statistics.median(_number(run, "seconds", "fit") / run.results.epochs for run in complete)

    @property
    def verdict(self) -> str:
        """Return how the test accuracies compare with the reported ones.

        With a reported band, the median is compared with it. A recipe without one is above if every run exceeds the
        best result reported for its network and their mean does by more than two standard deviations.
        """
        if self.recipe.band is None:
            return self._compare_with_best_reported()
        low, high = self.recipe.band
        if _is_at_chance(self.median):
            return "at chance"
        if low <= self.median <= high:
            return "inside"
        return "outside, below" if self.median < low else "outside, above"

    def _compare_with_best_reported(self) -> str:
        best = best_reported(self.recipe.network)
        if min(self.accuracies) <= best:
            return "not above"
        if self.std is None:
            return "above, one seed"
        return "above" if statistics.mean(self.accuracies) - best > 2 * self.std else "above, narrowly"


@dataclass(frozen=True)
class PublishedComparison:
    """The results of all recipes with runs, in the order of reference.yaml."""

    results: list[RecipeResult]
    excluded: list[str]
    """One line for every run of a recipe that is not compared, with the reason."""
    num_unmatched: int
    """Runs that follow none of the recipes."""

    def group_by(self, key: Callable[[RecipeResult], str]) -> dict[str, list[RecipeResult]]:
        """Return the results by the value of a key function, in their order."""
        groups: dict[str, list[RecipeResult]] = {}
        for result in self.results:
            groups.setdefault(key(result), []).append(result)
        return groups

    @property
    def not_measured(self) -> list[Recipe]:
        """Return the recipes without runs."""
        measured = {result.recipe.name for result in self.results}
        return [recipe for name, recipe in load_recipes().items() if name not in measured]


def compare_with_published(runs: Iterable[RunRecord]) -> PublishedComparison:
    """Group the runs by recipe and device.

    A run is compared if it completed a recipe without an override that changes the result. Of several runs with the
    same seed, the newest is.
    """
    recipes = load_recipes()
    completed: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    failed_seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    excluded: list[str] = []
    num_unmatched = 0
    for run in runs:
        name = str(run.settings.choices.get("experiment")).removesuffix(".yaml")
        device = str(run.results.device)
        if name not in recipes:
            num_unmatched += 1
        elif reason := _reason_excluded(run):
            excluded.append(f"{run.directory}: {name} {reason}")
            if run.results.status == Status.FAILED and not _relevant_overrides(run):
                failed_seeds[name, device].add(run.results.seed)
        else:
            completed[name, device].append(run)
    results = []
    for name, device in sorted(completed, key=lambda key: (list(recipes).index(key[0]), key[1])):
        compared, superseded = _newest_of_each_seed(completed[name, device])
        failed = failed_seeds[name, device] - {run.results.seed for run in compared}
        results.append(RecipeResult(recipes[name], compared, len(failed)))
        excluded += superseded
    return PublishedComparison(results, sorted(excluded), num_unmatched)


def _newest_of_each_seed(runs: list[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """Return the newest run of every seed, and a line for each of the others.

    Runs from before a change of the recipe, as the newest of all shows, are among the others.
    """
    newest_first = sorted(runs, key=lambda run: str(run.results.started), reverse=True)
    newest = newest_first[0]
    by_seed: dict[int, RunRecord] = {}
    superseded = []
    for run in newest_first:
        seed = run.results.seed
        differences = [
            f"{key} {getattr(run.results, key)} instead of {getattr(newest.results, key)}"
            for key in _RECIPE_VERSION_KEYS
            if getattr(run.results, key) != getattr(newest.results, key)
        ]
        if differences:
            superseded.append(f"{run.directory}: older than {newest.directory} and has {', '.join(differences)}")
        elif seed in by_seed:
            superseded.append(f"{run.directory}: superseded by {by_seed[seed].directory} with the same seed {seed}")
        else:
            by_seed[seed] = run
    return [run for _, run in sorted(by_seed.items())], superseded


def _reason_excluded(run: RunRecord) -> str | None:
    """Return why a run does not count as one of its recipe; None if it counts."""
    results = run.results
    if overrides := _relevant_overrides(run):
        return f"with {' '.join(overrides)}"
    if results.status != Status.COMPLETED:
        error = f": {results.error}" if results.error else ""
        return f"has status {results.status}{error}"
    if (results.processes or 1) > 1:
        return f"was trained by {results.processes} processes, which multiplies the batch size"
    if results.epochs < 1:
        return f"has {results.epochs} epochs"
    missing = [".".join(path) for path, kind in _REQUIRED_FIELDS.items() if not _has_kind(_field(results, path), kind)]
    if missing:
        return f"lacks {', '.join(missing)} in results.json"
    try:
        run.curve("test/acc")
    except ValueError as error:
        return f"has a damaged metrics.csv: {error}"
    return None


def _field(results: RunResults, path: Sequence[str]) -> Any:
    """Return a nested value of results.json; None if there is none."""
    key, *nested = path
    value = getattr(results, key)
    for key in nested:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _has_kind(value: Any, kind: type) -> bool:
    return isinstance(value, str) if kind is str else measurement(value) is not None


def _number(run: RunRecord, *path: str) -> float:
    """Return a nested number of results.json that every compared run has."""
    value = _field(run.results, path)
    assert isinstance(value, int | float)
    return value


def _relevant_overrides(run: RunRecord) -> list[str]:
    """Return the overrides that make the run another experiment than its recipe."""
    return [
        override
        for override in run.results.overrides
        if override not in _NEUTRAL_OVERRIDES and split_override(override)[0] not in _NEUTRAL_KEYS
    ]


def _is_at_chance(accuracy: float) -> bool:
    return abs(accuracy - CHANCE_ACCURACY) < 5e-4


def _is_resuming(override: str) -> bool:
    return override.partition("=")[0] == "ckpt_path" and override != "ckpt_path=null"
