"""Tests of sweeps from the command line."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.runs.plan_file import remove_plan, write_plan
from tests.commands import Process, spawn
from tests.conftest import read_epochs, read_results, runs_in

Command = Callable[..., "subprocess.CompletedProcess[str]"]

BASICS = ("data=digits", "trainer.accelerator=cpu")
SMOKE = (*BASICS, "trainer=smoke")

MODULE = '''
import os
import signal
import sys
from pathlib import Path

from torch import nn

FAULTS = {
    "none": lambda: None,
    "raise": lambda: 1 / 0,
    "exit": lambda: sys.exit(0),
    "os_exit": lambda: os._exit(7),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "memory": lambda: bytearray(1 << 60),
    "missing_file": lambda: Path("file").stat(),
}


class FaultyNet(nn.Module):
    """A linear network that ends its process in the second epoch."""

    def __init__(self, in_channels, num_classes, fault):
        super().__init__()
        self.features = nn.Flatten()
        self.head = nn.Linear(784 * in_channels, num_classes)
        self.fault, self.steps = fault, 0

    def forward(self, x):
        self.steps += self.training and len(x) > 2
        if self.steps == 30:
            FAULTS[self.fault]()
        return self.head(self.features(x))
'''
OPTION = """
_target_: faulty.FaultyNet
in_channels: ${data.channels}
num_classes: ${data.classes}
fault: none
"""
FAULTY = ("--config-dir", "conf", "-m", *BASICS, "model=faulty", "trainer.max_epochs=2", "sweep=faults")


@pytest.fixture
def faulty_model(tmp_path: Path) -> None:
    """Write a network of the user and its option."""
    (tmp_path / "faulty.py").write_text(MODULE)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "faulty.yaml").write_text(OPTION)


def read_statuses(sweep: Path) -> dict[str, str]:
    """Return the status of each run by its name without the hash."""
    return {path.parent.name[:-9]: read_results(path.parent)["status"] for path in sorted(sweep.glob("*/results.json"))}


def modification_times(sweep: Path) -> dict[Path, int]:
    """Return the modification time of each results.json in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in sweep.glob("*/results.json")}


def reproducible_results(run: Path) -> dict[str, Any]:
    """Return the results and curves of a run that an interruption must not change."""
    results = read_results(run)
    keys = ("status", "identity", "metrics", "epochs", "tested_epoch", "overrides", "seed")
    speed = "train/images_per_second"
    curves = [{key: value for key, value in row.items() if key != speed} for row in read_epochs(run)]
    return {key: results[key] for key in keys} | {"epochs": curves}


def start(cwd: Path, *arguments: str) -> Process:
    """Start a command in the background, with one thread: the threads of several commands would wait for each other."""
    return spawn(cwd, *arguments, OMP_NUM_THREADS="1")


