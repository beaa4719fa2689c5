"""Sweeps as a user types them, in processes of their own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import epochs_of, results_of, runs_in

Command = Callable[..., "subprocess.CompletedProcess[str]"]

BASICS = ("data=digits", "trainer.accelerator=cpu")
SMOKE = (*BASICS, "trainer=smoke")

MODULE = '''
import os
import signal
import sys
from pathlib import Path

from torch import nn

ENDS = {
    "well": lambda: None,
    "raise": lambda: 1 / 0,
    "exit": lambda: sys.exit(0),
    "gone": lambda: os._exit(7),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "memory": lambda: bytearray(1 << 60),
    "mended": lambda: Path("mended").stat(),
}


class Ending(nn.Module):
    """A linear network that ends its process in the second epoch, in the way that is asked for."""

    def __init__(self, in_channels, num_classes, how):
        super().__init__()
        self.features = nn.Flatten()
        self.head = nn.Linear(784 * in_channels, num_classes)
        self.how, self.steps = how, 0

    def forward(self, x):
        self.steps += self.training and len(x) > 2
        if self.steps == 30:
            ENDS[self.how]()
        return self.head(self.features(x))
'''
OPTION = """
_target_: ending.Ending
in_channels: ${data.channels}
num_classes: ${data.classes}
how: well
"""
ENDING = ("--config-dir", "conf", "-m", *BASICS, "model=ending", "trainer.max_epochs=2", "sweep=endings")


@pytest.fixture
def ending(tmp_path: Path) -> None:
    """A network of the user's own."""
    (tmp_path / "ending.py").write_text(MODULE)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "ending.yaml").write_text(OPTION)


def standing(sweep: Path) -> dict[str, str]:
    """Status of each run by its name without the hash."""
    return {path.parent.name[:-9]: results_of(path.parent)["status"] for path in sorted(sweep.glob("*/results.json"))}


def written(sweep: Path) -> dict[Path, int]:
    """When results were last written."""
    return {path: path.stat().st_mtime_ns for path in sweep.glob("*/results.json")}


def comparable(run: Path) -> dict[str, Any]:
    """What is the same in a run that was interrupted and in one that was not."""
    results = results_of(run)
    kept = {
        key: results[key] for key in ("status", "identity", "metrics", "epochs", "tested_epoch", "overrides", "seed")
    }
    speed = ("train/images_per_second",)
    return kept | {"epochs": [{k: v for k, v in row.items() if k not in speed} for row in epochs_of(run)]}


def start(cwd: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The command, which goes on in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "cnn_experiments", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # several at once would wait for each other's threads
    )


