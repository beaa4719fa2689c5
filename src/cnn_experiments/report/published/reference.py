"""The published figures: what published.yaml holds, and what follows from it."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml


@dataclass(frozen=True)
class Print:
    """One printed build: test accuracy after each epoch or after the last alone."""

    source: str
    curve: list[float]
    train_acc: float | None = None
    """In the last epoch."""
    mistake: str | None = None
    """What is wrong with the network that printed it."""

    @property
    def last(self) -> float:
        """What the recipe ended with."""
        return self.curve[-1]


@dataclass(frozen=True)
class Builds:
    """The last epoch's test accuracy over all builds of an edition."""

    median: float
    low: float
    high: float
    best: float
    count: int
    chance: int
    """Builds that ended at the accuracy of guessing."""
    train_acc: float
    """The median in the last epoch."""

    @property
    def spread(self) -> tuple[float, float]:
        """How far the quantiles lie below and above the median; both as above where the lower one is at chance."""
        above = self.high - self.median
        return (above if self.low <= 0.1 else self.median - self.low), above


@dataclass(frozen=True)
class Recipe:
    """A row of the ledger."""

    name: str
    network: str
    prints: list[Print]
    builds: Builds | None
    band: tuple[float, float] | None
    """Where a median has to lie to be inside; None for a recipe that is not the book's."""
    seconds: Mapping[str, float | str]
    """Of an epoch, by source."""
    remark: str | None

    @property
    def command(self) -> str:
        """What is typed to run it."""
        return f"python -m cnn_experiments experiment={self.name}"

    @property
    def comparable(self) -> list[Print]:
        """The prints of the network that the recipe trains."""
        return [each for each in self.prints if each.mistake is None]

    @property
    def train_accuracies(self) -> list[float]:
        """What is published of training in the last epoch."""
        figures = [self.builds.train_acc] if self.builds else [each.train_acc for each in self.comparable]
        return [figure for figure in figures if figure is not None]

    @property
    def best(self) -> float:
        """The highest figure published of it."""
        return max([each.last for each in self.comparable] + ([self.builds.best] if self.builds else []), default=0.0)


@functools.cache
def sources() -> dict[str, str]:
    """What the short names of the sources stand for."""
    return dict(_file()["sources"])


@functools.cache
def recipes() -> dict[str, Recipe]:
    """All rows of the ledger by name, in its order."""
    rows: dict[str, dict[str, Any]] = _file()["recipes"]
    builds = {name: Builds(**row["builds"]) for name, row in rows.items() if "builds" in row}
    read = {}
    for name, row in rows.items():
        prints = [Print(**given) for given in row.get("prints", [])]
        comparable = [each.last for each in prints if each.mistake is None]
        band = (builds[name].low, builds[name].high) if name in builds else None
        if comparable:
            below, above = builds[row["spread_of"]].spread
            band = round(min(comparable) - below, 3), round(max(comparable) + above, 3)
        read[name] = Recipe(
            name, row["network"], prints, builds.get(name), band, row.get("seconds", {}), row.get("remark")
        )
    return read


def best_of(network: str) -> float:
    """The highest figure that any recipe for a network has published."""
    return max(recipe.best for recipe in recipes().values() if recipe.network == network)


@functools.cache
def _file() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("reference.yaml").read_text("utf-8"))
    return read