def wait_until(condition: Callable[[], Any], seconds: float = 600.0) -> None:
    """Wait until a condition is true. The limit only ends a test that would never end, also on a busy machine."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def count_epochs(sweep: Path) -> int:
    """Return the number of epochs that all runs have trained."""
    return sum(read_results(path.parent)["epochs"] for path in sweep.glob("*/results.json"))


def test_combinations_that_are_the_same_run_are_counted(command: Command) -> None:
    plan = command("-m", *SMOKE, "logger=none,[csv]", "seed=0,1", "dry_run=true")
    assert plan.returncode == 0, plan.stderr
    line = "2 of 4 combinations repeat others: they differ in nothing that changes the result"
    assert plan.stdout.splitlines()[0] == line
    assert "2 runs, 2 to do" in plan.stdout


@pytest.mark.usefixtures("faulty_model")
def test_sweep_continues_after_a_run_failed_in_any_way(command: Command, tmp_path: Path) -> None:
    first = command(*FAULTY, "model.fault=raise,exit,os_exit,kill,memory,missing_file,none", "hydra.launcher.jobs=2")
    sweep = tmp_path / "outputs" / "faults"
    assert (first.returncode, first.stderr) == (1, "")
    assert read_statuses(sweep) == {"faulty-faultnone": "completed"} | {
        f"faulty-fault{fault}": "failed" for fault in ("raise", "exit", "os_exit", "kill", "memory", "missing_file")
    }
    reasons = {
        "raise": "ZeroDivisionError: division by zero",
        "exit": "SystemExit: 0",
        "os_exit": "process exited with status 7",
        "kill": "killed by SIGKILL (out of memory?)",
        "memory": "out of memory",
        "missing_file": "No such file or directory: file",
    }
    for fault, reason in reasons.items():
        row = re.search(rf"│ faulty-fault{fault}-\w+ +│ failed +│ .* │ (.*?) +│$", first.stdout, re.MULTILINE)
        assert row is not None
        assert row[1] == reason
    assert "7 runs: 6 failed, 1 completed" in first.stdout
    log = next(sweep.glob("faulty-faultraise-*/run.log")).read_text()
    assert "Traceback" in log
    assert "ZeroDivisionError: division by zero" in log

    (tmp_path / "file").touch()
    before = modification_times(sweep)
    assert command(*FAULTY, "model.fault=raise,missing_file,none").returncode == 1
    assert modification_times(sweep) == before
    retry = command(*FAULTY, "model.fault=missing_file,none", "retry_failed=true")
    assert retry.returncode == 0, retry.stdout
    repeated = next(sweep.glob("faulty-faultmissing_file-*"))
    assert [row["epoch"] for row in read_epochs(repeated)] == ["1", "2"]
    assert "FileNotFoundError" in (repeated / "run.log").read_text()
    assert len(runs_in(sweep)) == 7


@pytest.mark.usefixtures("faulty_model")
def test_sweep_stops_at_the_first_failure_with_on_error_stop(command: Command, tmp_path: Path) -> None:
    result = command(*FAULTY, "model.fault=raise,none", "on_error=stop")
    assert result.returncode == 1
    assert read_statuses(tmp_path / "outputs" / "faults") == {"faulty-faultraise": "failed"}
    assert "2 runs: 1 failed, 1 not run" in result.stdout


def test_sweep_executes_only_runs_that_are_missing(command: Command, tmp_path: Path) -> None:
    first = command("-m", *SMOKE, "model=lenet,lenet_bn", "optimizer=adam", "seed=0,0")
    assert (first.returncode, first.stderr) == (0, "")
    sweep = tmp_path / "outputs" / "model-data-optimizer-seed"
    assert read_statuses(sweep) == {"lenet-seed0": "completed", "lenet_bn-seed0": "completed"}
    before = modification_times(sweep)

    plan = command("-m", *SMOKE, "model=lenet,lenet_bn", "optimizer=adam,sgd", "seed=0", "dry_run=true")
    assert (plan.returncode, plan.stderr) == (0, "")
    rows = re.findall(r"│ (\S+)-\w{8} +│ (\w+(?: \w+)?) +│ +(.*?) │", plan.stdout)
    assert [row[:2] for row in rows] == [
        ("lenet-seed0", "completed"),
        ("lenet-sgd", "not run"),
        ("lenet_bn-seed0", "completed"),
        ("lenet_bn-sgd", "not run"),
    ]
    assert re.search(r"^4 runs, 2 to do: about \d+ s$", plan.stdout, re.MULTILINE)
    assert modification_times(sweep) == before

    second = command("-m", *SMOKE, "optimizer=adam,sgd", "model=lenet,lenet_bn", "seed=0")
    assert (second.returncode, second.stderr) == (0, "")
    assert {path: modification_times(sweep)[path] for path in before} == before
    assert len(modification_times(sweep)) == 4
    assert second.stdout.count(" completed val/acc") == 2

    third = command("-m", *SMOKE, "optimizer=adam,sgd", "model=lenet,lenet_bn", "seed=0")
    assert (third.returncode, third.stderr) == (0, "")
    assert "4 runs: 4 completed" in third.stdout
    assert f"unchanged: outputs/{sweep.name}/leaderboard.csv, " in third.stdout
    assert len(modification_times(sweep)) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


def test_invalid_combinations_are_skipped_with_on_invalid_skip(command: Command, tmp_path: Path) -> None:
    sweep = ("-m", *SMOKE, "model=lenet,alexnet", "data.resize=28,fast", "sweep=mine")
    rejected = command(*sweep)
    assert (rejected.returncode, rejected.stdout) == (2, "")
    assert rejected.stderr == (
        f"data.resize=fast: must be an integer >= 1 or null (in {' '.join(SMOKE)} model=lenet data.resize=fast); "
        "1 more combination is invalid; on_invalid=skip skips invalid combinations\n"
    )
    assert list(tmp_path.iterdir()) == []
    result = command(*sweep, "on_invalid=skip")
    assert (result.returncode, result.stderr) == (0, "")
    assert read_statuses(tmp_path / "outputs" / "mine") == {"lenet-resize28": "completed"}
    skipped = [line for line in result.stdout.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 3
    assert "needs images of at least 67 pixels, these have 28" in skipped[2]


def test_invalid_combinations_of_a_task_without_runs_are_skipped_with_on_invalid_skip(
    command: Command, tmp_path: Path
) -> None:
    sweep = ("-m", "task=inspect", "data=digits", "model=lenet,alexnet", "data.resize=28,-1")
    rejected = command(*sweep)
    assert (rejected.returncode, rejected.stdout) == (2, "")
    assert rejected.stderr == (
        "data.resize=-1: must be an integer >= 1 or null (in task=inspect data=digits model=lenet data.resize=-1); "
        "1 more combination is invalid; on_invalid=skip skips invalid combinations\n"
    )
    result = command(*sweep, "on_invalid=skip")
    assert (result.returncode, result.stderr) == (0, "")
    assert "lenet, one image of 1x28x28" in result.stdout
    combination = "task=inspect data=digits model={} data.resize={}"
    assert [line for line in result.stdout.splitlines() if line.startswith("skipped: ")] == [
        f"skipped: data.resize=-1: must be an integer >= 1 or null (in {combination.format('lenet', -1)})",
        f"skipped: data.resize=-1: must be an integer >= 1 or null (in {combination.format('alexnet', -1)})",
        "skipped: data.resize=28: this network needs images of at least 67 pixels, these have 28; did you mean "
        f"data.resize=67? (in {combination.format('alexnet', 28)})",
    ]
    assert list(tmp_path.iterdir()) == []


def test_unknown_key_of_one_combination_is_reported_in_one_line_and_can_be_skipped(
    command: Command, tmp_path: Path
) -> None:
    sweep = ("-m", *SMOKE, "model=resnet18,lenet", "model.norm=batch")
    message = (
        "model.norm=batch: unknown key; keys of model: bottleneck, depths, in_channels, num_classes, stem, version "
        f"(in {' '.join(SMOKE)} model=resnet18 model.norm=batch)"
    )
    rejected = command(*sweep)
    assert (rejected.returncode, rejected.stdout) == (2, "")
    assert rejected.stderr == f"{message}; on_invalid=skip skips invalid combinations\n"
    plan = command(*sweep, "on_invalid=skip", "dry_run=true")
    assert (plan.returncode, plan.stderr) == (0, "")
    assert re.findall(r"│ (\S+)-\w{8} +│ not run │", plan.stdout) == ["lenet"]
    assert f"\nskipped: {message}\n1 run, 1 to do: " in plan.stdout
    assert list(tmp_path.iterdir()) == []


def test_damaged_runs_of_other_sweeps_are_not_reported(command: Command, tmp_path: Path) -> None:
    damaged = tmp_path / "outputs" / "other" / "lenet-seed0-01234567"
    damaged.mkdir(parents=True)
    (damaged / "results.json").write_text('{"status": "comp')
    plan = command("-m", *SMOKE, "seed=0", "dry_run=true")
    assert (plan.returncode, plan.stderr) == (0, "")
    assert plan.stdout.startswith("outputs/data-seed ")
    assert "damaged" not in plan.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["dry_run=true"], "dry_run=true: only valid in a sweep, which needs -m"),
        (["sweep=mine"], "sweep=mine: only valid in a sweep, which needs -m"),
        (["hydra.launcher.jobs=2"], r"hydra\.launcher\.jobs=2: only valid in a sweep, which needs -m"),
        (["-m", "model=lenet,null"], r"model=null: unknown option; allowed: alexnet, .* \(in model=null\); .*"),
        (["-m", "experiment=null,best_sgd"], r"experiment=null: unknown option; .* \(in experiment=null\); .*"),
        (["-m", "model=glob(len*)", "sed=3"], r"sed=3: unknown key; .*; did you mean seed\?"),
        (
            ["-m", "hydra/launcher=slurm", "hydra.launcher.timeout_min=1h"],
            r"hydra\.launcher\.timeout_min=1h: must be an integer from 1 to 1000000",
        ),
        (["-m", "seed=${nope}"], r"data\.seed: Interpolation key 'nope' not found \(in seed=.*nope.*\)"),
        (
            ["-m", "hydra/launcher=joblib", "on_error=stop"],
            "on_error=stop: must be continue with hydra/launcher=joblib; local and slurm can stop",
        ),
        (["-m", "on_error=stop,continue"], "on_error=stop,continue: must be one value for the whole sweep"),
        (
            ["-m", "seed=0,1", "hydra.launcher.jobs=0"],
            "hydra.launcher.jobs=0: must be auto or an integer from 1 to 1024",
        ),
        (
            ["-m", "seed=0", "hydra.launcher.jobs=1000000000"],
            "hydra.launcher.jobs=1000000000: must be auto or an integer from 1 to 1024",
        ),
        (["-m", "seed=range(0,10,0)"], r"seed=range\(0,10,0\): range\(\) arg 3 must not be zero"),
        (
            ["-m", "seed=1,2", "hydra.sweep.dir=outputs/${seed}"],
            r"hydra\.sweep\.dir=outputs/\$\{seed\}: can't refer to seed, which is a setting of the runs",
        ),
        (["-m", "seed=range(0)"], r"seed=range\(0\): must have at least one value"),
        (["-m", "seed=range(1000000000)"], r"seed=range\(1000000000\): must not make more than 100,000 combinations"),
        (
            ["-m", "seed=range(1000)", "data.seed=range(1000)"],
            r"data\.seed=range\(1000\): must not make more than 100,000 combinations",
        ),
        (
            ["-m", "seed=0", "on_error=stp"],
            r"on_error=stp: must be one of continue, stop; did you mean stop\?",
        ),
        (["-m", "seed=0", "sweep=a/b"], r"sweep=a/b: must be null or at most 80 letters, digits, .*"),
        (["-m", "seed=0", "hydra/launcher=slurm"], "hydra/launcher=slurm: .*"),
    ],
)
def test_invalid_sweep_settings_are_rejected_in_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no Slurm there
    rejected = command(*arguments)
    assert (rejected.returncode, rejected.stdout) == (2, "")
    assert re.fullmatch(line + "\n", rejected.stderr), rejected.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("signum", "status", "jobs"), [(signal.SIGTERM, 143, 1), (signal.SIGINT, 130, 2)])
def test_interrupted_sweep_resumes_exactly(
    command: Command, tmp_path: Path, signum: signal.Signals, status: int, jobs: int
) -> None:
    sweep = ("-m", *BASICS, "model=lenet_bn", "augment=[crop,flip]", "trainer.max_epochs=4", "seed=0,1,2")
    jobs_override = f"hydra.launcher.jobs={jobs}"
    process = start(tmp_path, *sweep, jobs_override, "sweep=interrupted")
    interrupted = tmp_path / "outputs" / "interrupted"
    wait_until(lambda: count_epochs(interrupted) >= 5)
    process.send_signal(signum)
    output, _ = process.communicate()
    assert process.returncode == status
    statuses = list(read_statuses(interrupted).values())
    assert statuses.count("interrupted") >= 1
    assert "running" not in statuses
    assert f"by {signum.name}" in output
    for path in interrupted.glob("*/results.json"):
        if read_results(path.parent)["status"] == "interrupted":
            assert read_results(path.parent)["signal"] == signum.name
            assert read_results(path.parent)["error"] is None

    result = command(*sweep, jobs_override, "sweep=interrupted", OMP_NUM_THREADS="1")
    assert (result.returncode, result.stderr) == (0, "")
    assert command(*sweep, jobs_override, "sweep=uninterrupted", OMP_NUM_THREADS="1").returncode == 0
    for run in runs_in(tmp_path / "outputs" / "uninterrupted"):
        assert reproducible_results(interrupted / run.name) == reproducible_results(run)
    assert len(runs_in(interrupted)) == 3


def test_runs_stop_when_their_sweep_is_killed(command: Command, tmp_path: Path) -> None:
    sweep = ("-m", *BASICS, "model=lenet_bn", "trainer.max_epochs=12", "seed=0", "sweep=mine")
    process = start(tmp_path, *sweep)
    directory = tmp_path / "outputs" / "mine"
    wait_until(lambda: count_epochs(directory) >= 2)
    process.kill()
    process.communicate()
    wait_until(lambda: list(read_statuses(directory).values()) == ["interrupted"])
    assert command(*sweep).returncode == 0
    (run,) = runs_in(directory)
    assert [row["epoch"] for row in read_epochs(run)] == [str(epoch) for epoch in range(1, 13)]


def test_two_sweeps_at_once_execute_each_run_once(tmp_path: Path) -> None:
    sweep = ("-m", *BASICS, "trainer.max_epochs=10", "seed=0,1", "sweep=mine")
    processes = [start(tmp_path, *sweep) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert read_statuses(tmp_path / "outputs" / "mine") == {"lenet-seed0": "completed", "lenet-seed1": "completed"}
    logs = [path.read_text() for path in (tmp_path / "outputs" / "mine").glob("*/run.log")]
    assert [log.count("epoch 10/10") for log in logs] == [1, 1]
    assert [process.returncode for process in processes] == [0, 0]
    assert all("2 runs: 2 completed" in output for output in outputs)


def test_run_with_other_settings_than_planned_fails_and_trains_nothing(command: Command, tmp_path: Path) -> None:
    settings = ComposedConfig.from_overrides(*SMOKE, "optimizer.lr=0.01").settings
    write_plan(tmp_path / "run", settings)
    rejected = command(*SMOKE, "optimizer.lr=0.5", "hydra.run.dir=run")
    message = "optimizer.lr=0.5: configuration changed since the sweep started; it was 0.01"
    assert (rejected.returncode, rejected.stderr) == (2, f"{message}\n")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".plan.json"]
    assert remove_plan(tmp_path / "run") == message
    write_plan(tmp_path / "run", settings)
    assert command(*SMOKE, "optimizer.lr=0.01", "hydra.run.dir=run").returncode == 0


def test_leaderboard_that_cannot_be_written_is_a_line_after_the_table(command: Command, tmp_path: Path) -> None:
    (tmp_path / "outputs" / "mine" / "leaderboard.csv").mkdir(parents=True)
    result = command("-m", *SMOKE, "seed=0", "sweep=mine")
    assert (result.returncode, result.stderr) == (1, "")
    assert "1 run: 1 completed" in result.stdout
    assert result.stdout.endswith("could not write to outputs/mine: Is a directory\n")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (f"hydra.sweep.dir={'x' * 300}", r"hydra\.sweep\.dir=x{300}: must be a shorter path; .*"),
        ("hydra.sweep.dir=file", r"hydra\.sweep\.dir=file: must be a directory; a part of the path is a file; .*"),
        ("hydra.sweep.dir=file/below", r"hydra\.sweep\.dir=file/below: must be a directory; a part of the path .*"),
        ("hydra.sweep.dir=dangling", r"hydra\.sweep\.dir=dangling: must be a directory; .*, or a link to nothing; .*"),
        ("hydra.sweep.dir=''", r"hydra\.sweep\.dir='': must be the path of a directory"),
        ("hydra.sweep.dir='a\nb'", r"hydra\.sweep\.dir='a\\nb': must not have control characters"),
    ],
)
@pytest.mark.parametrize("searched", [(), ("hydra/sweeper=optuna", "optimizer.lr=interval(0.1,1)")])
def test_sweep_in_an_impossible_directory_is_rejected_in_one_line(
    command: Command, tmp_path: Path, override: str, line: str, searched: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    rejected = command("-m", *SMOKE, *searched, override)
    assert (rejected.returncode, rejected.stdout) == (2, "")
    assert re.fullmatch(line + "\n", rejected.stderr), rejected.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"file", "dangling"}


def test_damaged_run_is_reported_and_repeated_in_another_directory(command: Command, tmp_path: Path) -> None:
    sweep = ("-m", *SMOKE, "seed=0", "sweep=mine")
    assert command(*sweep).returncode == 0
    (run,) = runs_in(tmp_path / "outputs" / "mine")
    (run / "results.json").write_text('{"status": "comp')
    result = command(*sweep)
    assert result.returncode == 0
    assert f"outputs/mine/{run.name}/results.json is damaged (not valid JSON: Unterminated string" in result.stdout
    assert read_results(run.with_name(f"{run.name}-2"))["status"] == "completed"
    assert (run / "results.json").read_text() == '{"status": "comp'


def test_run_can_be_repeated_with_its_recorded_overrides(command: Command, tmp_path: Path) -> None:
    assert command("-m", *SMOKE, "seed=3", "sweep=mine").returncode == 0
    (run,) = runs_in(tmp_path / "outputs" / "mine")
    results = read_results(run)
    assert results["overrides"] == [*SMOKE, "seed=3"]
    repeated = command(*results["overrides"], f"hydra.run.dir={run.relative_to(tmp_path)}")
    assert (repeated.returncode, repeated.stdout) == (0, f"already completed: {run.relative_to(tmp_path)}\n")
    (run / "results.json").write_text(json.dumps(results | {"status": "running"}))
    assert command(*results["overrides"], f"hydra.run.dir={run.relative_to(tmp_path)}").returncode == 0
    assert read_results(run)["status"] == "completed"


def test_output_of_parallel_runs_is_written_to_their_own_files(cold_command: Command, tmp_path: Path) -> None:
    result = cold_command("-m", *SMOKE, "seed=0,1", "sweep=mine", "hydra.launcher.jobs=2", OMP_NUM_THREADS="2")
    assert result.returncode == 0
    assert "tested epoch" not in result.stdout
    for run in runs_in(tmp_path / "outputs" / "mine"):
        assert "tested epoch 1 of 1" in (run / "console.log").read_text()
