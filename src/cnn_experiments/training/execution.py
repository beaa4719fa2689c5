"""How a run is executed where it runs: the memory format and the CPU threads with which its steps take least time.

Neither changes a result but by rounding. They are chosen by timing a few steps before the training, and kept in a file
of this user's cache, so that equal commands on one machine choose equally.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from filelock import FileLock

from cnn_experiments.analysis.cost import count_multiply_adds
from cnn_experiments.analysis.probe import probe_image
from cnn_experiments.arguments import ArgumentError
from cnn_experiments.console import print_line
from cnn_experiments.data.image_cache import cache_directory
from cnn_experiments.runs.atomic import atomic_write
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runtime.contention import CONTENDED_SHARE, waiting_seconds
from cnn_experiments.runtime.cpu import THREADS_VARIABLE, compute_threads, free_cores, usable_cores
from cnn_experiments.runtime.distributed import num_processes
from cnn_experiments.runtime.environment import device_name
from cnn_experiments.training.build import MEMORY_FORMATS, Settings, build_data, build_trainer_alone
from cnn_experiments.training.limits import Limits, count_steps_per_epoch
from cnn_experiments.training.synthetic_steps import SyntheticSteps, seconds_of
from cnn_experiments.training.preflight import build_and_probe

AUTO = "auto"
"""The memory format that stands for the fastest one."""

_CONTIGUOUS, _CHANNELS_LAST = "contiguous", "channels_last"
_LEAST_GAIN = 0.03
"""For less, a run is neither channels_last nor has more threads."""

_MAX_SECONDS = 2.0
_MAX_SHARE = 0.02
"""Of the time of a run, that the timing may take if it is more than `_MAX_SECONDS`."""
_ENOUGH_SECONDS = 0.5
"""After which no further round of steps is timed."""
_NUM_ROUNDS, _MAX_ROUNDS = 2, 10
_STEPS_PER_ROUND = 3
_LONG_STEPS_PER_ROUND = 2
"""The first of which is not counted."""
_SILENT_SECONDS = 5.0
"""A timing that probably takes longer is announced."""

_LONG_STEP_SECONDS = 0.3
"""Steps that take longer are timed with fewer images, but at least `_FEWEST_IMAGES`."""
_FEWEST_IMAGES = 8
_PARALLEL_STEP_SECONDS = 0.05
"""Steps that take longer are known to take less time with every core."""
_CORE_MULTIPLY_ADDS_PER_SECOND = 2e10
_GPU_MULTIPLY_ADDS_PER_SECOND = 2e12
"""Rough guesses, from which follows whether timing is worth its time: equal commands time equally."""


@dataclass(frozen=True)
class Execution:
    """How the steps of a run are computed."""

    memory_format: str
    """`contiguous` or `channels_last`."""
    threads: int
    """That compute on the CPU."""


def choose_execution(settings: Settings, continued: RunResults | None = None) -> Execution:
    """Return how a run is executed: as it was typed, else as the run that it continues was, else as is fastest.

    The threads are those of OMP_NUM_THREADS. Without it, they are at most as many as there are free cores.

    Args:
        settings: of the run.
        continued: the results of the run whose checkpoint is the start of this one, if there is one.
    """
    trainer = build_trainer_alone(settings)
    threads = _possible_threads(settings, trainer, continued)
    memory_formats = _possible_memory_formats(settings, continued)
    executions = [Execution(memory_format, number) for number in threads for memory_format in memory_formats]
    if len(executions) == 1:
        return executions[0]
    network = _TimedNetwork(settings, trainer)
    if len(threads) > 1 and network.step_seconds > _PARALLEL_STEP_SECONDS:
        executions = [execution for execution in executions if execution.threads == threads[-1]]
    seconds = network.seconds(executions)
    return fastest(seconds) if seconds else Execution(memory_formats[0], threads[-1])


def thread_speeds(settings: Settings, cores: int) -> dict[int, float]:
    """Return how many times as fast a run is with several threads as with one, for numbers of threads up to the cores.

    Args:
        settings: of the run, which trains on a CPU.
        cores: how many there are.
    """
    if cores == 1:
        return {1: 1.0}
    numbers = _numbers_of_threads(cores)
    network = _TimedNetwork(settings, build_trainer_alone(settings))
    memory_formats = _possible_memory_formats(settings, None)
    seconds = network.seconds([Execution(name, number) for number in numbers for name in memory_formats])
    if seconds:
        shortest = {number: min(seconds[Execution(name, number)] for name in memory_formats) for number in numbers}
        return {number: shortest[1] / shortest[number] for number in numbers}
    is_parallel = network.step_seconds > _PARALLEL_STEP_SECONDS
    return {number: float(number) if is_parallel else 1.0 for number in numbers}


def fastest(seconds: Mapping[Execution, float]) -> Execution:
    """Return the execution with the shortest steps; for a small gain, neither more threads nor channels_last."""
    shortest = min(seconds.values())
    good_enough = [execution for execution, duration in seconds.items() if duration * (1 - _LEAST_GAIN) <= shortest]
    return min(good_enough, key=lambda execution: (execution.threads, execution.memory_format != _CONTIGUOUS))


def threads_like(results: RunResults | None) -> int | None:
    """Return the threads that were typed, or else those of a run, whose figures are computed again; None if unknown."""
    if THREADS_VARIABLE in os.environ:
        return torch.get_num_threads()
    if results is None or results.threads is None:
        return None
    return min(results.threads, usable_cores())


def _possible_threads(settings: Settings, trainer: pl.Trainer, continued: RunResults | None) -> list[int]:
    if trainer.strategy.root_device.type != "cpu" or num_processes(settings["trainer"]) > 1:
        return [torch.get_num_threads()]
    if (threads := threads_like(continued)) is not None:
        return [threads]
    return _numbers_of_threads(min(free_cores(), torch.get_num_threads()))


def _numbers_of_threads(cores: int) -> list[int]:
    """Return 1, 2, 4, 8, ... and the number of cores."""
    return [*(2**power for power in range(cores.bit_length()) if 2**power < cores), cores]


def _possible_memory_formats(settings: Settings, continued: RunResults | None) -> list[str]:
    typed = settings["memory_format"]
    if typed != AUTO:
        return [typed]
    if continued is not None:
        earlier = continued.memory_format or continued.settings.get("memory_format")
        if earlier in MEMORY_FORMATS and earlier != AUTO:
            return [earlier]
    return [_CONTIGUOUS] if settings["compile"] else [_CONTIGUOUS, _CHANNELS_LAST]  # a compiler chooses by itself


class _TimedNetwork:
    """A network whose steps are timed."""

    def __init__(self, settings: Settings, trainer: pl.Trainer) -> None:
        self._settings = settings
        self._trainer = trainer
        self._data = build_data(settings)
        self._device = trainer.strategy.root_device
        model = build_and_probe(settings, self._data)
        image = probe_image(model, self._data.channels, self._data.size)
        self._image_seconds = 3 * count_multiply_adds(model, image) / self._guessed_speed()

    @property
    def step_seconds(self) -> float:
        """Return a guess at the seconds of a training step, with one thread."""
        return self._data.batch_size * self._image_seconds

    def seconds(self, executions: Sequence[Execution]) -> dict[Execution, float]:
        """Return the seconds of a step by execution; none if the run is too short for the timing to be worth its time.

        What was timed on this machine before is not timed again, unless other programs used its cores then.
        """
        if not self._is_worth_timing(len(executions)):
            return {}
        with ExitStack() as stack:
            path = self._cache_path(executions)
            if path is not None:
                with suppress(OSError):  # the cache can't be written
                    path.parent.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(FileLock(path.parent / "lock"))  # one timing at a time disturbs no other
                    if known := _read_seconds(path, executions):
                        return known
            seconds, is_contended = self._time(executions)
            if path is not None and not is_contended:
                with suppress(OSError), atomic_write(path) as file:
                    json.dump({**self._facts(executions), "seconds": list(seconds.values())}, file, indent=1)
        return seconds

    @property
    def _batch_size(self) -> int:
        """Return the number of images of a timed step."""
        most = max(_FEWEST_IMAGES, int(_LONG_STEP_SECONDS / self._image_seconds))
        return min(self._data.batch_size, most)

    def _is_worth_timing(self, num_executions: int) -> bool:
        limits = Limits.from_settings(self._settings)
        num_steps = limits.num_steps(count_steps_per_epoch(self._settings, self._data))
        run_seconds = min(num_steps * self.step_seconds, limits.max_seconds or float("inf"))
        return self._timing_seconds(num_executions) <= max(_MAX_SECONDS, _MAX_SHARE * run_seconds)

    @property
    def _steps_per_round(self) -> int:
        return _LONG_STEPS_PER_ROUND if self._batch_size == _FEWEST_IMAGES else _STEPS_PER_ROUND

    def _timing_seconds(self, num_executions: int) -> float:
        """Return a guess at how long the timing takes."""
        return num_executions * _NUM_ROUNDS * self._steps_per_round * self._batch_size * self._image_seconds

    def _time(self, executions: Sequence[Execution]) -> tuple[dict[Execution, float], bool]:
        """Return the shortest step of each execution, and whether other programs slowed down some more than others.

        They take turns, so that other programs slow down all that have equally many threads.
        """
        if self._timing_seconds(len(executions)) > _SILENT_SECONDS:
            print_line("timing a few steps, to choose what is fastest here")
        steps = SyntheticSteps(self._settings, self._data, self._trainer, self._batch_size)
        shortest = dict.fromkeys(executions, float("inf"))
        started, waited = time.perf_counter(), waiting_seconds() or 0.0
        for num_rounds in range(_MAX_ROUNDS):
            if num_rounds >= _NUM_ROUNDS and time.perf_counter() - started > _ENOUGH_SECONDS:
                break
            for execution in executions:
                steps.use_memory_format(execution.memory_format)
                accepts_errors = execution.memory_format == _CHANNELS_LAST  # Tensor.view raises one
                with compute_threads(execution.threads), suppress(*[RuntimeError] * accepts_errors):
                    _, *seconds = [seconds_of(steps.train) for _ in range(self._steps_per_round)]
                    shortest[execution] = min(shortest[execution], *seconds)
        waiting_share = ((waiting_seconds() or 0.0) - waited) / (time.perf_counter() - started)
        has_different_threads = len({execution.threads for execution in executions}) > 1
        return shortest, has_different_threads and waiting_share > CONTENDED_SHARE

    def _guessed_speed(self) -> float:
        return _CORE_MULTIPLY_ADDS_PER_SECOND if self._device.type == "cpu" else _GPU_MULTIPLY_ADDS_PER_SECOND

    def _cache_path(self, executions: Sequence[Execution]) -> Path | None:
        with suppress(ArgumentError):  # this user has no home directory
            text = json.dumps(self._facts(executions), sort_keys=True, default=str)
            name = hashlib.sha256(text.encode()).hexdigest()[:16]
            return cache_directory(None) / "step_seconds" / f"{name}.json"
        return None

    def _facts(self, executions: Sequence[Execution]) -> dict[str, Any]:
        """Return what the seconds depend on."""
        return {
            "device": device_name(self._device),
            "torch": str(torch.__version__),
            "model": self._settings["model"],
            "image": [self._data.channels, self._data.size, self._data.size],
            "batch_size": self._batch_size,
            "precision": self._trainer.precision,
            "executions": [[execution.memory_format, execution.threads] for execution in executions],
        }


def _read_seconds(path: Path, executions: Sequence[Execution]) -> dict[Execution, float]:
    """Return the seconds that a file holds; none if it is not there or damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        numbers = [float(number) for number in json.loads(path.read_text())["seconds"]]
        return dict(zip(executions, numbers, strict=True))
    return {}
