"""Tables and a picture of what `benchmarks/against_others` measured.

    python scripts/benchmark_tables.py FILE

prints the tables of a file in Markdown.
"""

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnn_experiments.markdown import markdown_table
from cnn_experiments.report.published.reference import load_recipes
from cnn_experiments.report.svg import COLORS

THIS_PROGRAM = "this program"
BARE_LOOPS = ("bare loop, contiguous", "bare loop, channels last")
BEST_BARE_LOOP = "bare loop, best layout"
OTHERS = ("notebook loop", "Lightning script", BEST_BARE_LOOP)
BOOK_SOURCE = "B"
NOT_MEASURED = "not measured"
CPU_FILE, GPU_FILE = "cpu.jsonl", "gpu.jsonl"
"""The measurements that the page on performance shows, in docs/benchmarks."""

Measurement = Mapping[str, Any]
"""What a process printed, and the case, program and round that it was."""


@dataclass(frozen=True)
class Quantity:
    """Something that is compared, of which less is better."""

    title: str
    value: Callable[[Measurement], float | None]
    """Returns it of a measurement; None if it was not measured."""
    digits: int


def seconds_per_epoch(measurement: Measurement) -> float:
    """Return the seconds of an epoch, to which the timed steps are scaled."""
    return float(measurement["seconds_per_step"] * measurement["batches_per_epoch"])


def gibibytes(key: str) -> Callable[[Measurement], float | None]:
    """Return a function that returns the memory with this key in GiB."""
    return lambda measurement: measurement[key] / 2**30 if key in measurement else None


QUANTITIES = (
    Quantity("seconds per epoch", seconds_per_epoch, 1),
    Quantity("seconds from the start to the end of the first step", lambda measured: measured["first_step_seconds"], 1),
    Quantity("peak memory, GiB", gibibytes("memory_bytes"), 2),
    Quantity("peak memory of the GPU, GiB", gibibytes("gpu_memory_bytes"), 2),
)


@dataclass(frozen=True)
class Spread:
    """Median and range of a quantity over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def format(self, digits: int) -> str:
        """Return the median, and the range in brackets."""
        return f"{self.median:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


class Comparison:
    """The measurements of a file."""

    def __init__(self, header: Mapping[str, Any], measurements: Sequence[Measurement]) -> None:
        """Take the first line of a file, and the others. Those of programs that failed are left out."""
        self.header = header
        self._measurements = [measurement for measurement in measurements if "error" not in measurement]
        of_rounds = [measurement for measurement in self._measurements if "case" in measurement]
        self._by_round = {(entry["case"], entry["program"], entry["round"]): entry for entry in of_rounds}
        self.cases = list(dict.fromkeys(measurement["case"] for measurement in of_rounds))
        self.num_rounds = len({entry["round"] for entry in of_rounds if entry["program"] == THIS_PROGRAM})

    @classmethod
    def read(cls, path: Path) -> "Comparison":
        """Read a file."""
        header, *measurements = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return cls(header, measurements)

    def spread(self, case: str, program: str, quantity: Quantity) -> Spread | None:
        """Return the spread of a program's quantity; None if it was not measured."""
        values = self._values(case, program, quantity)
        return Spread.of(list(values.values())) if values else None

    def ratios(self, case: str, other: str, quantity: Quantity) -> Spread | None:
        """Return the spread of the ratios of another program's quantity to that of this program in the same round."""
        program = self.best_bare_loop(case) if other == BEST_BARE_LOOP else other
        own = self._values(case, THIS_PROGRAM, quantity)
        others = self._values(case, program, quantity)
        ratios = [others[number] / own[number] for number in own.keys() & others.keys()]
        return Spread.of(ratios) if ratios else None

    def best_bare_loop(self, case: str) -> str:
        """Return the bare loop with the faster layout, by the median of the rounds."""
        values = {program: self._values(case, program, QUANTITIES[0]).values() for program in BARE_LOOPS}
        measured = {program: statistics.median(seconds) for program, seconds in values.items() if seconds}
        return min(measured, key=measured.__getitem__, default=BARE_LOOPS[0])

    def is_scaled(self, case: str) -> bool:
        """Return whether fewer steps than those of an epoch were timed."""
        timed = [entry for (name, *_), entry in self._by_round.items() if name == case]
        return any(entry["num_timed_steps"] < entry["batches_per_epoch"] for entry in timed)

    def images_per_second(self, recipe: str) -> float | None:
        """Return the images per second that this program trained on with a recipe of the book; None: not measured."""
        for entry in self._measurements:
            if entry.get("recipe") == recipe:
                return float(entry["batch_size"] / entry["seconds_per_step"])
        return None

    def _values(self, case: str, program: str, quantity: Quantity) -> dict[int, float]:
        """Return a quantity by round."""
        values = {
            number: quantity.value(entry)
            for (entry_case, entry_program, number), entry in self._by_round.items()
            if (entry_case, entry_program) == (case, program)
        }
        return {number: value for number, value in values.items() if value is not None}


