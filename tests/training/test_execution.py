"""How a run is executed: as was typed, as the run that it continues, or as is fastest."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from cnn_experiments.runs.results import RunResults
from cnn_experiments.runtime.cpu import THREADS_VARIABLE
from cnn_experiments.training import execution
from cnn_experiments.training.execution import (
    Execution,
    ThreadSpeeds,
    _TimedNetwork,
    choose_execution,
    choose_memory_format,
    fastest,
    thread_speeds,
    typical_seconds,
)
from tests.conftest import compose_settings

CPU = "trainer=cpu"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give every test an empty cache and a machine with two free cores, and return the directory of what was timed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    monkeypatch.setattr(execution, "free_cores", lambda: 2)
    monkeypatch.setattr(execution, "usable_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(execution, "waiting_seconds", lambda: 0.0)
    return tmp_path / "cache" / "cnn_experiments" / "step_seconds"


Timed = list[list[Execution]]


@pytest.fixture
def stub_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Timed]:
    """Return a function that sets how long steps take, and returns a list that collects what was timed."""

    def stub(**seconds: float) -> Timed:
        timed: Timed = []

        def time(_: _TimedNetwork, executions: Sequence[Execution]) -> list[dict[Execution, float]]:
            timed.append(list(executions))
            return 3 * [{one: seconds[f"{one.memory_format}_{one.threads}"] for one in executions}]

        monkeypatch.setattr(_TimedNetwork, "_time", time)
        return timed

    return stub


LENET_SECONDS = {"contiguous_1": 10.0, "channels_last_1": 8.0, "contiguous_2": 9.0, "channels_last_2": 6.0}


def results(**values: Any) -> RunResults:
    return cast(RunResults, SimpleNamespace(**{"memory_format": None, "threads": None, "settings": {}} | values))


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({("contiguous", 1): 1.0, ("channels_last", 1): 0.9}, ("channels_last", 1)),
        ({("contiguous", 1): 1.0, ("channels_last", 1): 0.98}, ("channels_last", 1)),
        ({("contiguous", 1): 1.0, ("channels_last", 1): 0.995}, ("contiguous", 1)),
        ({("contiguous", 1): 1.0, ("channels_last", 1): 1.2}, ("contiguous", 1)),
        ({("contiguous", 1): 1.0, ("contiguous", 2): 0.98, ("channels_last", 2): 0.99}, ("contiguous", 1)),
        ({("contiguous", 1): 1.0, ("contiguous", 2): 0.6, ("channels_last", 2): 0.5}, ("channels_last", 2)),
        ({("contiguous", 4): 0.30, ("contiguous", 8): 0.30}, ("contiguous", 4)),
        ({("contiguous", 1): 1.02, ("channels_last", 1): 1.0, ("channels_last", 2): 0.98}, ("channels_last", 1)),
    ],
)
def test_fastest_is_chosen_unless_the_gain_is_small(
    seconds: dict[tuple[str, int], float], chosen: tuple[str, int]
) -> None:
    assert fastest({Execution(*key): value for key, value in seconds.items()}) == Execution(*chosen)


KEYS = [("contiguous", 1), ("channels_last", 1), ("contiguous", 2), ("channels_last", 2)]
CONTIGUOUS, CHANNELS_LAST = Execution("contiguous", 2), Execution("channels_last", 2)


def test_executions_are_compared_within_a_round() -> None:
    # The machine is slower from round to round, and other programs disturb one step of each.
    rounds = [
        {CONTIGUOUS: 1.0, CHANNELS_LAST: 0.81},
        {CONTIGUOUS: 4.0, CHANNELS_LAST: 3.24},
        {CONTIGUOUS: 9.0, CHANNELS_LAST: 72.9},
        {CONTIGUOUS: 160.0, CHANNELS_LAST: 8.1},
        {CONTIGUOUS: 16.0, CHANNELS_LAST: 12.96},
    ]
    seconds = typical_seconds(rounds)
    assert seconds[CHANNELS_LAST] / seconds[CONTIGUOUS] == pytest.approx(0.81)
    assert seconds[CONTIGUOUS] == pytest.approx((16 * 12.96) ** 0.5 / 0.9)


def test_threads_are_compared_apart_from_the_formats() -> None:
    # What disturbs two threads, and twice as much in one round as in another, does not change the formats of one.
    rounds = [
        {
            Execution("contiguous", 1): 1.0,
            Execution("channels_last", 1): channels_last,
            CONTIGUOUS: disturbed,
            CHANNELS_LAST: disturbed,
        }
        for channels_last, disturbed in [(0.95, 1.0), (0.95, 16.0), (1.10, 4.0)]
    ]
    seconds = typical_seconds(rounds)
    assert seconds[Execution("channels_last", 1)] / seconds[Execution("contiguous", 1)] == pytest.approx(0.95)
    assert seconds[CONTIGUOUS] == seconds[CHANNELS_LAST] == pytest.approx(4.0)
    assert fastest(seconds) == Execution("channels_last", 1)


def steps_of(contiguous: Sequence[float], channels_last: Sequence[float]) -> Callable[[object], float]:
    """Return a stub of `seconds_of` with the shortest counted step of each round in each format."""
    rounds = zip(contiguous, channels_last, strict=True)
    seconds = iter(
        [step for pair in rounds for shortest in pair for step in (0.0, 2 * shortest, shortest, 3 * shortest)]
    )
    return lambda _: next(seconds)


@pytest.mark.parametrize(
    ("contiguous", "channels_last", "chosen"),
    [
        ([1.0] * 2, [0.8] * 2, CHANNELS_LAST),
        ([1.0] * 3, [0.95] * 3, CHANNELS_LAST),
        ([1.0] * 4, [0.9, 1.1, 0.9, 0.9], CHANNELS_LAST),
        ([1.0] * 10, [0.98, 1.02] * 5, CONTIGUOUS),
    ],
    ids=["large gain", "small gain", "one round differs", "close"],
)
def test_steps_are_timed_until_the_choice_is_clear(
    monkeypatch: pytest.MonkeyPatch, contiguous: list[float], channels_last: list[float], chosen: Execution
) -> None:
    seconds_of = steps_of(contiguous, channels_last)
    monkeypatch.setenv(THREADS_VARIABLE, "2")
    monkeypatch.setattr(execution, "_ENOUGH_SECONDS", 0.0)
    monkeypatch.setattr(execution, "_ENOUGH_SHARE", 0.0)
    monkeypatch.setattr(execution, "_MAX_SECONDS", 600.0)
    monkeypatch.setattr(execution, "seconds_of", seconds_of)
    assert choose_execution(compose_settings(CPU, "data=digits")) == chosen
    with pytest.raises(StopIteration):
        seconds_of(None)


def test_part_that_is_unclear_is_not_kept(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """With two threads, channels_last is much faster; with one, the formats change places."""
    rounds = [
        {Execution(name, number): seconds for (name, number), seconds in zip(KEYS, values, strict=True)}
        for values in [(10.0, 9.0, 8.0, 5.0), (10.0, 11.0, 8.0, 5.0)]
    ]
    monkeypatch.setattr(_TimedNetwork, "_time", lambda *_: rounds)
    assert choose_execution(compose_settings(CPU)) == CHANNELS_LAST
    stored = [json.loads(path.read_text())["executions"] for path in cache.glob("*.json")]
    assert sorted(stored, key=len) == [[["contiguous", 2], ["channels_last", 2]], [list(key) for key in KEYS]]


def test_format_whose_steps_fail_later_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []

    def seconds_of(_: object) -> float:
        calls.append(None)
        turn = (len(calls) - 1) // 4
        if turn == 3:  # channels_last, in the second round
            raise torch.OutOfMemoryError
        return (1.0, 0.5)[turn % 2]

    monkeypatch.setenv(THREADS_VARIABLE, "2")
    monkeypatch.setattr(execution, "seconds_of", seconds_of)
    monkeypatch.setattr(execution, "_ENOUGH_SECONDS", 600.0)
    assert choose_execution(compose_settings(CPU, "data=digits")) == CONTIGUOUS
    assert len(calls) == 3 * 4 + 1


def test_time_limit_ends_an_unclear_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def seconds_of(_: object) -> float:
        now[0] += 0.1  # a round takes 0.8 s, the limit is 3 s, and the fourth round would end later
        return now[0] % 1

    calls: list[object] = []
    monkeypatch.setenv(THREADS_VARIABLE, "2")
    monkeypatch.setattr(execution.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(execution, "seconds_of", lambda step: calls.append(step) or seconds_of(step))
    monkeypatch.setattr(execution, "_is_clear", lambda _: False)
    monkeypatch.setattr(execution, "_MAX_SECONDS", 3.0)
    monkeypatch.setattr(execution, "_MAX_SHARE", 0.0)
    choose_execution(compose_settings(CPU, "data=digits"))
    assert len(calls) == 3 * 2 * 4


def test_small_network_is_timed_with_every_format_and_number_of_threads(stub_seconds: Callable[..., Timed]) -> None:
    timed = stub_seconds(**LENET_SECONDS)
    assert choose_execution(compose_settings(CPU)) == Execution("channels_last", 2)
    assert [(one.memory_format, one.threads) for one in timed[0]] == [
        ("contiguous", 1), ("channels_last", 1), ("contiguous", 2), ("channels_last", 2),
    ]  # fmt: skip


def test_large_network_has_all_threads(stub_seconds: Callable[..., Timed]) -> None:
    timed = stub_seconds(**LENET_SECONDS)
    assert choose_execution(compose_settings(CPU, "model=resnet18")) == Execution("channels_last", 2)
    assert {one.threads for one in timed[0]} == {2}


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_typed_format_wins(stub_seconds: Callable[..., Timed], memory_format: str) -> None:
    stub_seconds(**LENET_SECONDS)
    settings = compose_settings(CPU, f"memory_format={memory_format}")
    continued = results(memory_format="channels_last" if memory_format == "contiguous" else "contiguous")
    assert choose_execution(settings).memory_format == memory_format
    assert choose_execution(settings, continued).memory_format == memory_format


def test_typed_number_of_threads_wins(monkeypatch: pytest.MonkeyPatch, stub_seconds: Callable[..., Timed]) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, "2")
    timed = stub_seconds(contiguous_2=10.0, channels_last_2=11.0)
    assert choose_execution(compose_settings(CPU), results(threads=1)) == Execution("contiguous", 2)
    assert {one.threads for one in timed[0]} == {2}


def test_continued_run_keeps_format_and_threads(stub_seconds: Callable[..., Timed]) -> None:
    timed = stub_seconds(**LENET_SECONDS)
    continued = results(memory_format="contiguous", threads=1)
    assert choose_execution(compose_settings(CPU), continued) == Execution("contiguous", 1)
    assert timed == []


def test_run_of_an_earlier_version_keeps_the_format_of_its_settings(stub_seconds: Callable[..., Timed]) -> None:
    stub_seconds(**LENET_SECONDS)
    continued = results(settings={"memory_format": "contiguous"})
    assert choose_execution(compose_settings(CPU), continued) == Execution("contiguous", 2)


def test_continued_run_has_no_more_threads_than_the_machine_has_cores(stub_seconds: Callable[..., Timed]) -> None:
    stub_seconds(**LENET_SECONDS)
    assert choose_execution(compose_settings(CPU), results(threads=64)).threads == 2


def test_compiler_chooses_by_itself(stub_seconds: Callable[..., Timed]) -> None:
    timed = stub_seconds(contiguous_1=3.0, contiguous_2=2.0)
    assert choose_execution(compose_settings(CPU, "compile=true")).memory_format == "contiguous"
    assert {one.memory_format for one in timed[0]} == {"contiguous"}


def test_run_that_is_shorter_than_its_timing_is_not_timed(stub_seconds: Callable[..., Timed]) -> None:
    timed = stub_seconds(**LENET_SECONDS)
    large = (CPU, "model=vgg11", "data.resize=224", "trainer.max_epochs=1")
    assert choose_execution(compose_settings(*large, "trainer.max_steps=2")) == Execution("contiguous", 2)
    assert timed == []
    assert choose_execution(compose_settings(*large)) == Execution("channels_last", 2)
    assert choose_execution(compose_settings(*large, "trainer.max_time=00:00:00:09")).memory_format == "contiguous"
    assert len(timed) == 1


def test_equal_commands_choose_equally(stub_seconds: Callable[..., Timed], cache: Path) -> None:
    stub_seconds(**LENET_SECONDS)
    chosen = choose_execution(compose_settings(CPU))
    timed = stub_seconds(**dict.fromkeys(LENET_SECONDS, 1.0))
    assert choose_execution(compose_settings(CPU, "seed=7", "optimizer=sgd")) == chosen
    assert timed == []
    assert choose_execution(compose_settings(CPU, "data.batch_size=32")) == Execution("contiguous", 1)
    assert len(timed) == 1


def test_run_of_a_sweep_knows_what_the_sweep_has_timed(
    monkeypatch: pytest.MonkeyPatch, stub_seconds: Callable[..., Timed]
) -> None:
    stub_seconds(**LENET_SECONDS)
    assert thread_speeds(compose_settings(CPU), 2).by_threads == {1: 1.0, 2: pytest.approx(8 / 6)}
    timed = stub_seconds(**LENET_SECONDS)
    monkeypatch.setenv(THREADS_VARIABLE, "1")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert choose_execution(compose_settings(CPU)) == Execution("channels_last", 1)
    assert timed == []


@pytest.mark.parametrize("text", ["", "{}", '{"seconds": [1.0]}', '{"seconds": ["fast", 1, 1, 1]}'])
def test_damaged_file_is_replaced(stub_seconds: Callable[..., Timed], cache: Path, text: str) -> None:
    stub_seconds(**LENET_SECONDS)
    choose_execution(compose_settings(CPU))
    (file,) = [path for path in cache.glob("*.json") if len(json.loads(path.read_text())["seconds"]) == 4]
    undamaged = file.read_text()
    file.write_text(text)
    timed = stub_seconds(**LENET_SECONDS)
    assert choose_execution(compose_settings(CPU)) == Execution("channels_last", 2)
    assert len(timed) == 1
    assert file.read_text() == undamaged
    assert json.loads(undamaged)["seconds"] == pytest.approx(list(LENET_SECONDS.values()), rel=1e-12)


def test_cache_that_cannot_be_made_prevents_nothing(
    monkeypatch: pytest.MonkeyPatch, stub_seconds: Callable[..., Timed], tmp_path: Path
) -> None:
    stub_seconds(**LENET_SECONDS)
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert choose_execution(compose_settings(CPU)) == Execution("channels_last", 2)
    assert (tmp_path / "file").read_text() == "mine"


def test_real_steps_take_time_and_leave_the_settings_of_torch(cache: Path) -> None:
    chosen = choose_execution(compose_settings(CPU, "data=digits"))
    assert chosen.memory_format in ("contiguous", "channels_last")
    stored = max((json.loads(path.read_text()) for path in cache.glob("*.json")), key=lambda one: len(one["seconds"]))
    assert stored["executions"] == [["contiguous", 1], ["channels_last", 1], ["contiguous", 2], ["channels_last", 2]]
    assert all(0 < seconds < 60 for seconds in stored["seconds"])


class Viewing(torch.nn.Module):
    """A network that can't be channels_last, because it flattens with `view`."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 4, 3)
        self.linear = torch.nn.Linear(4 * 26 * 26, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear(self.convolution(images).view(images.shape[0], -1))
        return logits


def test_network_that_cannot_be_channels_last_is_contiguous(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    settings = compose_settings(CPU, "data=digits")
    settings["model"] = {"_target_": f"{__name__}.Viewing"}
    assert choose_execution(settings).memory_format == "contiguous"
    files = {path.name for path in cache.glob("*.json")}
    assert choose_execution(settings).memory_format == "contiguous"
    monkeypatch.setattr(execution, "_code_of", lambda _: "edited")
    assert {path.name for path in cache.glob("*.json")} == files
    choose_execution(settings)
    assert len(list(cache.glob("*.json"))) == 2 * len(files)


def test_typed_format_in_which_steps_fail_prevents_no_choice() -> None:
    """The training says what fails."""
    settings = compose_settings(CPU, "data=digits", "memory_format=channels_last")
    settings["model"] = {"_target_": f"{__name__}.Viewing"}
    assert choose_execution(settings).memory_format == "channels_last"
    assert not thread_speeds(settings, 2).is_measured


def test_code_of_a_network_of_somebodys_own_is_part_of_what_is_kept() -> None:
    assert execution._code_of(f"{__name__}.Viewing") == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert execution._code_of("cnn_experiments.models.LeNet") is None


def test_processes_that_train_together_have_one_format(stub_seconds: Callable[..., Timed]) -> None:
    timed = stub_seconds()
    settings = compose_settings(CPU, "trainer.devices=2", "trainer.strategy=ddp")
    assert choose_execution(settings).memory_format == "contiguous"
    assert timed == []


def test_times_in_a_cache_that_is_read_only_are_used(
    monkeypatch: pytest.MonkeyPatch, stub_seconds: Callable[..., Timed]
) -> None:
    stub_seconds(**LENET_SECONDS)
    chosen = choose_execution(compose_settings(CPU))

    def fail(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "mkdir", fail)
    monkeypatch.setattr(execution, "FileLock", fail)
    timed = stub_seconds()
    assert choose_execution(compose_settings(CPU)) == chosen
    assert timed == []


def test_busy_cores_are_mentioned(
    monkeypatch: pytest.MonkeyPatch, stub_seconds: Callable[..., Timed], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    stub_seconds(**LENET_SECONDS)
    monkeypatch.setattr(execution, "free_cores", lambda: 1)
    assert choose_execution(compose_settings(CPU)).threads == 1
    assert caplog.messages == ["at most 1 of 2 cores: other programs use the others"]


def test_timing_that_other_programs_disturbed_is_not_kept(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    waited = iter([0.0, 1e6])
    monkeypatch.setattr(execution, "waiting_seconds", lambda: next(waited))
    choose_execution(compose_settings(CPU, "data=digits"))
    assert list(cache.glob("*.json")) == []


def test_speeds_that_other_programs_disturbed_are_not_measured_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = iter([0.0, 1e6])
    monkeypatch.setattr(execution, "waiting_seconds", lambda: next(waited))
    assert not thread_speeds(compose_settings(CPU, "data=digits"), 2).is_measured


@pytest.mark.usefixtures("cache")
def test_timing_ends_when_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    monkeypatch.setattr(execution, "seconds_of", lambda _: calls.append(None) or 1.0)
    monkeypatch.setattr(execution, "_MAX_SECONDS", 0.0)
    monkeypatch.setattr(execution, "_MAX_SHARE", 0.0)
    monkeypatch.setattr(_TimedNetwork, "_is_worth_timing", lambda *_: True)
    assert choose_execution(compose_settings(CPU, "data=digits")) == Execution("contiguous", 1)
    assert len(calls) == 4 * 4  # a round of four steps of each


def test_memory_format_is_chosen_for_a_number_of_threads(stub_seconds: Callable[..., Timed]) -> None:
    stub_seconds(contiguous_1=10.0, channels_last_1=8.0)
    assert choose_memory_format(compose_settings(CPU), 1) == "channels_last"
    assert choose_memory_format(compose_settings(CPU, "memory_format=contiguous"), 1) == "contiguous"


def test_execution_is_described_with_its_threads_where_they_compute() -> None:
    assert Execution("channels_last", 2).describe(with_threads=True) == "2 threads, channels_last"
    assert Execution("contiguous", 1).describe(with_threads=True) == "1 thread, contiguous"
    assert Execution("contiguous", 2).describe(with_threads=False) == "contiguous"


def test_speeds_are_relative_to_one_thread(stub_seconds: Callable[..., Timed]) -> None:
    contiguous = {"contiguous_1": 9.0, "contiguous_2": 9.0, "contiguous_4": 3.0, "contiguous_6": 2.4}
    stub_seconds(**contiguous, channels_last_1=6.0, channels_last_2=4.0, channels_last_4=9.0, channels_last_6=9.0)
    speeds = thread_speeds(compose_settings(CPU), 6)
    assert speeds.is_measured
    assert speeds.by_threads == {1: 1.0, 2: 1.5, 4: 2.0, 6: pytest.approx(2.5)}


@pytest.mark.parametrize(
    ("overrides", "speeds"),
    [
        (("model=vgg11", "data.resize=224"), {1: 1.0, 2: 2.0, 4: 4.0}),
        (("trainer.max_time=00:00:00:00", "data=digits", "model=lenet"), {1: 1.0, 2: 1.0, 4: 1.0}),
    ],
)
def test_speeds_that_are_not_worth_timing_are_guessed(
    monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], speeds: dict[int, float]
) -> None:
    monkeypatch.setattr(execution, "_MAX_SECONDS", 0.0)
    assert thread_speeds(compose_settings(CPU, "trainer.max_steps=1", *overrides), 4) == ThreadSpeeds(
        speeds, is_measured=False
    )
