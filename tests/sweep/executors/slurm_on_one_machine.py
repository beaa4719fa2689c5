"""Run a sweep on a real Slurm, which is started on this machine and stopped at the end.

    python tests/sweep/executors/slurm_on_one_machine.py DIRECTORY

It needs root, Debian's packages slurm-wlm and munge, this project with its extra `slurm`, and the name of this machine
in /etc/hosts. It creates DIRECTORY and runs an array of four runs there, one of which is cancelled by scancel while it
trains and another requeued by scontrol, and then the same command again, which completes the first.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SWEEP = [
    sys.executable,
    *("-m", "cnn_experiments", "-m"),
    *("data=digits", "trainer=cpu", "trainer.max_epochs=60", "optimizer=adam,sgd", "seed=0,1", "sweep=on_slurm"),
    *("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2"),
    *("hydra.launcher.timeout_min=10", "hydra.launcher.array_parallelism=2"),
]

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
SlurmctldPort={port}
SlurmdPort={next_port}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
NodeName={host} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def main() -> None:
    directory = Path(sys.argv[1]).absolute()
    directory.mkdir()
    with munge(), slurm(directory / "slurm") as environment:
        run_sweeps(directory, environment)


def run_sweeps(directory: Path, environment: dict[str, str]) -> None:
    """Run the sweep, in which one run is cancelled and another is requeued, and then the same sweep again."""
    sweep = directory / "outputs" / "on_slurm"
    print("--- the first command", flush=True)
    first = subprocess.Popen(SWEEP, cwd=directory, env=environment)
    cancelled = apply_to_running_job(["scancel"], sweep, environment)
    requeued = apply_to_running_job(["scontrol", "requeue"], sweep, environment, excluded_run=cancelled)
    status = first.wait()
    print(f"--- status {status}; {cancelled.name} after {num_epochs(cancelled)} epochs", flush=True)
    assert status == 1
    assert read_results(cancelled)["status"] == "interrupted"
    assert read_results(requeued)["status"] == "completed"
    log = (requeued / "run.log").read_text().splitlines()
    for message in ("interrupted by SIGTERM", "resuming after epoch"):
        lines = [line for line in log if message in line]
        assert lines, message
        print(f"--- {requeued.name}: {lines[0]}", flush=True)

    print("--- the same command again", flush=True)
    status = subprocess.run(SWEEP, cwd=directory, env=environment, check=False).returncode
    print(f"--- status {status}; {cancelled.name} after {num_epochs(cancelled)} epochs", flush=True)
    assert status == 0
    assert [read_results(file.parent)["status"] for file in sweep.glob("*/results.json")] == ["completed"] * 4

    print("--- and once more", flush=True)
    assert subprocess.run(SWEEP, cwd=directory, env=environment, check=False).returncode == 0


def apply_to_running_job(
    command: list[str], sweep: Path, environment: dict[str, str], excluded_run: Path | None = None
) -> Path:
    """Run a command with the job of a run that has trained an epoch and is running, and return that run's directory."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        jobs = subprocess.run(
            ["squeue", "--noheader", "--array", "--states=RUNNING", "--format=%i"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for job in jobs:
            submitted = next(sweep.glob(f".submitit/*/{job}_submitted.pkl")).read_bytes()
            for run in (path.parent for path in sweep.glob("*/metrics.csv")):
                is_of_job = run != excluded_run and run.name.encode() in submitted
                if is_of_job and read_results(run)["status"] == "running":
                    print(f"--- {' '.join(command)} {job}: {run.name}", flush=True)
                    subprocess.run([*command, job], env=environment, check=True)
                    return run
        time.sleep(0.2)
    raise AssertionError("no run has trained an epoch")


def read_results(run: Path) -> dict[str, object]:
    results: dict[str, object] = json.loads((run / "results.json").read_text())
    return results


def num_epochs(run: Path) -> object:
    return read_results(run)["epochs"]


@contextmanager
def munge() -> Iterator[None]:
    """Run the service by which Slurm's processes authenticate each other."""
    for path in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        Path(path).mkdir(exist_ok=True)
        shutil.chown(path, "munge", "munge")
    with running(["runuser", "-u", "munge", "--", "munged", "--foreground", "--force"]):
        yield


@contextmanager
def slurm(directory: Path) -> Iterator[dict[str, str]]:
    """Run a controller and a node; yield the environment in which commands reach them."""
    for name in ("state", "spool"):
        (directory / name).mkdir(parents=True)
    with socket.socket() as unused:
        unused.bind(("", 0))
        port = unused.getsockname()[1]
    configuration = CONFIGURATION.format(
        host=socket.gethostname().partition(".")[0],
        port=port,
        next_port=port + 1,
        directory=directory,
        cpus=os.cpu_count(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 1000,
    )
    (directory / "slurm.conf").write_text(configuration)
    environment = os.environ | {"SLURM_CONF": str(directory / "slurm.conf")}
    with running(["slurmctld", "-D"], environment, directory / "slurmctld.log"):
        time.sleep(3)
        with running(["slurmd", "-D"], environment, directory / "slurmd.log"):
            deadline = time.monotonic() + 60
            while "idle" not in subprocess.run(["sinfo"], env=environment, capture_output=True, text=True).stdout:
                assert time.monotonic() < deadline, "the node does not become idle"
                time.sleep(0.5)
            subprocess.run(["sinfo"], env=environment, check=True)
            yield environment


@contextmanager
def running(command: list[str], environment: dict[str, str] | None = None, log: Path | None = None) -> Iterator[None]:
    """Run a command in the background, and terminate it at the end."""
    with (log or Path(os.devnull)).open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            time.sleep(1)
            assert process.poll() is None, f"{command[0]} ended at once"
            yield
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
