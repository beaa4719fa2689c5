"""Runs as their folders tell of them."""

import csv
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

from cnn_experiments.errors import Refusal, describe_error
from cnn_experiments.runs.fingerprint import NO_EFFECT
from cnn_experiments.runs.metrics import curve_keys
from cnn_experiments.runs.settings import Setup

_KINDS = {"status": str, "model": str, "overrides": list, "seed": int, "metrics": dict}
"""What every results.json holds from its first moment."""
_LATER = {
    "options": dict,
    "settings": dict,
    "seconds": dict,
    "images_per_second": dict,
    "parameters": int,
    "multiply_adds": int,
    "versions": dict,
}
"""What one may hold besides, or null."""


@dataclass(frozen=True)
class Run:
    """One run's folder and its results.json."""

    folder: Path
    results: dict[str, Any]

    @cached_property
    def setup(self) -> Setup:
        """What it was told to do."""
        pairs = (str(override).lstrip("+").partition("=") for override in self.results["overrides"])
        named = {"model": self.results["model"], "data": str(self.results.get("data"))}
        return Setup(
            options=named | (self.results.get("options") or {}),
            typed={key: value for key, _, value in pairs if key not in NO_EFFECT},
            settings=self.results.get("settings") or {},
        )

    def metric(self, name: str) -> float | None:
        """One of its metrics, such as test/acc; None where it was not measured or is no number."""
        return number(self.results["metrics"].get(name))

    def curve(self, figure: str) -> list[float]:
        """A column of metrics.csv, one of `curve_keys()`, with one value an epoch; empty where it was not measured.

        Raises:
            ValueError: there is something else than a number in it, or in the column of the epochs.
        """
        found = self._curves[figure]
        if isinstance(found, str):
            raise ValueError(found)
        return found

    @cached_property
    def _curves(self) -> dict[str, list[float] | str]:
        """All of `curve_keys()`, or why there is none."""
        try:
            with (self.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if int(row.get("epoch") or 1)]
        except FileNotFoundError:
            rows = []
        except (csv.Error, OSError, ValueError) as error:
            return dict.fromkeys(curve_keys(), str(error))
        return {figure: _numbers(row.get(figure) for row in rows) for figure in curve_keys()}


def number(value: Any) -> float | None:
    """The value, if it is a number and finite."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def damaged_curves(runs: Iterable[Run]) -> list[str]:
    """A line on each run whose metrics.csv can't be read."""
    lines = []
    for run in runs:
        missing = {figure: why for figure in curve_keys() if (why := _why_no_curve(run, figure))}
        if missing:
            reason = next(iter(missing.values()))
            lines.append(f"{run.folder / 'metrics.csv'}: {reason}; no curve of {', '.join(missing)}")
    return lines


def _why_no_curve(run: Run, figure: str) -> str | None:
    try:
        run.curve(figure)
    except ValueError as error:
        return str(error)
    return None


def _numbers(cells: Iterable[str | None]) -> list[float] | str:
    try:
        values = [float(cell) for cell in cells if cell]
    except ValueError as error:
        return str(error)
    return values if all(map(math.isfinite, values)) else "a figure is not finite"


def find(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The runs at and below some folders, each once, in the order of their paths; and a line on each damaged one.

    Raises:
        Refusal: there is no results.json at or below a path.
    """
    files: dict[Path, Path] = {}
    for path in paths:
        below = sorted(path.rglob("results.json"))
        if not below:
            raise Refusal(f"{path}: must be a run's folder or one with runs below it; there is no results.json yet")
        files |= {file.resolve(): file for file in below}
    runs, damaged = [], []
    for file in files.values():
        try:
            results = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(results, dict):
                raise TypeError(f"holds a {type(results).__name__}")
            wrong = [key for key, kind in _KINDS.items() if not isinstance(results.get(key), kind)]
            wrong += [key for key, kind in _LATER.items() if not isinstance(results.get(key), kind | NoneType)]
            if wrong:
                raise TypeError(f"{', '.join(wrong)}: not as a run writes it")
        except (OSError, ValueError, TypeError) as error:
            damaged.append(f"{file}: {describe_error(error)}")
        else:
            runs.append(Run(file.parent, results))
    return runs, damaged