def until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Waits for something to be there."""
    deadline = time.monotonic() + seconds
    while not (it := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return it


def epochs_in(sweep: Path) -> int:
    """How many all runs have behind them."""
    return sum(results_of(path.parent)["epochs"] for path in sweep.glob("*/results.json"))


@pytest.mark.usefixtures("ending")
def test_a_sweep_survives_whatever_ends_its_runs(command: Command, tmp_path: Path) -> None:
    first = command(*ENDING, "model.how=raise,exit,gone,kill,memory,mended,well", "hydra.launcher.jobs=2")
    sweep = tmp_path / "outputs" / "endings"
    assert (first.returncode, first.stderr) == (1, "")
    assert standing(sweep) == {"ending-howwell": "completed"} | {
        f"ending-how{how}": "failed" for how in ("raise", "exit", "gone", "kill", "memory", "mended")
    }
    reasons = {
        "raise": "ZeroDivisionError: division by zero",
        "exit": "SystemExit: 0",
        "gone": "its process ended with status 7",
        "kill": "killed by SIGKILL (out of memory?)",
        "memory": "MemoryError:",
        "mended": "FileNotFoundError: [Errno 2] No such file or directory: 'mended'",
    }
    for how, reason in reasons.items():
        row = re.search(rf"│ ending-how{how}-\w+ +│ failed +│ .* │ (.*?) +│$", first.stdout, re.MULTILINE)
        assert row is not None
        assert row[1] == reason
    assert "7 runs: 6 failed, 1 completed" in first.stdout
    log = next(sweep.glob("ending-howraise-*/run.log")).read_text()
    assert "Traceback" in log
    assert "ZeroDivisionError: division by zero" in log

    (tmp_path / "mended").touch()
    before = written(sweep)
    assert command(*ENDING, "model.how=raise,mended,well").returncode == 1
    assert written(sweep) == before
    again = command(*ENDING, "model.how=mended,well", "retry_failed=true")
    assert again.returncode == 0, again.stdout
    mended = next(sweep.glob("ending-howmended-*"))
    assert [row["epoch"] for row in epochs_of(mended)] == ["1", "2"]
    assert "FileNotFoundError" in (mended / "run.log").read_text()
    assert len(runs_in(sweep)) == 7


@pytest.mark.usefixtures("ending")
def test_a_sweep_can_end_at_the_first_failure(command: Command, tmp_path: Path) -> None:
    done = command(*ENDING, "model.how=raise,well", "on_error=stop")
    assert done.returncode == 1
    assert standing(tmp_path / "outputs" / "endings") == {"ending-howraise": "failed"}
    assert "2 runs: 1 failed, 1 not run" in done.stdout


def test_a_sweep_does_what_is_missing_and_nothing_twice(command: Command, tmp_path: Path) -> None:
    done = command("-m", *SMOKE, "model=lenet,lenet_bn", "optimizer=adam", "seed=0,0")
    assert (done.returncode, done.stderr) == (0, "")
    sweep = tmp_path / "outputs" / "model-data-optimizer-seed"
    assert standing(sweep) == {"lenet-seed0": "completed", "lenet_bn-seed0": "completed"}
    before = written(sweep)

    planned = command("-m", *SMOKE, "model=lenet,lenet_bn", "optimizer=adam,sgd", "seed=0", "dry_run=true")
    assert (planned.returncode, planned.stderr) == (0, "")
    rows = re.findall(r"│ (\S+)-\w{8} +│ (\w+(?: \w+)?) +│ +(.*?) │", planned.stdout)
    assert [row[:2] for row in rows] == [
        ("lenet-seed0", "completed"),
        ("lenet-sgd", "not run"),
        ("lenet_bn-seed0", "completed"),
        ("lenet_bn-sgd", "not run"),
    ]
    assert re.search(r"^4 runs, 2 to do: about \d+ s$", planned.stdout, re.MULTILINE)
    assert written(sweep) == before

    more = command("-m", *SMOKE, "optimizer=adam,sgd", "model=lenet,lenet_bn", "seed=0")
    assert (more.returncode, more.stderr) == (0, "")
    assert {path: written(sweep)[path] for path in before} == before
    assert len(written(sweep)) == 4
    assert more.stdout.count(" completed val/acc") == 2

    same = command("-m", *SMOKE, "optimizer=adam,sgd", "model=lenet,lenet_bn", "seed=0")
    assert (same.returncode, same.stderr) == (0, "")
    assert "4 runs: 4 completed" in same.stdout
    assert len(written(sweep)) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


def test_impossible_combinations_are_left_out_where_that_is_asked_for(command: Command, tmp_path: Path) -> None:
    sweep = ("-m", *SMOKE, "model=lenet,alexnet", "data.resize=28,fast", "sweep=mine")
    refused = command(*sweep)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "data.resize=fast: must be a whole number of 1 or more or null "
        f"(in {' '.join(SMOKE)} model=lenet data.resize=fast); 1 more can't work; on_impossible=drop leaves that out\n"
    )
    assert list(tmp_path.iterdir()) == []
    done = command(*sweep, "on_impossible=drop")
    assert (done.returncode, done.stderr) == (0, "")
    assert standing(tmp_path / "outputs" / "mine") == {"lenet-resize28": "completed"}
    left_out = [line for line in done.stdout.splitlines() if line.startswith("left out: ")]
    assert len(left_out) == 3
    assert "takes images of 67 pixels or more, these have 28" in left_out[2]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["dry_run=true"], "dry_run=true: is for a sweep, which needs -m"),
        (["sweep=mine"], "sweep=mine: is for a sweep, which needs -m"),
        (["hydra.launcher.jobs=2"], r"hydra\.launcher\.jobs=2: is for a sweep, which needs -m"),
        (["-m", "model=lenet,null"], "model=lenet,null: must name an option of that group"),
        (
            ["-m", "hydra/launcher=slurm", "hydra.launcher.timeout_min=1h"],
            r"hydra\.launcher\.timeout_min=1h: must be a whole number of 1 or more",
        ),
        (["-m", "seed=${nope}"], r"Interpolation key 'nope' not found .*\(in seed=.*nope.*\)"),
        (
            ["-m", "hydra/launcher=joblib", "on_error=stop"],
            "on_error=stop: must be continue with hydra/launcher=joblib; local and slurm can stop",
        ),
        (["-m", "on_error=stop,continue"], "on_error=stop,continue: must be one value, for the sweep as a whole"),
        (["-m", "seed=0,1", "hydra.launcher.jobs=0"], "hydra.launcher.jobs=0: must be a whole number of 1 or more"),
        (
            ["-m", "seed=0", "on_error=stp"],
            r"on_error=stp: must be one of continue, stop; the nearest is stop",
        ),
        (["-m", "seed=0", "sweep=a/b"], r"sweep=a/b: must be null or letters, digits, .*"),
        (["-m", "seed=0", "hydra/launcher=slurm"], "hydra/launcher=slurm: .*"),
    ],
)
def test_settings_of_a_sweep_are_checked(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no Slurm there
    refused = command(*arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(line + "\n", refused.stderr), refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "status", "jobs"), [(signal.SIGTERM, 143, 1), (signal.SIGINT, 130, 2)])
def test_an_interrupted_sweep_goes_on_exactly(
    command: Command, tmp_path: Path, number: signal.Signals, status: int, jobs: int
) -> None:
    sweep = ("-m", *BASICS, "model=lenet_bn", "data.augment=crop_flip", "trainer.max_epochs=4", "seed=0,1,2")
    at_once = f"hydra.launcher.jobs={jobs}"
    process = start(tmp_path, *sweep, at_once, "sweep=interrupted")
    interrupted = tmp_path / "outputs" / "interrupted"
    until(lambda: epochs_in(interrupted) >= 5)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status
    statuses = list(standing(interrupted).values())
    assert statuses.count("interrupted") >= 1
    assert "running" not in statuses
    assert f"by {number.name}" in output
    for path in interrupted.glob("*/results.json"):
        if results_of(path.parent)["status"] == "interrupted":
            assert results_of(path.parent)["error"] == number.name

    done = command(*sweep, at_once, "sweep=interrupted", OMP_NUM_THREADS="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert command(*sweep, at_once, "sweep=undisturbed", OMP_NUM_THREADS="1").returncode == 0
    for run in runs_in(tmp_path / "outputs" / "undisturbed"):
        assert comparable(interrupted / run.name) == comparable(run)
    assert len(runs_in(interrupted)) == 3


def test_runs_end_with_their_sweep_where_it_is_killed(command: Command, tmp_path: Path) -> None:
    sweep = ("-m", *BASICS, "model=lenet_bn", "trainer.max_epochs=12", "seed=0", "sweep=mine")
    process = start(tmp_path, *sweep)
    folder = tmp_path / "outputs" / "mine"
    until(lambda: epochs_in(folder) >= 2)
    process.kill()
    process.communicate()
    until(lambda: list(standing(folder).values()) == ["interrupted"])
    assert command(*sweep).returncode == 0
    (run,) = runs_in(folder)
    assert [row["epoch"] for row in epochs_of(run)] == [str(epoch) for epoch in range(1, 13)]


def test_two_sweeps_at_once_do_no_run_twice(tmp_path: Path) -> None:
    sweep = ("-m", *BASICS, "trainer.max_epochs=10", "seed=0,1", "sweep=mine")
    both = [start(tmp_path, *sweep) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert standing(tmp_path / "outputs" / "mine") == {"lenet-seed0": "completed", "lenet-seed1": "completed"}
    logs = [path.read_text() for path in (tmp_path / "outputs" / "mine").glob("*/run.log")]
    assert [log.count("epoch 10/10") for log in logs] == [1, 1]
    assert any("2 runs: 2 completed" in output for output in outputs)


def test_a_damaged_run_is_named_and_done_elsewhere(command: Command, tmp_path: Path) -> None:
    sweep = ("-m", *SMOKE, "seed=0", "sweep=mine")
    assert command(*sweep).returncode == 0
    (run,) = runs_in(tmp_path / "outputs" / "mine")
    (run / "results.json").write_text('{"status": "comp')
    done = command(*sweep)
    assert done.returncode == 0
    assert f"outputs/mine/{run.name}/results.json is damaged; that run is not counted" in done.stdout
    assert results_of(run.with_name(f"{run.name}-2"))["status"] == "completed"
    assert (run / "results.json").read_text() == '{"status": "comp'


def test_a_runs_command_can_be_typed_again(command: Command, tmp_path: Path) -> None:
    assert command("-m", *SMOKE, "seed=3", "sweep=mine").returncode == 0
    (run,) = runs_in(tmp_path / "outputs" / "mine")
    results = results_of(run)
    assert results["overrides"] == [*SMOKE, "seed=3"]
    refused = command(*results["overrides"], f"hydra.run.dir={run.relative_to(tmp_path)}")
    assert refused.returncode == 2
    assert refused.stderr.endswith(": must be a new folder; this same run is complete in this one\n")
    (run / "results.json").write_text(json.dumps(results | {"status": "running"}))
    assert command(*results["overrides"], f"hydra.run.dir={run.relative_to(tmp_path)}").returncode == 0
    assert results_of(run)["status"] == "completed"


def test_jobs_print_into_their_folders_where_several_run(command: Command, tmp_path: Path) -> None:
    done = command("-m", *SMOKE, "seed=0,1", "sweep=mine", "hydra.launcher.jobs=2", OMP_NUM_THREADS="2")
    assert done.returncode == 0
    assert "tested epoch" not in done.stdout
    for run in runs_in(tmp_path / "outputs" / "mine"):
        assert "tested epoch 1 of 1" in (run / "console.log").read_text()
