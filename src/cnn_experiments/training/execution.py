"""How a run is executed where it runs: the memory format and the CPU threads with which its steps take least time.

Neither changes a result but by rounding. They are chosen by timing a few steps before the training. The times are kept
in this user's cache, so that equal commands choose equally where equally many cores are free.
"""

import hashlib
import inspect
import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from filelock import FileLock, Timeout

from cnn_experiments.analysis.cost import count_multiply_adds
from cnn_experiments.analysis.probe import probe_image
from cnn_experiments.arguments import ArgumentError
from cnn_experiments.config.instantiate import find_target
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
from cnn_experiments.training.preflight import build_and_probe
from cnn_experiments.training.synthetic_steps import SyntheticSteps, seconds_of

log = logging.getLogger(__name__)

AUTO = "auto"
"""The memory format that stands for the fastest one."""

_CONTIGUOUS, _CHANNELS_LAST = "contiguous", "channels_last"
_LEAST_GAIN_OF_THREADS = 0.03
"""For less, a run has no more threads, so that other programs can use the cores."""
_LEAST_GAIN_OF_CHANNELS_LAST = 0.01
"""For less, a run is contiguous."""

_MAX_SECONDS = 2.0
_MAX_SHARE = 0.02
"""Of the time of a run, that the timing may take if it is more than `_MAX_SECONDS`."""
_ENOUGH_SECONDS = 0.5
_ENOUGH_SHARE = 0.005
"""Of the time of a run. After as much, but at most `_MAX_SECONDS`, steps are timed only while the choice is unclear."""
_MIN_ROUNDS, _MIN_ROUNDS_OF_SMALL_GAINS, _MAX_ROUNDS = 2, 3, 10
"""In a round, every execution has its turn. A choice is clear after the first number of rounds at the earliest."""
_LARGE_GAIN = 0.1
"""For less, a choice is clear after `_MIN_ROUNDS_OF_SMALL_GAINS` at the earliest."""
_STEPS_PER_ROUND, _LONG_STEPS_PER_ROUND = 4, 2
"""The first of which is not counted."""
_TIMING_VERSION = 2
"""Of the way in which steps are timed. What was timed in another way is timed again."""
_MAX_WAITING_SECONDS = 60.0
"""For another process that times steps."""
_SILENT_SECONDS = 5.0
"""A timing that probably takes longer is announced."""

_PACKAGE = f"{__package__.partition('.')[0]}."

_LONG_STEP_SECONDS = 0.3
_LONG_STEP_SHARE = 0.001
"""Of the time of a run. Steps that take longer are timed with fewer images, but at least `_FEWEST_IMAGES`."""
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

    def describe(self, *, with_threads: bool) -> str:
        """Return the memory format, after the threads if they are of interest: `2 threads, channels_last`."""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}, " if with_threads else ""
        return threads + self.memory_format


@dataclass(frozen=True)
class ThreadSpeeds:
    """How many times as fast a run is with several threads as with one."""

    by_threads: Mapping[int, float]
    is_measured: bool
    """Whether steps were timed while other programs left the cores alone. A run too short for that gets a guess."""


def choose_execution(settings: Settings, continued: RunResults | None = None) -> Execution:
    """Return how a run is executed: as it was typed, else as the run that it continues was, else as is fastest.

    The threads are those of OMP_NUM_THREADS. Without it, they are at most as many as there are free cores.

    Args:
        settings: of the run.
        continued: the results of the run whose checkpoint is the start of this one, if there is one.
    """
    trainer = build_trainer_alone(settings)
    threads = _possible_threads(settings, trainer, continued)
    memory_formats = _possible_memory_formats(settings, trainer, continued)
    executions = [Execution(memory_format, number) for number in threads for memory_format in memory_formats]
    if len(executions) == 1:
        return executions[0]
    network = _TimedNetwork(settings, trainer)
    if len(threads) > 1 and network.step_seconds > _PARALLEL_STEP_SECONDS:
        largest = threads[-2:] if len(threads) > 2 else threads[-1:]
        executions = [execution for execution in executions if execution.threads in largest]
    seconds = network.seconds(executions)
    return fastest(seconds) if seconds else Execution(memory_formats[0], threads[-1])


