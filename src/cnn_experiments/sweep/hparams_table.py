"""The table of a sweep in TensorBoard's HParams tab."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_experiments.runs import hparams
from cnn_experiments.runs.fingerprint import SEEDS, effective
from cnn_experiments.runs.records import find
from cnn_experiments.runs.settings import Setup, varied
from cnn_experiments.sweep.run import Run


def write_columns(folder: Path, runs: Iterable[Run], searched: Mapping[str, Sequence[Any]] | None = None) -> None:
    """Gives the table exactly what varies, among these runs and those that are in the sweep's folder already.

    Args:
        folder: the sweep's.
        runs: those that are planned.
        searched: settings of which a search draws the values, with some of these.
    """
    setups = {run.folder: _setup(run) for run in runs}
    there = find([folder])[0] if any(folder.glob("*/results.json")) else []
    setups |= {run.folder: run.setup for run in there if run.folder not in setups}
    told = list(setups.values())
    keys = varied(told)
    keys += [key for key in SEEDS if len({setup.value(key) for setup in told}) > 1 and _is_typed(key, told)]
    folder.mkdir(parents=True, exist_ok=True)
    shown = {key: [*values] for key, values in (searched or {}).items()}
    for key in keys:
        shown.setdefault(key, []).extend(setup.value(key) for setup in told)
    hparams.columns(folder, shown)


def _setup(run: Run) -> Setup:
    known = run.combination
    return Setup(known.options, known.typed, effective(known.settings))


def _is_typed(key: str, setups: Iterable[Setup]) -> bool:
    return any(key in setup.typed for setup in setups)
