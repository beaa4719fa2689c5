"""Tests of the output of a sweep: its plan, its results, and other sweeps with the same runs."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status
from cnn_experiments.sweep.executors.base import Capacity
from cnn_experiments.sweep.plan import InvalidCombinations, PlannedRun
from cnn_experiments.sweep.summary import print_plan, print_results, suggest_existing_sweeps, write_hparams_columns

RETRY_HINT = (
    "to continue the failed runs from their last checkpoints, add retry_failed=true; to start them over, add "
    "restart=true; tracebacks are in each run's run.log"
)


@pytest.fixture(autouse=True)
def work_in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plan_run(seed: int, *overrides: str, directory: Path = Path("outputs/mine")) -> PlannedRun:
    config = ComposedConfig.from_overrides(f"seed={seed}", *overrides)
    return PlannedRun(config, directory / f"lenet-seed{seed}-{config.run_id[:8]}")


def states_of(runs: Sequence[PlannedRun]) -> dict[Path, RunState]:
    return {run.directory: run.read_state() for run in runs}


def write_results(run: PlannedRun, **values: Any) -> None:
    run.directory.mkdir(parents=True, exist_ok=True)
    config = run.config
    replace(
        RunResults.initial(config.choices, config.overrides, config.settings, config.changed_settings), **values
    ).save(run.directory)


def stub_estimate(monkeypatch: pytest.MonkeyPatch, seconds: Sequence[float]) -> list[list[PlannedRun]]:
    """Replace the estimate by these seconds, and return a list that collects the completed runs of each call."""
    calls = []

    def estimate_seconds(
        runs: Sequence[PlannedRun],
        states: Mapping[Path, RunState],
        to_do: Collection[PlannedRun],
        threads: Mapping[Path, int],
    ) -> dict[Path, float]:
        calls.append([run for run in runs if states[run.directory].status == Status.COMPLETED])
        return dict(zip((run.directory for run in to_do), seconds, strict=True))

    monkeypatch.setattr("cnn_experiments.sweep.estimate.estimate_seconds", estimate_seconds)
    return calls


def rows_of(output: str) -> list[list[str]]:
    """Return the cells of the rows of a printed table."""
    rows = [line.split("│")[1:-1] for line in output.splitlines() if line.startswith("│")]
    return [[re.sub(r"-[0-9a-f]{8}$", "", cell.strip()) for cell in row] for row in rows]


def lines_after_table(output: str) -> list[str]:
    return output.rpartition("┘\n")[2].splitlines()


@pytest.mark.parametrize(
    ("seconds", "max_parallel", "workload"),
    [
        ([0.2], 1, "1 run, 1 to do: about 1 s"),
        ([45.4], 1, "1 run, 1 to do: about 45 s"),
        ([600.0, 120.0], 1, "2 runs, 2 to do: about 12 min"),
        ([5999.0], 1, "1 run, 1 to do: about 1 h 40 min"),
        ([600.0, 600.0, 600.0], 2, "3 runs, 3 to do, 2 at once: about 15 min"),
        ([60.0], 4, "1 run, 1 to do, 4 at once: about 60 s"),
    ],
)
def test_plan_ends_with_the_expected_duration(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seconds: list[float],
    max_parallel: int,
    workload: str,
) -> None:
    stub_estimate(monkeypatch, seconds)
    runs = [plan_run(seed) for seed in range(len(seconds))]
    print_plan(
        runs, states_of(runs), runs, InvalidCombinations(skip=False), Path("outputs/mine"), Capacity(max_parallel, {})
    )
    assert lines_after_table(capsys.readouterr().out) == [workload]


def test_plan_lists_runs_and_skipped_combinations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    completed, failed, interrupted, new = runs = [plan_run(seed) for seed in range(4)]
    write_results(completed, status=Status.COMPLETED)
    write_results(failed, status=Status.FAILED, error="ZeroDivisionError: division by zero")
    write_results(interrupted, status=Status.INTERRUPTED, signal="SIGTERM")
    invalid = InvalidCombinations(skip=True)
    invalid.errors += [ConfigError("data.resize", 28, problem="too small")] * 2
    calls = stub_estimate(monkeypatch, [6.0, 12_000.0])
    print_plan(runs, states_of(runs), [interrupted, new], invalid, Path("outputs/mine"), Capacity(1, {}))
    output = capsys.readouterr().out
    assert output.splitlines()[0].rstrip() == "outputs/mine"
    assert rows_of(output) == [
        ["lenet-seed0", "completed", "nothing", ""],
        ["lenet-seed1", "failed", "nothing", "ZeroDivisionError: division by zero"],
        ["lenet-seed2", "interrupted", "6 s", "by SIGTERM"],
        ["lenet-seed3", "not run", "3 h 20 min", ""],
    ]
    assert lines_after_table(output) == [
        "skipped: data.resize=28: too small, and with 1 more seed",
        "4 runs, 2 to do: about 3 h 20 min",
        RETRY_HINT,
    ]
    assert calls == [[completed]]


def test_plan_without_anything_to_do_estimates_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = plan_run(0)
    write_results(run, status=Status.COMPLETED)
    calls = stub_estimate(monkeypatch, [])
    print_plan([run], states_of([run]), [], InvalidCombinations(skip=False), Path("outputs/mine"), Capacity(1, {}))
    assert lines_after_table(capsys.readouterr().out) == ["1 run, nothing to do"]
    assert calls == []


def test_results_list_metrics_and_hints(capsys: pytest.CaptureFixture[str]) -> None:
    completed, failed, _ = runs = [plan_run(seed) for seed in range(3)]
    write_results(
        completed,
        status=Status.COMPLETED,
        epochs=10,
        metrics={"val/acc": 0.91234, "test/acc": 0.9},
        seconds={"fit": 8.3, "test": 1.0},
    )
    write_results(failed, status=Status.FAILED, signal="SIGKILL", epochs=3, metrics={"val/acc": 0.5})
    print_results(states_of(runs), InvalidCombinations(skip=True), Path("outputs/mine"), failed.config.settings)
    output = capsys.readouterr().out
    header = output.splitlines()[2].split("┃")[1:-1]
    assert [name.strip() for name in header] == ["run", "status", "epochs", "val/acc", "test/acc", "seconds", "reason"]
    assert rows_of(output) == [
        ["lenet-seed0", "completed", "10", "0.9123", "0.9000", "9.3", ""],
        ["lenet-seed1", "failed", "3", "0.5000", "", "", "killed by SIGKILL (out of memory?)"],
        ["lenet-seed2", "not run", "", "", "", "", ""],
    ]
    assert lines_after_table(output) == [
        "3 runs: 1 completed, 1 failed, 1 not run",
        "to continue, run the same command again",
        RETRY_HINT,
    ]


@pytest.mark.parametrize(
    ("typed", "continue_hint", "retry_hint"),
    [
        (
            ["restart=true"],
            "to continue, run the same command again without restart=true",
            "add retry_failed=true and leave out restart=true; to start them over, run the same command again",
        ),
        (
            ["retry_failed=true"],
            "to continue, run the same command again",
            "run the same command again; to start them over, add restart=true",
        ),
        (
            ["restart=true", "retry_failed=true"],
            "to continue, run the same command again without restart=true",
            "run the same command again without restart=true; to start them over, run the same command again",
        ),
    ],
)
def test_hints_fit_the_command(
    capsys: pytest.CaptureFixture[str], typed: list[str], continue_hint: str, retry_hint: str
) -> None:
    failed, interrupted = runs = [plan_run(seed, *typed) for seed in range(2)]
    write_results(failed, status=Status.FAILED, error="ValueError: no")
    write_results(interrupted, status=Status.INTERRUPTED, signal="SIGTERM")
    print_results(states_of(runs), InvalidCombinations(skip=True), Path("outputs/mine"), failed.config.settings)
    assert lines_after_table(capsys.readouterr().out)[1:] == [
        continue_hint,
        f"to continue the failed runs from their last checkpoints, {retry_hint}; tracebacks are in each run's run.log",
    ]


def test_results_of_a_completed_sweep_have_no_hints(capsys: pytest.CaptureFixture[str]) -> None:
    run = plan_run(0)
    write_results(run, status=Status.COMPLETED)
    invalid = InvalidCombinations(skip=True)
    invalid.errors.append(ConfigError("data.resize", 28, problem="too small"))
    print_results(states_of([run]), invalid, Path("outputs/mine"), run.config.settings)
    assert lines_after_table(capsys.readouterr().out) == ["skipped: data.resize=28: too small", "1 run: 1 completed"]


def test_sweeps_that_completed_the_same_runs_are_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [plan_run(seed) for seed in range(3)]
    for seed in (0, 1):
        write_results(plan_run(seed, directory=Path("outputs/other")), status=Status.COMPLETED)
    write_results(plan_run(2, directory=Path("outputs/third")), status=Status.COMPLETED)
    write_results(plan_run(2, directory=Path("outputs/failed")), status=Status.FAILED)
    write_results(plan_run(7, directory=Path("outputs/unrelated")), status=Status.COMPLETED)
    suggest_existing_sweeps(Path("outputs/mine"), states_of(runs), runs)
    assert capsys.readouterr().out == (
        "2 of these runs already completed in outputs/other; to continue there, add sweep=other\n"
        "1 of these runs already completed in outputs/third; to continue there, add sweep=third\n"
    )


def test_no_sweep_is_suggested_for_runs_that_have_started_or_for_the_sweep_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    started, new = plan_run(0), plan_run(1)
    write_results(started, status=Status.INTERRUPTED)
    write_results(plan_run(0, directory=Path("outputs/other")), status=Status.COMPLETED)
    write_results(replace(new, directory=Path("outputs/mine/renamed")), status=Status.COMPLETED)
    suggest_existing_sweeps(Path("outputs/mine"), states_of([started, new]), [started, new])
    suggest_existing_sweeps(Path("missing/mine"), states_of([new]), [new])
    assert capsys.readouterr().out == ""


def test_damaged_runs_of_other_sweeps_are_not_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    damaged = Path("outputs/other") / plan_run(0).directory.name
    damaged.mkdir(parents=True)
    (damaged / "results.json").write_text('{"status": "comp')
    Path("outputs/notes.txt").touch()
    run = plan_run(0)
    suggest_existing_sweeps(Path("outputs/mine"), states_of([run]), [run])
    assert capsys.readouterr().out == ""


def test_hparams_columns_are_the_settings_that_vary_in_planned_and_stored_runs_and_in_a_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns: dict[str, list[Any]] = {}
    shown: list[str] = []

    def write_experiment(directory: Path, varying: Mapping[str, Iterable[Any]], tags: Sequence[str]) -> None:
        assert directory.is_dir()
        shown[:] = tags
        columns.clear()
        columns.update({key: list(values) for key, values in varying.items()})

    monkeypatch.setattr("cnn_experiments.runs.hparams.write_experiment", write_experiment)
    directory = Path("outputs/mine")
    runs = [plan_run(seed, f"optimizer.lr={lr}") for seed, lr in ((1, 0.5), (2, 0.25))]
    write_hparams_columns(directory, runs)
    assert columns == {"optimizer.lr": [0.5, 0.25], "seed": [1, 2]}
    write_results(plan_run(3, "optimizer.lr=0.125"), status=Status.COMPLETED)
    write_hparams_columns(directory, runs)
    assert columns == {"optimizer.lr": [0.5, 0.25, 0.125], "seed": [1, 2, 3]}
    write_hparams_columns(directory, [], searched={"optimizer.lr": [1e-4, 1.0]})
    assert columns == {"optimizer.lr": [1e-4, 1.0]}
    assert shown == ["best/val/acc", "test/acc"]
    write_hparams_columns(directory, [plan_run(1, "monitor=val/loss", "metrics=top5"), plan_run(1)])
    assert shown == ["best/val/loss", "best/val/acc", "test/acc", "test/loss", "test/top5"]