def thread_speeds(settings: Settings, cores: int) -> ThreadSpeeds:
    """Return the speeds of a run with numbers of threads up to the cores.

    Args:
        settings: of the run, which trains on a CPU.
        cores: how many there are.
    """
    if cores == 1:
        return ThreadSpeeds({1: 1.0}, is_measured=False)
    numbers = _numbers_of_threads(cores)
    trainer = build_trainer_alone(settings)
    network = _TimedNetwork(settings, trainer)
    memory_formats = _possible_memory_formats(settings, trainer, None)
    seconds = network.seconds([Execution(name, number) for number in numbers for name in memory_formats])
    if seconds and min(seconds.values()) < float("inf"):
        shortest = {number: min(seconds[Execution(name, number)] for name in memory_formats) for number in numbers}
        speeds = {number: shortest[1] / shortest[number] for number in numbers}
        return ThreadSpeeds(speeds, is_measured=not network.is_contended)
    is_parallel = network.step_seconds > _PARALLEL_STEP_SECONDS
    return ThreadSpeeds({number: float(number) if is_parallel else 1.0 for number in numbers}, is_measured=False)


def choose_memory_format(settings: Settings, threads: int) -> str:
    """Return the memory format of a new run that has this number of threads."""
    trainer = build_trainer_alone(settings)
    executions = [Execution(name, threads) for name in _possible_memory_formats(settings, trainer, None)]
    seconds = _TimedNetwork(settings, trainer).seconds(executions) if len(executions) > 1 else {}
    return fastest(seconds).memory_format if seconds else executions[0].memory_format


def fastest(seconds: Mapping[Execution, float]) -> Execution:
    """Return the execution with the shortest steps; for a small gain, neither more threads nor channels_last."""
    threads = min(execution.threads for execution in _similar(seconds, _LEAST_GAIN_OF_THREADS))
    similar = _similar(_with_threads(seconds, threads), _LEAST_GAIN_OF_CHANNELS_LAST)
    return min(similar, key=lambda execution: execution.memory_format != _CONTIGUOUS)


def _similar(seconds: Mapping[Execution, float], least_gain: float) -> list[Execution]:
    """Return the executions beside which the fastest one gains at most this share of their time."""
    shortest = min(seconds.values())
    return [execution for execution, duration in seconds.items() if duration * (1 - least_gain) <= shortest]


def typical_seconds(rounds: Sequence[Mapping[Execution, float]]) -> dict[Execution, float]:
    """Return the seconds of each execution in a typical round, from those in all rounds.

    Executions with equally many threads are compared within a round, because a machine is slower in one round than in
    another: their seconds are divided by the geometric mean of that round. The median of the rounds counts.
    """
    typical: dict[Execution, float] = {}
    for number in {execution.threads for execution in rounds[0]}:
        of_number = [_with_threads(seconds, number) for seconds in rounds]
        round_means = [statistics.geometric_mean(seconds.values()) for seconds in of_number]
        typical_mean = statistics.median(round_means)
        for execution in of_number[0]:
            shares = [seconds[execution] / mean for seconds, mean in zip(of_number, round_means, strict=True)]
            typical[execution] = typical_mean * statistics.median(shares)
    return typical


def _with_threads(seconds: Mapping[Execution, float], number: int) -> dict[Execution, float]:
    return {execution: duration for execution, duration in seconds.items() if execution.threads == number}


def _is_clear(rounds: Sequence[Mapping[Execution, float]]) -> bool:
    """Return whether the choice would be the same without any one of the rounds; a small gain needs more rounds."""
    if len(rounds) < _MIN_ROUNDS:
        return False
    without_one = ([*rounds[:index], *rounds[index + 1 :]] for index in range(len(rounds)))
    if len({fastest(typical_seconds(others)) for others in without_one}) > 1:
        return False
    return len(rounds) >= _MIN_ROUNDS_OF_SMALL_GAINS or len(_similar(typical_seconds(rounds), _LARGE_GAIN)) == 1


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
    free, usable = free_cores(), usable_cores()
    if free < usable:
        log.info("at most %d of %d cores: other programs use the others", free, usable)
    return _numbers_of_threads(min(free, torch.get_num_threads()))


