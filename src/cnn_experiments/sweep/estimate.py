"""How long runs will take."""

import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.runtime.progress import with_progress
from cnn_experiments.sweep.plan import PlannedRun
from cnn_experiments.training.build import build_data, build_model, without_source
from cnn_experiments.training.limits import Limits, count_limited_batches, count_steps_per_epoch
from cnn_experiments.training.optimization import build_optimizer

_STARTUP_SECONDS = 1.5
"""Of a run besides its training and test."""

_MEASURED_STEPS = 3
_MIN_MEASURE_SECONDS = 1.0
_COST_PREFIXES = (
    *("model.", "data.", "augment.", "loss.", "metrics.", "callbacks.", "trainer."),
    *("compile", "memory_format"),
)

Settings = Mapping[str, Any]


def estimate_seconds(
    runs: Sequence[PlannedRun], states: Mapping[Path, RunState], to_do: Collection[PlannedRun]
) -> dict[Path, float]:
    """Return the seconds that each run still takes by itself, by its directory.

    The basis are completed runs of the same network, data and epochs. If there is none, a few steps on made-up images
    are timed here.

    Args:
        runs: all runs of the sweep.
        states: theirs, by directory.
        to_do: the runs that are estimated.
    """
    durations: dict[str, list[float]] = {}
    for run in runs:
        state = states[run.directory]
        if state.status == Status.COMPLETED and state.results and state.results.total_seconds is not None:
            durations.setdefault(_cost_key(run), []).append(state.results.total_seconds)
    estimates = {}
    for run in with_progress([*to_do], "estimating the duration"):
        key = _cost_key(run)
        if key not in durations:
            durations[key] = [_measure(run.config.settings)]
        state = states[run.directory]
        epochs = state.results.epochs if state.results and run.next_action(state) == Action.RESUME else 0
        remaining = 1 - epochs / planned_epochs(run.config.settings) if epochs else 1
        estimates[run.directory] = statistics.median(durations[key]) * remaining + _STARTUP_SECONDS
    return estimates


def _cost_key(run: PlannedRun) -> str:
    """Return a key for what the duration depends on: everything but the optimizer, its schedule and the seeds."""
    settings = run.config.flat_settings.items()
    return str([(key, value) for key, value in settings if key.startswith(_COST_PREFIXES) and key != "data.seed"])


def _measure(settings: Settings) -> float:
    """Return the seconds of a run, from the time of a training step and of an evaluation step."""
    data, model = build_data(settings), build_model(without_source(settings))
    use_gpu = torch.cuda.is_available() and settings["trainer"].get("accelerator") != "cpu"
    device = torch.device("cuda" if use_gpu else "cpu")
    model.to(device)
    optimizer = build_optimizer(settings, model)
    labels = torch.randint(data.classes, (data.batch_size,), device=device)
    shape = (data.batch_size, data.channels, data.native_size, data.native_size)
    images = torch.randint(256, shape, dtype=torch.uint8, device=device)

    def training_step() -> None:
        inputs, targets = data.training_inputs(images.clone(), labels)
        loss = F.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def evaluation_step() -> None:
        with torch.no_grad():
            model(data.preprocessing(images))

    training_seconds, evaluation_seconds = _time(training_step), _time(evaluation_step)
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


def _time(step: Callable[[], None]) -> float:
    """Return the median seconds of a step; the first one is not counted."""
    step()
    seconds: list[float] = []
    while len(seconds) < _MEASURED_STEPS and sum(seconds) < _MIN_MEASURE_SECONDS:
        started = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
