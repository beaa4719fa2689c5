"""A sweep on a real Slurm, which is set up on this machine for it and taken down again.

    python tests/sweep/slurm_on_one_machine.py FOLDER

Needs root, Debian's packages slurm-wlm and munge, this project with its extra `slurm`, and the name of this machine in
/etc/hosts. Works in FOLDER, which must not be there yet: an array of four runs, one of which is cancelled by scancel
while it trains, and the same command again, which finishes it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

SWEEP = [
    sys.executable,
    *("-m", "cnn_experiments", "-m"),
    *("data=digits", "trainer=cpu", "trainer.max_epochs=60", "optimizer=adam,sgd", "seed=0,1", "sweep=on_slurm"),
    *("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2"),
    *("hydra.launcher.timeout_min=10", "hydra.launcher.array_parallelism=2"),
]

CONFIGURATION = """
ClusterName=trial
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
SlurmctldPort={port}
SlurmdPort={next_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
NodeName={host} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=trial Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir()
    with ExitStack() as stack:
        stack.enter_context(munge())
        environment = stack.enter_context(slurm(folder / "slurm"))
        trial(folder, environment)


def trial(folder: Path, environment: dict[str, str]) -> None:
    """Two commands, with an scancel between."""
    print("--- the first command; one of its runs is cancelled while it trains", flush=True)
    first = subprocess.Popen(SWEEP, cwd=folder, env=environment)
    cancelled = cancel_one(folder / "outputs" / "on_slurm", environment)
    status = first.wait()
    print(f"--- status {status}; {cancelled.name} after {epochs(cancelled)} epochs", flush=True)
    assert status == 1
    assert results(cancelled)["status"] == "interrupted"

    print("--- the same command again", flush=True)
    status = subprocess.run(SWEEP, cwd=folder, env=environment, check=False).returncode
    print(f"--- status {status}; {cancelled.name} after {epochs(cancelled)} epochs", flush=True)
    assert status == 0
    runs = sorted((folder / "outputs" / "on_slurm").glob("*/results.json"))
    assert [json.loads(run.read_text())["status"] for run in runs] == ["completed"] * 4

    print("--- and again", flush=True)
    assert subprocess.run(SWEEP, cwd=folder, env=environment, check=False).returncode == 0


def cancel_one(sweep: Path, environment: dict[str, str]) -> Path:
    """Cancels the job of the first run that has trained an epoch."""
    deadline = time.monotonic() + 120
    while not (trained := [path.parent for path in sweep.glob("*/metrics.csv")]):
        assert time.monotonic() < deadline, "no run has begun"
        time.sleep(0.2)
    listed = subprocess.run(
        ["squeue", "--noheader", "--array", "--states=RUNNING", "--format=%i"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for job in listed:
        submitted = next(sweep.glob(f".submitit/*/{job}_submitted.pkl"))
        if trained[0].name.encode() in submitted.read_bytes():
            print(f"--- scancel {job}: {trained[0].name}", flush=True)
            subprocess.run(["scancel", job], env=environment, check=True)
            return trained[0]
    raise AssertionError(f"{trained[0].name} is not among the running jobs {listed}")


def results(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "results.json").read_text())
    return found


def epochs(run: Path) -> object:
    return results(run)["epochs"]


@contextmanager
def munge() -> Iterator[None]:
    """The service by which Slurm's processes trust each other."""
    for path in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        Path(path).mkdir(exist_ok=True)
        shutil.chown(path, "munge", "munge")
    with process(["runuser", "-u", "munge", "--", "munged", "--foreground", "--force"]):
        yield


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """A controller and a node; the environment in which commands reach them."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    configuration = CONFIGURATION.format(
        host=socket.gethostname().partition(".")[0],
        port=port,
        next_port=port + 1,
        folder=folder,
        cpus=os.cpu_count(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 1000,
    )
    (folder / "slurm.conf").write_text(configuration)
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    with process(["slurmctld", "-D"], environment, folder / "slurmctld.log"):
        time.sleep(3)
        with process(["slurmd", "-D"], environment, folder / "slurmd.log"):
            deadline = time.monotonic() + 60
            while "idle" not in subprocess.run(["sinfo"], env=environment, capture_output=True, text=True).stdout:
                assert time.monotonic() < deadline, "the node does not come up"
                time.sleep(0.5)
            subprocess.run(["sinfo"], env=environment, check=True)
            yield environment


@contextmanager
def process(command: list[str], environment: dict[str, str] | None = None, log: Path | None = None) -> Iterator[None]:
    """Runs beside what is inside, and ends with it."""
    with (log or Path(os.devnull)).open("w") as output:
        started = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            time.sleep(1)
            assert started.poll() is None, f"{command[0]} ended at once"
            yield
        finally:
            started.terminate()
            started.wait()


if __name__ == "__main__":
    main()
