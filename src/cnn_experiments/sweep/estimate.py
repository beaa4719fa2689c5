"""How long runs will take."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.runtime.cpu import compute_threads
from cnn_experiments.runtime.progress import with_progress
from cnn_experiments.sweep.plan import PlannedRun
from cnn_experiments.training.build import build_data, build_trainer_alone
from cnn_experiments.training.execution import choose_memory_format
from cnn_experiments.training.limits import Limits, count_limited_batches, count_steps_per_epoch
from cnn_experiments.training.synthetic_steps import SyntheticSteps, median_seconds

_STARTUP_SECONDS = 1.5
"""Of a run besides its training and test."""

_MEASURED_STEPS = 3
_MIN_MEASURE_SECONDS = 1.0
Settings = Mapping[str, Any]


def estimate_seconds(
    runs: Sequence[PlannedRun],
    states: Mapping[Path, RunState],
    to_do: Collection[PlannedRun],
    threads: Mapping[Path, int],
) -> dict[Path, float]:
    """Return the seconds that each run still takes by itself, by its directory.

    The basis are completed runs of the same network, data and epochs. If there is none, a few steps on synthetic images
    are timed here.

    Args:
        runs: all runs of the sweep.
        states: theirs, by directory.
        to_do: the runs that are estimated.
        threads: the CPU threads with which they will compute, by directory; without, it is as many as here.
    """
    durations: dict[str, list[float]] = {}
    for run in runs:
        state = states[run.directory]
        if state.status == Status.COMPLETED and state.results and state.results.total_seconds is not None:
            durations.setdefault(run.cost_key, []).append(state.results.total_seconds)
    estimates = {}
    for run in with_progress([*to_do], "estimating the duration"):
        key = run.cost_key
        if key not in durations:
            try:
                durations[key] = [_measure(run.config.settings, threads.get(run.directory))]
            except Exception:  # of somebody's own network; its run fails at once, and the others do not
                durations[key] = [0.0]
        state = states[run.directory]
        epochs = state.results.epochs if state.results and run.next_action(state) == Action.RESUME else 0
        remaining = 1 - epochs / planned_epochs(run.config.settings) if epochs else 1
        estimates[run.directory] = statistics.median(durations[key]) * remaining + _STARTUP_SECONDS
    return estimates


def _measure(settings: Settings, threads: int | None = None) -> float:
    """Return the seconds of a run, from the time of a training step and of an evaluation step."""
    threads = threads or torch.get_num_threads()
    data = build_data(settings)
    steps = SyntheticSteps(settings, data, build_trainer_alone(settings), data.batch_size)
    steps.use_memory_format(choose_memory_format(settings, threads))
    with compute_threads(threads):
        training_seconds = median_seconds(steps.train, _MEASURED_STEPS, _MIN_MEASURE_SECONDS)
        evaluation_seconds = median_seconds(steps.evaluate, _MEASURED_STEPS, _MIN_MEASURE_SECONDS)
    limits = Limits.from_settings(settings)
    steps_per_epoch = count_steps_per_epoch(settings, data)
    num_batches = limits.num_steps(steps_per_epoch) * settings["trainer"].get("accumulate_grad_batches", 1)
    num_evaluations = limits.num_evaluations(limits.num_epochs(steps_per_epoch)) if data.protocol.eval_split else 0
    eval_images = data.num_test_images if data.protocol.eval_split == "test" else data.val_size
    eval_batches = count_limited_batches(settings, data, "val", eval_images)
    test_batches = count_limited_batches(settings, data, "test", data.num_test_images)
    fit_seconds = num_batches * training_seconds + num_evaluations * eval_batches * evaluation_seconds
    if limits.max_seconds is not None and not limits.min_epochs:
        fit_seconds = min(fit_seconds, limits.max_seconds)
    return fit_seconds + test_batches * evaluation_seconds


def planned_epochs(settings: Settings) -> int:
    """Return the number of epochs of a run that its steps and epochs allow; its time may end it earlier."""
    limits = Limits.from_settings(settings)
    if limits.max_steps is None:
        return limits.max_epochs
    return limits.num_epochs(count_steps_per_epoch(settings, build_data(settings)))
