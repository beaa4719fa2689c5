"""Runs at the same time have their shares of the machine, and never more than it has."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.sweep.demand import Demand, Machine
from cnn_experiments.sweep.executors.allocation import (
    DemandAllocation,
    FixedAllocation,
    ResourceShare,
    split_machine,
)
from cnn_experiments.sweep.plan import PlannedRun

GIB = 2**30


def make_run(name: str, model: str = "lenet") -> PlannedRun:
    return PlannedRun(cast(ComposedConfig, SimpleNamespace(choices={"model": model})), Path(name))


def demand(
    threads: int, *, gib: int = 1, gpus: int = 0, max_parallel: int = 2, speed_with_max_threads: float | None = 1.5
) -> Demand:
    return Demand(threads, gib * GIB, gpus, max_parallel, speed_with_max_threads)


@pytest.mark.parametrize(
    ("jobs", "threads", "gpus", "shares"),
    [
        (2, 2, [], [ResourceShare(1, ()), ResourceShare(1, ())]),
        (2, 16, ["0", "1", "2", "3"], [ResourceShare(8, ("0", "2")), ResourceShare(8, ("1", "3"))]),
        (
            4,
            16,
            ["5", "7"],
            [ResourceShare(4, ("5",)), ResourceShare(4, ("7",)), ResourceShare(4, ("5",)), ResourceShare(4, ("7",))],
        ),
        (3, 2, ["0"], [ResourceShare(1, ("0",))] * 3),
        (1, 8, ["0", "1"], [ResourceShare(8, ("0", "1"))]),
    ],
)
def test_threads_and_gpus_are_divided(jobs: int, threads: int, gpus: list[str], shares: list[ResourceShare]) -> None:
    assert split_machine(jobs, Machine(threads, GIB, tuple(gpus))) == shares


def test_typed_number_of_runs_have_fixed_shares() -> None:
    first, second, third = map(make_run, "abc")
    shares = [ResourceShare(4, ("0",)), ResourceShare(4, ("1",))]
    allocation = FixedAllocation(shares)
    assert [allocation.take(first), allocation.take(second), allocation.take(third)] == [*shares, None]
    assert not allocation.may_have_room
    allocation.give_back(second)
    assert allocation.may_have_room
    assert allocation.take(third) == shares[1]


def test_runs_fill_the_cores() -> None:
    runs = [make_run(name) for name in "abc"]
    allocation = DemandAllocation(Machine(4, 8 * GIB, ()), zip(runs, [demand(3), demand(1), demand(1)], strict=True))
    assert [allocation.take(run) for run in runs] == [ResourceShare(3, ()), ResourceShare(1, ()), None]
    allocation.give_back(runs[0])
    assert allocation.take(runs[2]) == ResourceShare(1, ())


def test_memory_is_not_exceeded() -> None:
    runs = [make_run(name) for name in "abc"]
    demands = [demand(1, gib=5), demand(1, gib=4), demand(1, gib=3)]
    allocation = DemandAllocation(Machine(8, 8 * GIB, ()), zip(runs, demands, strict=True))
    assert [allocation.take(run) for run in runs] == [ResourceShare(1, ()), None, ResourceShare(1, ())]


def test_run_that_needs_more_than_the_machine_has_runs_alone() -> None:
    large, small = make_run("large"), make_run("small")
    machine = Machine(2, 8 * GIB, ())
    allocation = DemandAllocation(machine, [(large, demand(2, gib=20)), (small, demand(1))])
    assert allocation.take(large) == ResourceShare(2, ())
    assert allocation.take(small) is None
    allocation.give_back(large)
    assert allocation.take(small) == ResourceShare(1, ())
    assert allocation.take(large) is None


def test_every_run_has_gpus_of_its_own() -> None:
    runs = [make_run(name) for name in "abc"]
    demands = [demand(4, gpus=2), demand(4, gpus=1), demand(4, gpus=1)]
    allocation = DemandAllocation(Machine(16, 64 * GIB, ("4", "5", "6")), zip(runs, demands, strict=True))
    assert [allocation.take(run) for run in runs] == [ResourceShare(4, ("4", "5")), ResourceShare(4, ("6",)), None]
    allocation.give_back(runs[0])
    assert allocation.take(runs[2]) == ResourceShare(4, ("4",))


def test_runs_on_gpus_share_few_cores() -> None:
    runs = [make_run(name) for name in "ab"]
    allocation = DemandAllocation(Machine(1, 64 * GIB, ("0", "1")), [(run, demand(1, gpus=1)) for run in runs])
    assert [allocation.take(run) for run in runs] == [ResourceShare(1, ("0",)), ResourceShare(1, ("1",))]


@pytest.mark.parametrize(("num_runs", "most"), [(1, 1), (2, 2), (9, 3)])
def test_number_of_runs_at_once_is_at_most_that_of_the_runs(num_runs: int, most: int) -> None:
    runs = [make_run(str(number)) for number in range(num_runs)]
    allocation = DemandAllocation(Machine(3, GIB, ()), [(run, demand(1, max_parallel=3)) for run in runs])
    assert allocation.max_parallel == most


@pytest.mark.parametrize(
    ("machine", "demands", "line"),
    [
        (
            Machine(2, 16 * GIB, ()),
            {"lenet": demand(1, speed_with_max_threads=1.31), "lenet_bn": demand(1, speed_with_max_threads=1.28)},
            "lenet, lenet_bn: 2 runs at once, 1 thread each (2 threads make a run 1.3 times as fast)",
        ),
        (
            Machine(2, 16 * GIB, ()),
            {"lenet": demand(1, speed_with_max_threads=0.8), "nin": demand(1, speed_with_max_threads=1.28)},
            "lenet, nin: 2 runs at once, 1 thread each (2 threads make a run 0.8 to 1.3 times as fast)",
        ),
        (
            Machine(2, 16 * GIB, ()),
            {"lenet": demand(1, speed_with_max_threads=0.8)},
            "lenet: 2 runs at once, 1 thread each (2 threads make a run no faster)",
        ),
        (
            Machine(2, 16 * GIB, (), busy_cores=1),
            {"lenet": demand(1, speed_with_max_threads=None)},
            "lenet: 2 runs at once, 1 thread each (other programs use 1 of 2 cores)",
        ),
        (
            Machine(2, 16 * GIB, ()),
            {"vgg11": demand(2, gib=9, max_parallel=1, speed_with_max_threads=1.9)},
            "vgg11: 1 run at once, 2 threads each (2 threads make a run 1.9 times as fast, and a run needs about "
            "9 GiB of 16 GiB)",
        ),
        (
            Machine(2, 16 * GIB, ()),
            {
                "vgg11": demand(2, gib=9, max_parallel=1, speed_with_max_threads=None),
                "nin": demand(1, speed_with_max_threads=None),
            },
            "vgg11: 1 run at once, 2 threads each (a run needs about 9 GiB of 16 GiB); nin: 2 runs at once, 1 thread each",
        ),
        (
            Machine(16, 16 * GIB, ("0", "1")),
            {"nin": demand(8, gpus=1), "lenet": demand(16, gpus=2, max_parallel=1)},
            "nin: 2 runs at once, 1 of 2 GPUs each; lenet: 1 run at once, 2 of 2 GPUs each",
        ),
    ],
)
def test_choice_is_described_with_its_reason(machine: Machine, demands: dict[str, Demand], line: str) -> None:
    runs = [make_run(model, model) for model in demands]
    assert DemandAllocation(machine, zip(runs, demands.values(), strict=True)).describe(runs) == line
