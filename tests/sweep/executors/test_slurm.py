"""What is asked of Slurm, and what is made of its answers; slurm_on_one_machine.py tries a real one."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cnn_experiments.errors import Refusal, RunFailedError
from cnn_experiments.runtime.signals import Interrupted, interruptible
from cnn_experiments.sweep.executors import slurm
from cnn_experiments.sweep.monitor import Watch
from cnn_experiments.sweep.run import Run

submitit = pytest.importorskip("submitit")


class Told:
    """A watch that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def started(self, run: Any) -> None:
        if "told" in run.command:
            os.kill(os.getpid(), signal.SIGTERM)

    def ended(self, run: Any, status: str, error: str) -> bool:
        self.told.append((run.name, status, error))
        return error != "Slurm: OUT_OF_MEMORY"


def program(folder: Path, name: str, script: str) -> None:
    """A command of this name."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Slurm that says what the files `states-1`, `states-2`, ... hold, one at a time."""
    program(tmp_path, "sbatch", f"cat > {tmp_path}/submitted < $1; echo Submitted batch job 7")
    program(tmp_path, "srun", "exit 1")
    program(tmp_path, "scancel", f"echo $@ >> {tmp_path}/cancelled")
    program(
        tmp_path,
        "squeue",
        f"cd {tmp_path}; echo $@ > asked; next=$(ls states-* | head -1); cat $next; [ $next = states-9 ] || rm $next",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_LOOK_EVERY", 0.01)
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


def runs(count: int, *words: str) -> list[Run]:
    return cast(
        list[Run], [SimpleNamespace(command=["x", f"seed={seed}", *words], name=f"run{seed}") for seed in range(count)]
    )


def test_an_array_is_submitted_and_watched_to_its_end(cluster: Path) -> None:
    (cluster / "states-1").write_text("7_0 RUNNING\n7_1 PENDING\n7_2 PENDING\n")
    (cluster / "states-2").write_text("7_0 COMPLETED\n7_1 TIMEOUT\n7_2 RUNNING\n")
    (cluster / "states-3").write_text("7_2 SIGNALING\n")
    (cluster / "states-9").write_text("")
    watch = Told()
    slurm.Array(cluster / "files", PARAMETERS).run(runs(3), cast(Watch, watch))
    assert watch.told == [
        ("run0", "failed", "Slurm: COMPLETED"),
        ("run1", "interrupted", "Slurm: TIMEOUT"),
        ("run2", "interrupted", "Slurm: forgotten"),
    ]
    submitted = (cluster / "submitted").read_text()
    for line in ("array=0-2%2", "partition=small", "time=30", "cpus-per-task=4", "mem=8GB", "account=mine"):
        assert f"#SBATCH --{line}\n" in submitted
    assert "--jobs=7" in (cluster / "asked").read_text()
    assert not (cluster / "cancelled").exists()


def test_what_a_run_came_to_is_read_from_its_job(cluster: Path) -> None:
    (cluster / "states-9").write_text("7_0 COMPLETED\n7_1 COMPLETED\n")
    for job, status in (("7_0", -11), ("7_1", 143)):
        (cluster / "files" / job).mkdir(parents=True)
        with (cluster / "files" / job / f"{job}_0_result.pkl").open("wb") as file:
            pickle.dump(("success", status), file)
    watch = Told()
    slurm.Array(cluster / "files", PARAMETERS).run(runs(2), cast(Watch, watch))
    assert watch.told == [("run0", "failed", "SIGSEGV"), ("run1", "interrupted", "SIGTERM")]


def test_a_signal_cancels_the_array_and_waits_for_it(cluster: Path) -> None:
    (cluster / "states-1").write_text("7 RUNNING\n")
    (cluster / "states-2").write_text("7 COMPLETING\n")
    (cluster / "states-9").write_text("7 CANCELLED\n")
    array = slurm.Array(cluster / "files", PARAMETERS)
    watch = Told()
    with interruptible(), pytest.raises(Interrupted):
        array.run(runs(1, "told"), cast(Watch, watch))
    assert (cluster / "cancelled").read_text() == "7\n"
    assert watch.told == [("run0", "interrupted", "Slurm: CANCELLED")]


def test_a_refusal_of_slurm_is_one_line(cluster: Path) -> None:
    program(cluster, "sbatch", "echo invalid partition >&2; exit 1")
    with pytest.raises(Refusal, match=r"^hydra/launcher=slurm: .*invalid partition") as refusal:
        slurm.Array(cluster / "files", PARAMETERS).run(runs(1), cast(Watch, Told()))
    assert "\n" not in str(refusal.value)


def test_an_array_ends_where_the_sweep_is_to_end(cluster: Path) -> None:
    (cluster / "states-1").write_text("7_0 OUT_OF_MEMORY\n7_1 RUNNING\n")
    (cluster / "states-9").write_text("7_1 CANCELLED\n")
    watch = Told()
    slurm.Array(cluster / "files", PARAMETERS).run(runs(2), cast(Watch, watch))
    assert watch.told == [("run0", "failed", "Slurm: OUT_OF_MEMORY"), ("run1", "interrupted", "Slurm: CANCELLED")]
    assert (cluster / "cancelled").read_text() == "7\n"


def test_a_slurm_that_does_not_answer_is_told_of(cluster: Path) -> None:
    program(cluster, "squeue", "echo no controller >&2; exit 1")
    with pytest.raises(RunFailedError, match="squeue does not answer: no controller; the runs go on without"):
        slurm.Array(cluster / "files", PARAMETERS).run(runs(1), cast(Watch, Told()))


def test_a_job_that_is_queued_again_waits_for_its_run_to_stop(tmp_path: Path) -> None:
    program = """
import signal, sys, time
from cnn_experiments.sweep.executors import slurm
slurm.PROGRAM = "stub"
def leave(*_): sys.exit(3)
signal.signal(signal.SIGUSR2, leave)
slurm.CommandJob()(["folder"])
"""
    (tmp_path / "stub.py").write_text(
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        "def stop(*_):\n    time.sleep(1)\n    Path('stopped').touch()\n    sys.exit()\n"
        "signal.signal(signal.SIGUSR2, stop)\nPath('begun').touch()\ntime.sleep(60)\n"
    )
    job = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 30
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGUSR2)  # Slurm tells all processes of a job
    assert job.wait(timeout=30) == 3
    assert (tmp_path / "stopped").exists()
    again = slurm.CommandJob().checkpoint(["folder"])
    assert (type(again.function), again.args) == (slurm.CommandJob, (["folder"],))