def describe(comparison: Comparison) -> str:
    """Return how and with what a file was measured."""
    header = comparison.header
    packages = ", ".join(f"{name} {header['versions'][name]}" for name in ("torch", "torchvision", "lightning"))
    rounds = "1 round" if comparison.num_rounds == 1 else f"{comparison.num_rounds} rounds"
    return (
        f"`{header['command']}`, {header['date']}: {rounds} on {header['device']} with {header['num_processors']} "
        f"processors and {header['num_threads']} threads; {packages}."
    )


def comparison_tables(comparison: Comparison) -> str:
    """Return a table of each quantity: this program's, and the ratios of the others to it."""
    tables = []
    for quantity in QUANTITIES:
        rows = []
        for case in comparison.cases:
            own = comparison.spread(case, THIS_PROGRAM, quantity)
            if own is None:
                continue
            name = f"{case} *" if quantity is QUANTITIES[0] and comparison.is_scaled(case) else case
            ratios = [comparison.ratios(case, other, quantity) for other in OTHERS]
            cells = [NOT_MEASURED if ratio is None else ratio.format(2) for ratio in ratios]
            rows.append([name, own.format(quantity.digits), *cells])
        if rows:
            others = [f"{other}, ratio" for other in OTHERS]
            header = [quantity.title, THIS_PROGRAM, *others]
            tables.append(markdown_table(header, rows, [True, *[False] * (1 + len(others))]))
    if any(map(comparison.is_scaled, comparison.cases)):
        tables.insert(1, "\\* a few steps, scaled to an epoch")
    return "\n\n".join(tables)


def book_table(comparison: Comparison) -> str:
    """Return a table of the images per second of the networks of the book."""
    rows = []
    for recipe in load_recipes().values():
        published = recipe.images_per_second.get(BOOK_SOURCE)
        if published is not None and "scratch" not in recipe.name:
            measured = comparison.images_per_second(recipe.name)
            ours = NOT_MEASURED if measured is None else f"{measured:,.0f}"
            ratio = "-" if measured is None else f"{measured / published:.2f}"
            rows.append([f"`experiment={recipe.name}`", f"{published:,}", ours, ratio])
    header = ["images/s in training", "the book, V100", f"this program, {comparison.header['device']}", "ratio"]
    return markdown_table(header, rows, [True, False, False, False])


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw the ratios of the other programs to this one: medians as bars, and the ranges over the rounds."""
    style = {"font.size": 10, "axes.spines.right": False, "axes.spines.top": False, "axes.axisbelow": True}
    with mpl.rc_context(style):
        figure = Figure(
            figsize=(9, 0.8 + 0.55 * len(comparison.cases)), dpi=200, layout="constrained", facecolor="white"
        )
        panels = figure.subplots(1, 3, sharey=True)
        titles = ("an epoch", "to the end of the first step", "peak memory")
        for axes, quantity, title in zip(panels, QUANTITIES, titles, strict=False):
            draw_ratios(axes, comparison, quantity)
            axes.set_title(title, loc="left", fontsize=11)
        panels[0].set_yticks(range(len(comparison.cases)), comparison.cases)
        panels[0].invert_yaxis()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_ratios(axes: Axes, comparison: Comparison, quantity: Quantity) -> None:
    """Draw a bar for each case and other program, from 1, at which both need the same."""
    height = 0.8 / len(OTHERS)
    for index, (other, color) in enumerate(zip(OTHERS, COLORS, strict=False)):
        ratios = {place: comparison.ratios(case, other, quantity) for place, case in enumerate(comparison.cases)}
        measured = {place: ratio for place, ratio in ratios.items() if ratio is not None}
        places = [place + (index - (len(OTHERS) - 1) / 2) * height for place in measured]
        medians = [ratio.median for ratio in measured.values()]
        errors = [
            [ratio.median - ratio.low for ratio in measured.values()],
            [ratio.high - ratio.median for ratio in measured.values()],
        ]
        bars = {"height": height, "color": color, "label": other, "error_kw": {"ecolor": "#4a4f57", "elinewidth": 1}}
        axes.barh(places, medians, xerr=errors, **bars)
    axes.axvline(1, color="#4a4f57", linewidth=1)
    axes.set_xlim(left=0)
    axes.set_xlabel("ratio to this program")
    axes.grid(axis="x", alpha=0.3)


def benchmark_parts(directory: Path) -> dict[str, str]:
    """Return the parts of the page on performance: what was measured on a CPU, and on a GPU if it was."""
    parts = {"cpu": markdown_report(Comparison.read(directory / CPU_FILE))}
    gpu_file = directory / GPU_FILE
    if gpu_file.exists():
        return parts | {"gpu": markdown_report(Comparison.read(gpu_file))}
    return parts | {"gpu": f"No GPU was at hand.\n\n{book_table(Comparison({'device': 'on a GPU'}, []))}"}


def markdown_report(comparison: Comparison) -> str:
    """Return how the measurements were made, and all tables that there are measurements for."""
    parts = [describe(comparison)]
    if comparison.cases:
        parts.append(comparison_tables(comparison))
    if any(map(comparison.images_per_second, load_recipes())):
        parts.append(book_table(comparison))
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(markdown_report(Comparison.read(Path(sys.argv[1]))))