def _numbers_of_threads(cores: int) -> list[int]:
    """Return 1, 2, 4, 8, ... and the number of cores."""
    return [*(2**power for power in range(cores.bit_length()) if 2**power < cores), cores]


def _possible_memory_formats(settings: Settings, trainer: pl.Trainer, continued: RunResults | None) -> list[str]:
    """Return those that may be chosen.

    Processes that train together must have the same one, and each would choose by itself. A compiler chooses by itself.
    """
    typed = settings["memory_format"]
    if typed != AUTO:
        return [typed]
    if continued is not None:
        earlier = continued.memory_format or continued.settings.get("memory_format")
        if earlier in MEMORY_FORMATS and earlier != AUTO:
            return [earlier]
    is_timed = trainer.strategy.root_device.type in ("cpu", "cuda") and num_processes(settings["trainer"]) == 1
    return [_CONTIGUOUS, _CHANNELS_LAST] if is_timed and not settings["compile"] else [_CONTIGUOUS]


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
        self.is_contended = False
        """Whether other programs used the cores while steps were timed, which slows down several threads most."""

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
        if known := self._read(executions):
            return known
        with self._alone():
            if known := self._read(executions):  # another process has timed them in the meantime
                return known
            rounds = self._time(executions)
            # Steps that fail take forever.
            seconds = dict.fromkeys(executions, float("inf")) | typical_seconds(rounds)
            if not self.is_contended:
                self._write(seconds)
                # Each run of a sweep asks for its own number of threads.
                for number in {execution.threads for execution in rounds[0]}:
                    part = _with_threads(seconds, number)
                    if _is_clear([_with_threads(one, number) for one in rounds]) and not self._read(list(part)):
                        self._write(part)
        return seconds

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time on this machine time steps, so that none disturbs another, if possible."""
        with ExitStack() as stack:
            if (directory := _cache()) is not None:
                with suppress(OSError, Timeout):
                    directory.mkdir(parents=True, exist_ok=True)
                    lock = FileLock(directory / f"{platform.node()}.lock", timeout=_MAX_WAITING_SECONDS)
                    stack.enter_context(lock)
            yield

    def _read(self, executions: Sequence[Execution]) -> dict[Execution, float]:
        """Return the seconds that are kept of these executions; none if there are none, or they are damaged."""
        path = self._path(executions)
        with suppress(OSError, ValueError, KeyError, TypeError):
            numbers = [float(number) for number in json.loads(path.read_text())["seconds"]] if path else []
            return dict(zip(executions, numbers, strict=True))
        return {}

    def _write(self, seconds: Mapping[Execution, float]) -> None:
        """Keep the seconds, if possible."""
        if (path := self._path(list(seconds))) is not None:
            with suppress(OSError), atomic_write(path) as file:
                json.dump({**self._facts(list(seconds)), "seconds": list(seconds.values())}, file, indent=1)

    @property
    def _batch_size(self) -> int:
        """Return the number of images of a timed step."""
        long_step_seconds = max(_LONG_STEP_SECONDS, _LONG_STEP_SHARE * self._run_seconds)
        most = max(_FEWEST_IMAGES, int(long_step_seconds / self._image_seconds))
        return min(self._data.batch_size, most)

    @property
    def _run_seconds(self) -> float:
        """Return a guess at the seconds of the training."""
        limits = Limits.from_settings(self._settings)
        num_steps = limits.num_steps(count_steps_per_epoch(self._settings, self._data))
        return min(num_steps * self.step_seconds, limits.max_seconds or float("inf"))

    def _is_worth_timing(self, num_executions: int) -> bool:
        return self._timing_seconds(num_executions) <= max(_MAX_SECONDS, _MAX_SHARE * self._run_seconds)

    @property
    def _steps_per_round(self) -> int:
        has_long_steps = self._batch_size * self._image_seconds > _LONG_STEP_SECONDS
        return _LONG_STEPS_PER_ROUND if has_long_steps else _STEPS_PER_ROUND

    def _timing_seconds(self, num_executions: int) -> float:
        """Return a guess at how long the timing takes."""
        return num_executions * _MIN_ROUNDS * self._steps_per_round * self._batch_size * self._image_seconds

    def _time(self, executions: Sequence[Execution]) -> list[dict[Execution, float]]:
        """Return the seconds of a step of each execution in each round, without the executions whose steps fail.

        They take turns, so that other programs slow down all that have equally many threads.
        """
        if self._timing_seconds(len(executions)) > _SILENT_SECONDS:
            print_line("timing a few steps, to choose what is fastest here")
        steps = SyntheticSteps(self._settings, self._data, self._trainer, self._batch_size)
        enough_seconds = min(_MAX_SECONDS, max(_ENOUGH_SECONDS, _ENOUGH_SHARE * self._run_seconds))
        max_seconds = max(_MAX_SECONDS, _MAX_SHARE * self._run_seconds)
        started, waited = time.perf_counter(), waiting_seconds() or 0.0
        rounds = [self._time_round(steps, executions, is_first=True)]
        elapsed, round_seconds = time.perf_counter() - started, 0.0
        while len(rounds[0]) > 1 and len(rounds) < _MAX_ROUNDS and elapsed + round_seconds <= max_seconds:
            if elapsed > enough_seconds and _is_clear(rounds):
                break
            newest = self._time_round(steps, list(rounds[0]))
            rounds = [{execution: seconds[execution] for execution in newest} for seconds in [*rounds, newest]]
            round_seconds = time.perf_counter() - started - elapsed
            elapsed += round_seconds
        waiting_share = ((waiting_seconds() or 0.0) - waited) / elapsed
        has_different_threads = len({execution.threads for execution in executions}) > 1
        self.is_contended = has_different_threads and waiting_share > CONTENDED_SHARE
        return rounds

    def _time_round(
        self, steps: SyntheticSteps, executions: Sequence[Execution], *, is_first: bool = False
    ) -> dict[Execution, float]:
        """Return the shortest step of each execution in one round, without those whose steps fail."""
        shortest: dict[Execution, float] = {}
        for execution in executions:
            steps.use_memory_format(execution.memory_format)
            try:
                with compute_threads(execution.threads):
                    if is_first:
                        steps.evaluate()
                    _, *seconds = [seconds_of(steps.train) for _ in range(self._steps_per_round)]
            except RuntimeError:
                if execution.memory_format == _CONTIGUOUS:
                    raise
                continue  # Tensor.view can't be used in channels_last
            shortest[execution] = min(seconds)
        return shortest

    def _guessed_speed(self) -> float:
        return _CORE_MULTIPLY_ADDS_PER_SECOND if self._device.type == "cpu" else _GPU_MULTIPLY_ADDS_PER_SECOND

    def _path(self, executions: Sequence[Execution]) -> Path | None:
        text = json.dumps(self._facts(executions), sort_keys=True, default=str)
        directory = _cache()
        return directory / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json" if directory else None

    def _facts(self, executions: Sequence[Execution]) -> dict[str, Any]:
        """Return what the seconds depend on."""
        return {
            "timing": _TIMING_VERSION,
            "device": device_name(self._device),
            "torch": str(torch.__version__),
            "model": self._settings["model"],
            "code": _code_of(self._settings["model"]["_target_"]),
            "image": [self._data.channels, self._data.native_size, self._data.size],
            "augment": self._settings["augment"],
            "batch_size": self._batch_size,
            "precision": self._trainer.precision,
            "executions": [[execution.memory_format, execution.threads] for execution in executions],
        }


def _cache() -> Path | None:
    """Return the directory of the times; None if this user has no home directory."""
    with suppress(ArgumentError):
        return cache_directory(None) / "step_seconds"
    return None


def _code_of(target: str) -> str | None:
    """Return a hash of the file with a network of somebody's own, who may change it; None for one of a package."""
    if target.startswith((_PACKAGE, "torch", "timm")):
        return None
    with suppress(OSError, TypeError, ImportError, AttributeError):
        return hashlib.sha256(Path(inspect.getfile(find_target(target))).read_bytes()).hexdigest()
    return None
