"""What a search prints: its trials, and the best settings as commands."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table
from rich.text import Text

from cnn_experiments.config.overrides import config_flags
from cnn_experiments.console import cell, print_line, print_table, relative_path, table_title
from cnn_experiments.runs.settings import short_names, split_override
from cnn_experiments.runs.status import Status
from cnn_experiments.search.definition import Definition
from cnn_experiments.search.study import FIXED_ATTR, OVERRIDES_ATTR, REASON_ATTR, best_trial, monitor_of
from cnn_experiments.sweep.observer import STYLES
from cnn_experiments.sweep.summary import print_continue_hint

_STATE_LABELS = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
    TrialState.WAITING: "queued",
}
_STATE_STYLES = {
    TrialState.COMPLETE: STYLES[Status.COMPLETED],
    TrialState.FAIL: STYLES[Status.FAILED],
}


def print_trials(
    directory: Path, study: Study, definition: Definition, n_trials: int, settings: Mapping[str, Any]
) -> None:
    """Print a table of all trials, and what is missing."""
    table = Table(title=table_title(relative_path(directory.absolute())), title_justify="left")
    names = short_names([parameter.key for parameter in definition.space])
    for name in ("trial", monitor_of(study).key, "epochs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for name in names.values():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    best = best_trial(study)
    choose_best = max if monitor_of(study).higher_is_better else min
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        is_best = best is not None and trial.number == best.number
        table.add_row(*_trial_cells(trial, list(names), is_best, choose_best), style="bold" if is_best else None)
    print_table(table)
    labels = [_STATE_LABELS[trial.state] for trial in trials]
    counts = [f"{labels.count(label)} {label}" for label in dict.fromkeys(_STATE_LABELS.values()) if label in labels]
    print_line(f"{len(trials)} of {max(n_trials, len(trials))} trials: {', '.join(counts) or 'none yet'}")
    if len(trials) < n_trials or _STATE_LABELS[TrialState.RUNNING] in labels:
        print_continue_hint(settings)


def _trial_cells(
    trial: FrozenTrial, keys: Sequence[str], is_best: bool, choose_best: Callable[[Iterable[float]], float]
) -> list[str | Text]:
    drawn = dict(map(split_override, trial.user_attrs.get(OVERRIDES_ATTR, [])))
    reported = trial.intermediate_values.values()
    best_so_far = choose_best(reported) if reported else None
    value = trial.value if trial.state == TrialState.COMPLETE else best_so_far
    return [
        f"{trial.number} best" if is_best else str(trial.number),
        "" if value is None else f"{value:.4f}",
        str(len(trial.intermediate_values) or ""),
        cell(_STATE_LABELS[trial.state], _STATE_STYLES.get(trial.state, STYLES[Status.INTERRUPTED])),
        *(cell(drawn.get(key, "")) for key in keys),
        cell(str(trial.user_attrs.get(REASON_ATTR, ""))),
    ]


def print_best(study: Study) -> None:
    """Print the best settings as commands."""
    best = best_trial(study)
    if best is None:
        print_line("no trial is completed", style="yellow")
        return
    monitor = monitor_of(study)
    overrides = [*study.user_attrs[FIXED_ATTR], *best.user_attrs[OVERRIDES_ATTR]]
    command = ["python", "-m", "cnn_experiments", *config_flags()]
    print_line(f"best: trial {best.number}, {monitor.key} {best.value:.4f}", style="bold")
    print_line(shlex.join([*command, *overrides]))
    bias = "upwards" if monitor.higher_is_better else "downwards"
    print_line(f"confirm with more seeds (the best of many trials is biased {bias}):")
    without_seed = [override for override in overrides if split_override(override)[0] != "seed"]
    print_line(shlex.join([*command, "-m", *without_seed, "seed=1,2,3,4,5"]))
