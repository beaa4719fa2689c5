"""Runs as their folders tell of them."""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_experiments.errors import Refusal, in_one_line

_NEEDED = {"status", "started", "overrides", "options", "seed", "metrics"}
_NEEDED_AT_THE_END = _NEEDED | {
    *("protocol", "epochs", "parameters", "multiply_adds", "seconds", "device", "precision", "versions", "git_commit"),
}


@dataclass(frozen=True)
class Run:
    """One run's folder and its results.json."""

    folder: Path
    results: dict[str, Any]

    def curve(self, figure: str) -> list[float]:
        """A column of metrics.csv, such as test/acc, one value an epoch; empty where it was not measured."""
        try:
            with (self.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
                return [float(row[figure]) for row in csv.DictReader(file) if row.get(figure)]
        except FileNotFoundError:
            return []


def find(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The runs at and below some folders, each once, in the order of their paths; and a line on each damaged one.

    Raises:
        Refusal: there is no results.json at or below a path.
    """
    files: dict[Path, Path] = {}
    for path in paths:
        below = sorted(path.rglob("results.json"))
        if not below:
            raise Refusal(f"{path}: must be a run's folder or one with runs below it; there is no results.json")
        files |= {file.resolve(): file for file in below}
    runs, damaged = [], []
    for file in files.values():
        try:
            results = json.loads(file.read_text(encoding="utf-8"))
            needed = _NEEDED_AT_THE_END if results["status"] == "completed" else _NEEDED
            if missing := needed - set(results):
                raise ValueError(f"{', '.join(sorted(missing))} missing")
        except (OSError, ValueError, TypeError, KeyError) as error:
            damaged.append(f"{file}: {in_one_line(error)}")
        else:
            runs.append(Run(file.parent, results))
    return runs, damaged
