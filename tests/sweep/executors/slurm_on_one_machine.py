"""A sweep on a real Slurm, which is set up on this machine for it and taken down again.

    python tests/sweep/slurm_on_one_machine.py FOLDER

Needs root, Debian's packages slurm-wlm and munge, this project with its extra `slurm`, and the name of this machine in
/etc/hosts. Works in FOLDER, which must not be there yet: an array of four runs, one of which is cancelled by scancel
while it trains and another queued again by scontrol, and the same command again, which finishes it.
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
    """Two commands; in the first, one run is cancelled and another is queued again."""
    sweep = folder / "outputs" / "on_slurm"
    print("--- the first command", flush=True)
    first = subprocess.Popen(SWEEP, cwd=folder, env=environment)
    cancelled = tell_one(["scancel"], sweep, environment, besides=None)
    queued_again = tell_one(["scontrol", "requeue"], sweep, environment, besides=cancelled)
    status = first.wait()
    print(f"--- status {status}; {cancelled.name} after {epochs(cancelled)} epochs", flush=True)
    assert status == 1
    assert results(cancelled)["status"] == "interrupted"
    assert results(queued_again)["status"] == "completed"
    said = (queued_again / "run.log").read_text()
    for line in ("interrupted by SIGTERM", "goes on behind epoch"):
        assert line in said
        print(f"--- {queued_again.name}: {next(each for each in said.splitlines() if line in each)}", flush=True)

    print("--- the same command again", flush=True)
    status = subprocess.run(SWEEP, cwd=folder, env=environment, check=False).returncode
    print(f"--- status {status}; {cancelled.name} after {epochs(cancelled)} epochs", flush=True)
    assert status == 0
    runs = sorted((folder / "outputs" / "on_slurm").glob("*/results.json"))
    assert [json.loads(run.read_text())["status"] for run in runs] == ["completed"] * 4

    print("--- and again", flush=True)
    assert subprocess.run(SWEEP, cwd=folder, env=environment, check=False).returncode == 0


def tell_one(command: list[str], sweep: Path, environment: dict[str, str], besides: Path | None) -> Path:
    """Types the command on the job of a run that has trained an epoch and is at work."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        listed = subprocess.run(
            ["squeue", "--noheader", "--array", "--states=RUNNING", "--format=%i"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for job in listed:
            submitted = next(sweep.glob(f".submitit/*/{job}_submitted.pkl")).read_bytes()
            for run in (path.parent for path in sweep.glob("*/metrics.csv")):
                if run != besides and run.name.encode() in submitted and results(run)["status"] == "running":
                    print(f"--- {' '.join(command)} {job}: {run.name}", flush=True)
                    subprocess.run([*command, job], env=environment, check=True)
                    return run
        time.sleep(0.2)
    raise AssertionError("no run has begun")


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
