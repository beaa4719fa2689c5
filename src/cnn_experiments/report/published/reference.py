"""Results that others report for these networks on Fashion-MNIST, read from reference.yaml."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

CHANCE_ACCURACY = 0.1
"""Accuracy of guessing one of ten balanced classes."""


@dataclass(frozen=True)
class Source:
    """A book, repository or notebook that reports results."""

    description: str
    url: str | None = None
    """Public address; None for an unpublished source, whose results readers cannot check."""


@dataclass(frozen=True)
class ReportedResult:
    """The test accuracy of one training run that a source reports."""

    source: str
    curve: list[float]
    """Test accuracy after every epoch, or after the last epoch alone."""
    train_acc: float | None = None
    """Training accuracy in the last epoch."""
    known_error: str | None = None
    """How the source's network deviates from the one that it names; None for a correct network."""

    @property
    def final_accuracy(self) -> float:
        """Return the test accuracy after the last epoch."""
        return self.curve[-1]


@dataclass(frozen=True)
class ReportedDistribution:
    """The test accuracy after the last epoch in the builds of a book edition, each of which trains the network once."""

    median: float
    low: float
    """5% quantile."""
    high: float
    """95% quantile."""
    best: float
    num_builds: int
    num_at_chance: int
    """Builds that ended at the accuracy of guessing."""
    train_acc: float
    """Median training accuracy in the last epoch."""

    @property
    def spread(self) -> tuple[float, float]:
        """Return how far the quantiles lie below and above the median.

        If the lower quantile is at chance, the upper distance counts for both.
        """
        above = self.high - self.median
        return (above if self.low <= CHANCE_ACCURACY else self.median - self.low), above


@dataclass(frozen=True)
class Recipe:
    """A recipe in conf/experiment and what others report for it: single results, a distribution or neither."""

    name: str
    network: str
    reported: list[ReportedResult]
    distribution: ReportedDistribution | None
    band: tuple[float, float] | None
    """Interval that must contain our median accuracy; None for a recipe that no source reports."""
    seconds_per_epoch: Mapping[str, float | str]
    """Wall time of an epoch by source, as reported."""
    images_per_second: Mapping[str, int]
    """Images of training per second by source, as reported."""
    note: str | None

    @property
    def command(self) -> str:
        """Return the command that runs the recipe."""
        return f"python -m cnn_experiments experiment={self.name}"

    @property
    def comparable(self) -> list[ReportedResult]:
        """Return the single results of the network that the recipe trains, without those of networks with an error."""
        return [result for result in self.reported if result.known_error is None]

    @property
    def train_accuracies(self) -> list[float]:
        """Return the reported training accuracies in the last epoch."""
        if self.distribution:
            return [self.distribution.train_acc]
        return [result.train_acc for result in self.comparable if result.train_acc is not None]

    @property
    def best(self) -> float:
        """Return the highest reported test accuracy after the last epoch; 0 if none is reported."""
        if self.distribution:
            return self.distribution.best
        return max((result.final_accuracy for result in self.comparable), default=0.0)


@functools.cache
def load_sources() -> dict[str, Source]:
    """Return the sources by their short names."""
    return {name: Source(**source) for name, source in _load_file()["sources"].items()}


@functools.cache
def load_recipes() -> dict[str, Recipe]:
    """Return the recipes by name, in the order of the file."""
    entries: dict[str, dict[str, Any]] = _load_file()["recipes"]
    distributions = {
        name: ReportedDistribution(**entry["distribution"])
        for name, entry in entries.items()
        if "distribution" in entry
    }
    recipes = {}
    for name, entry in entries.items():
        reported = [ReportedResult(**result) for result in entry.get("reported", [])]
        accuracies = [result.final_accuracy for result in reported if result.known_error is None]
        distribution = distributions.get(name)
        band = (distribution.low, distribution.high) if distribution else None
        if accuracies:
            below, above = distributions[entry["spread_of"]].spread
            band = round(min(accuracies) - below, 3), round(max(accuracies) + above, 3)
        recipes[name] = Recipe(
            name=name,
            network=entry["network"],
            reported=reported,
            distribution=distribution,
            band=band,
            seconds_per_epoch=entry.get("seconds_per_epoch", {}),
            images_per_second=entry.get("images_per_second", {}),
            note=entry.get("note"),
        )
    return recipes


def best_reported(network: str) -> float:
    """Return the highest test accuracy that is reported for a network under any recipe."""
    return max(recipe.best for recipe in load_recipes().values() if recipe.network == network)


@functools.cache
def _load_file() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("reference.yaml").read_text("utf-8"))
    return content
