"""Tests of the Slurm executor with stubs of Slurm's programs; slurm_on_one_machine.py runs a real Slurm."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.signals import Interrupted, interruptible
from cnn_experiments.sweep.executors import slurm
from cnn_experiments.sweep.plan import PlannedRun

submitit = pytest.importorskip("submitit")


class RecordingObserver:
    """An observer that records its calls, and ends the sweep at the first run that is out of memory.

    Args:
        signal_at_start: A signal to send to this process when a run starts.
    """

    def __init__(self, signal_at_start: signal.Signals | None = None) -> None:
        self.starts: list[str] = []
        self.ends: list[tuple[str, Status, str | None]] = []
        self._signal_at_start = signal_at_start

    def on_launch(self) -> None:
        self.starts.append("launch")

    def on_start(self, run: PlannedRun) -> None:
        self.starts.append(run.directory.name)
        if self._signal_at_start:
            os.kill(os.getpid(), self._signal_at_start)

    def on_skip(self, run: PlannedRun) -> None:
        raise AssertionError("a job is not skipped")

    def on_end(
        self,
        run: PlannedRun,
        status: Status,
        *,
        error: str | None = None,
        signal: str | None = None,
        is_rejected: bool = False,
    ) -> bool:
        assert error is None or signal is None
        self.ends.append((run.directory.name, status, error or signal))
        return error != "Slurm: OUT_OF_MEMORY"

    def runs_to_stop(self) -> list[PlannedRun]:
        return []


def write_program(directory: Path, name: str, script: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with stubs of Slurm, whose squeue prints the files `states-1`, `states-2`, ... in turn."""
    write_program(tmp_path, "sbatch", f"cat > {tmp_path}/submitted < $1; echo Submitted batch job 7")
    write_program(tmp_path, "srun", "exit 1")
    write_program(tmp_path, "scancel", f"echo $@ >> {tmp_path}/cancelled")
    write_program(
        tmp_path,
        "squeue",
        f"cd {tmp_path}; echo $@ > squeue-arguments; next=$(ls states-* | head -1); cat $next; [ $next = states-9 ] || rm $next",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_POLL_SECONDS", 0.01)
    return tmp_path


PARAMETERS = {
    "partition": "small",
    "timeout_min": 30,
    "max_num_timeout": 3,
    "array_parallelism": 2,
    "cpus_per_task": 4,
    "gpus_per_node": None,
    "mem_gb": 8,
    "additional_parameters": {"account": "mine"},
}


def make_runs(sweep: Path, count: int) -> list[PlannedRun]:
    return cast(
        list[PlannedRun],
        [
            SimpleNamespace(argv=["program", f"seed={seed}"], directory=sweep / f"run{seed}", write_plan=lambda: None)
            for seed in range(count)
        ],
    )


def test_array_is_submitted_and_watched_until_all_jobs_have_ended(
    cluster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cluster / "states-1").write_text("7_0 RUNNING\n7_1 PENDING\n7_2 PENDING\n")
    (cluster / "states-2").write_text("7_0 COMPLETED\n7_1 TIMEOUT\n7_2 RUNNING\n")
    (cluster / "states-3").write_text("7_2 SIGNALING\n")
    (cluster / "states-9").write_text("")
    observer = RecordingObserver()
    slurm.SlurmExecutor(**PARAMETERS).run(make_runs(cluster, 3), observer)
    assert observer.starts == ["launch", "run0", "run1", "run2"]
    assert observer.ends == [
        ("run0", "failed", "Slurm: COMPLETED"),
        ("run1", "interrupted", "Slurm: TIMEOUT"),
        ("run2", "interrupted", "Slurm: job no longer known to squeue"),
    ]
    submitted = (cluster / "submitted").read_text()
    for line in ("array=0-2%2", "partition=small", "time=30", "cpus-per-task=4", "mem=8GB", "account=mine"):
        assert f"#SBATCH --{line}\n" in submitted
    assert "--jobs=7" in (cluster / "squeue-arguments").read_text()
    assert not (cluster / "cancelled").exists()
    output = capsys.readouterr().out
    assert output == f"Slurm array 7; the output of its jobs is in {cluster / '.submitit'}\n"


def test_exit_code_of_a_run_is_read_from_its_job(cluster: Path) -> None:
    (cluster / "states-9").write_text("7_0 COMPLETED\n7_1 COMPLETED\n")
    for job, exit_code in (("7_0", -11), ("7_1", 143)):
        job_directory = cluster / ".submitit" / job
        job_directory.mkdir(parents=True)
        with (job_directory / f"{job}_0_result.pkl").open("wb") as file:
            pickle.dump(("success", exit_code), file)
    observer = RecordingObserver()
    slurm.SlurmExecutor(**PARAMETERS).run(make_runs(cluster, 2), observer)
    assert observer.ends == [("run0", "failed", "SIGSEGV"), ("run1", "interrupted", "SIGTERM")]


def test_signal_cancels_the_array_and_waits_for_its_end(cluster: Path) -> None:
    (cluster / "states-1").write_text("7 RUNNING\n")
    (cluster / "states-2").write_text("7 COMPLETING\n")
    (cluster / "states-9").write_text("7 CANCELLED\n")
    observer = RecordingObserver(signal_at_start=signal.SIGTERM)
    with interruptible(), pytest.raises(Interrupted):
        slurm.SlurmExecutor(**PARAMETERS).run(make_runs(cluster, 1), observer)
    assert (cluster / "cancelled").read_text() == "7\n"
    assert observer.ends == [("run0", "interrupted", "Slurm: CANCELLED")]


def test_signal_during_the_submission_is_raised_after_the_starts_are_reported(cluster: Path) -> None:
    write_program(cluster, "sbatch", "kill -INT $PPID; echo Submitted batch job 7")
    (cluster / "states-9").write_text("7_0 CANCELLED\n7_1 CANCELLED\n")
    observer = RecordingObserver()
    with interruptible(), pytest.raises(Interrupted):
        slurm.SlurmExecutor(**PARAMETERS).run(make_runs(cluster, 2), observer)
    assert observer.starts == ["launch", "run0", "run1"]
    assert (cluster / "cancelled").read_text() == "7\n"
    assert observer.ends == [(run, "interrupted", "Slurm: CANCELLED") for run in ("run0", "run1")]


@pytest.mark.usefixtures("default_hangup")
def test_lost_terminal_leaves_the_jobs_running(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cluster / "states-9").write_text("7 RUNNING\n")
    monkeypatch.setattr("cnn_experiments.runtime.signals.SIGNALS", (signal.SIGHUP,))
    with interruptible(), pytest.raises(Interrupted):
        slurm.SlurmExecutor(**PARAMETERS).run(make_runs(cluster, 1), RecordingObserver(signal.SIGHUP))
    assert not (cluster / "cancelled").exists()


def test_rejection_by_slurm_is_reported_in_one_line(cluster: Path) -> None:
    write_program(cluster, "sbatch", "echo invalid partition >&2; exit 1")
    config = cast(
        ComposedConfig,
        SimpleNamespace(overrides=[], hydra_overrides=[], settings={"seed": 1}),
    )
    observer = RecordingObserver()
    with pytest.raises(ConfigError, match=r"^hydra/launcher=slurm: .*invalid partition") as error:
        slurm.SlurmExecutor(**PARAMETERS).run([PlannedRun(config, cluster / "run")], observer)
    assert "\n" not in str(error.value)
    assert observer.starts == []
    assert not (cluster / "run").exists()


def test_array_is_cancelled_if_the_sweep_is_to_stop(cluster: Path) -> None:
    (cluster / "states-1").write_text("7_0 OUT_OF_MEMORY\n7_1 RUNNING\n")
    (cluster / "states-9").write_text("7_1 CANCELLED\n")
    observer = RecordingObserver()
    slurm.SlurmExecutor(**PARAMETERS).run(make_runs(cluster, 2), observer)
    assert observer.ends == [("run0", "failed", "Slurm: OUT_OF_MEMORY"), ("run1", "interrupted", "Slurm: CANCELLED")]
    assert (cluster / "cancelled").read_text() == "7\n"


def test_slurm_that_does_not_answer_is_an_error(cluster: Path) -> None:
    write_program(cluster, "squeue", "echo no controller >&2; exit 1")
    message = "squeue does not answer: no controller; the runs continue without this sweep"
    with pytest.raises(RunFailedError, match=f"^{message}$"):
        slurm.SlurmExecutor(**PARAMETERS).run(make_runs(cluster, 1), RecordingObserver())


def test_requeued_job_waits_until_its_run_has_stopped(tmp_path: Path) -> None:
    program = """
import signal, sys, time
from cnn_experiments.sweep.executors import slurm
slurm.PROGRAM = "stub"
def leave(*_): sys.exit(3)
signal.signal(signal.SIGUSR2, leave)
slurm.CommandJob()(["seed=0"])
"""
    (tmp_path / "stub.py").write_text(
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        "def stop(*_):\n    time.sleep(1)\n    Path('stopped').touch()\n    sys.exit()\n"
        "signal.signal(signal.SIGUSR2, stop)\nPath('started').touch()\ntime.sleep(600)\n"
    )
    job = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 600
    while not (tmp_path / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGUSR2)  # Slurm sends the signal to all processes of a job
    assert job.wait() == 3
    assert (tmp_path / "stopped").exists()
    requeued = slurm.CommandJob().checkpoint(["seed=0"])
    assert (type(requeued.function), requeued.args) == (slurm.CommandJob, (["seed=0"],))
