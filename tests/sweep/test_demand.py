"""Each run of a sweep has the threads that pay on the machine at hand."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.sweep import demand
from cnn_experiments.sweep.demand import Demands, Machine, best_threads
from cnn_experiments.sweep.plan import PlannedRun
from cnn_experiments.training.execution import ThreadSpeeds
from cnn_experiments.training.memory_estimate import TrainingMemory

GIB = 2**30


def amdahl(serial_share: float, cores: int) -> dict[int, float]:
    """Return the speeds of a run of which a share of the work has one thread."""
    numbers = [*(2**power for power in range(cores.bit_length()) if 2**power < cores), cores]
    return {threads: 1 / (serial_share + (1 - serial_share) / threads) for threads in numbers}


@pytest.mark.parametrize("cores", [2, 8, 32])
@pytest.mark.parametrize("serial_share", [0.0, 0.02, 0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("max_by_memory", [1, 3, 10, 1000])
def test_images_per_second_are_within_a_tenth_of_the_best_fixed_choice(
    cores: int, serial_share: float, max_by_memory: int
) -> None:
    speeds = amdahl(serial_share, cores)

    def images_per_second(threads: int) -> float:
        return min(cores // threads, max_by_memory) * speeds[threads]

    chosen = best_threads(speeds, cores, max_by_memory)
    best = max(images_per_second(threads) for threads in speeds)
    assert images_per_second(chosen) >= 0.9 * best


@pytest.mark.parametrize(
    ("speeds", "cores", "max_by_memory", "threads"),
    [
        ({1: 1.0, 2: 1.3}, 2, 100, 1),
        ({1: 1.0, 2: 1.9}, 2, 100, 2),
        ({1: 1.0, 2: 1.3}, 2, 1, 2),
        ({1: 1.0, 2: 0.6}, 2, 1, 1),
        ({1: 1.0, 2: 1.9, 4: 3.4, 8: 5.5}, 8, 100, 2),
        ({1: 1.0, 2: 1.9, 4: 3.4, 8: 5.5}, 8, 2, 4),
        ({1: 1.0}, 1, 100, 1),
    ],
)
def test_threads_are_those_with_which_a_full_machine_trains_most(
    speeds: dict[int, float], cores: int, max_by_memory: int, threads: int
) -> None:
    assert best_threads(speeds, cores, max_by_memory) == threads


def planned(*overrides: str) -> PlannedRun:
    return PlannedRun(ComposedConfig.from_overrides("trainer=cpu", *overrides), Path("run"))


def test_runs_that_do_not_fit_twice_run_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "cnn_experiments.training.execution.thread_speeds", lambda *_: ThreadSpeeds({1: 1.0, 2: 1.2}, is_measured=True)
    )
    large = planned("model=vgg11", "data.resize=224", "data.batch_size=64")
    needed = Demands(Machine(2, 1000 * GIB, ())).of(large)
    assert (needed.threads, needed.max_parallel, needed.speed_with_max_threads) == (1, 2, 1.2)
    assert 8 * GIB < needed.memory_bytes < 16 * GIB
    machine = Machine(2, 2 * needed.memory_bytes - 1, ())
    assert Demands(machine).of(large).max_parallel == 1
    assert Demands(machine).of(large).threads == 2


def test_run_has_no_more_threads_than_other_programs_leave_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {1: ThreadSpeeds({1: 1.0}, is_measured=False), 2: ThreadSpeeds({1: 1.0, 2: 2.0}, is_measured=True)}
    monkeypatch.setattr("cnn_experiments.training.execution.thread_speeds", lambda _, cores: speeds[cores])
    needed = Demands(Machine(2, 1000 * GIB, (), busy_cores=1)).of(planned())
    assert (needed.threads, needed.max_parallel, needed.speed_with_max_threads) == (1, 2, None)
    assert Demands(Machine(2, 1000 * GIB, ())).of(planned()).threads == 2


def test_runs_that_differ_in_seed_and_learning_rate_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def thread_speeds(_settings: object, cores: int) -> ThreadSpeeds:
        calls.append(cores)
        return ThreadSpeeds({1: 1.0, 2: 1.2}, is_measured=True)

    monkeypatch.setattr("cnn_experiments.training.execution.thread_speeds", thread_speeds)
    demands = Demands(Machine(2, 1000 * GIB, ()))
    assert demands.of(planned("seed=1")) is demands.of(planned("seed=2", "optimizer.lr=0.1"))
    assert calls == [2]
    sgd, adam = (demands.of(planned("model=vgg11", "data.resize=224", f"optimizer={name}")) for name in ("sgd", "adam"))
    assert sgd.memory_bytes < adam.memory_bytes


def test_processes_of_one_run_have_the_whole_machine() -> None:
    needed = Demands(Machine(8, 1000 * GIB, ())).of(planned("trainer.devices=2", "trainer.strategy=ddp"))
    assert (needed.threads, needed.max_parallel) == (8, 1)


def test_gpus_limit_the_number_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda")))
    monkeypatch.setattr("cnn_experiments.training.build.build_trainer_alone", lambda _: trainer)
    needed = Demands(Machine(16, 1000 * GIB, ("0", "1", "2", "3"))).of(planned())
    assert (needed.gpus, needed.threads, needed.max_parallel) == (1, 4, 4)


def test_run_whose_steps_fail_or_whose_memory_is_unknown_has_the_machine_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    machine = Machine(2, 1000 * GIB, ())
    monkeypatch.setattr("cnn_experiments.training.execution.thread_speeds", fail)
    assert Demands(machine).of(planned()).threads == 2
    assert Demands(machine).of(planned()).max_parallel == 1
    monkeypatch.setattr(
        "cnn_experiments.training.execution.thread_speeds", lambda *_: ThreadSpeeds({1: 1.0, 2: 1.0}, is_measured=True)
    )
    monkeypatch.setattr(
        "cnn_experiments.training.memory_estimate.least_training_memory", lambda *_: TrainingMemory(1, None)
    )
    assert Demands(machine).of(planned()).max_parallel == 1


@pytest.mark.parametrize(("epochs", "threads"), [(0, 1), (1, 2)])
def test_run_that_goes_on_has_as_many_threads_as_before(
    monkeypatch: pytest.MonkeyPatch, epochs: int, threads: int
) -> None:
    monkeypatch.setattr(
        "cnn_experiments.training.execution.thread_speeds", lambda *_: ThreadSpeeds({1: 1.0, 2: 1.0}, is_measured=True)
    )
    state = SimpleNamespace(results=SimpleNamespace(threads=2, epochs=epochs))
    monkeypatch.setattr(PlannedRun, "read_state", lambda _: state)
    assert Demands(Machine(2, 1000 * GIB, ())).of(planned()).threads == threads


def test_machine_has_as_many_cores_as_torch_has_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand, "usable_cores", lambda: 64)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    assert Machine.here().cores == 3
