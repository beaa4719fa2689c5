"""Measure this program against three others that train the same networks on the same images.

    python benchmarks/against_others [CASES] [--rounds 3] [--book] [--minutes 9] [--to against_others.jsonl]

The others are the loop of a notebook, a script for Lightning, and a bare loop over batches in memory: the files beside
this one. All train with the same network, optimizer, batch size and number of images, on a GPU if there is one, and
evaluate nothing. This program is started as a user would, with its defaults and `data.val_size=0`.

In each round, every program trains every case once, in a process of its own. Measured are the time of a step after the
warm-up, the time from the start of the process to the end of its first step, and the peak memory until the last step:
the peak resident memory of the process, and what its workers have for themselves. On a CPU, networks that train slowly
are timed for a few steps of an epoch, and all others for as many as an epoch has.

`--book` first trains the networks of Dive into Deep Learning with this program, at the book's sizes, for a comparison
of the images per second. `--minutes` ends the measurements after this time. Each one is appended to the file when it
is done. The tables that scripts/benchmark_tables.py makes of the file are printed at the end.
"""

import argparse
import dataclasses
import datetime
import gzip
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from workload import NUM_WARMUP_STEPS, Workload, workload_of

from cnn_experiments.runtime.environment import device_name, git_commit, versions

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA_ROOT = Path(os.environ.get("CNN_EXPERIMENTS_DATA", ROOT / "data")).absolute()
TABLES = ROOT / "scripts" / "benchmark_tables.py"
THIS_PROGRAM = "this program"
OTHERS = {
    "notebook loop": ["notebook_loop.py"],
    "Lightning script": ["lightning_script.py"],
    "bare loop, contiguous": ["bare_loop.py", "contiguous"],
    "bare loop, channels last": ["bare_loop.py", "channels_last"],
}
"""The script and first argument of each other program, in the order of a round; this program is the last one."""
SECONDS_BETWEEN_SAMPLES = 0.5
"""Time from one sample of the memory of worker processes to the next."""
NUM_BOOK_STEPS = 120


@dataclass(frozen=True)
class Case:
    """A network and a size of images."""

    overrides: list[str]
    num_warmup_steps: int = NUM_WARMUP_STEPS
    num_cpu_steps: int | None = None
    """All steps of a measurement on a CPU, and always on a GPU, are timed for an epoch if this is None."""


CASES = {
    "LeNet@28": Case(["model=lenet"]),
    "LeNet-BN@28": Case(["model=lenet_bn"]),
    "ResNet-18@28": Case(["model=resnet18"], num_warmup_steps=3, num_cpu_steps=13),
    "DenseNet@28": Case(["model=densenet"], num_warmup_steps=3, num_cpu_steps=15),
    "DenseNet@96": Case(["model=densenet", "data.resize=96"], num_warmup_steps=1, num_cpu_steps=4),
    "GoogLeNet@96": Case(["model=googlenet", "data.resize=96"], num_warmup_steps=1, num_cpu_steps=4),
}
BOOK_RECIPES = ("lenet", "lenet_bn", "alexnet", "vgg11", "nin", "googlenet", "resnet18", "densenet")


class MeasurementError(Exception):
    """A program did not print how long its steps took."""


def measurements_of_book(num_steps: int | None) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield what identifies each measurement of the book's networks, and its command."""
    for name in BOOK_RECIPES:
        recipe = f"book/sgd/{name}"
        overrides = [f"experiment={recipe}", "data.test_every_epoch=false"]
        workload = limited(workload_of(overrides, "", NUM_WARMUP_STEPS, NUM_BOOK_STEPS), num_steps)
        yield facts_of(workload) | {"recipe": recipe, "program": THIS_PROGRAM}, program_command(overrides, workload)


def measurements_of_round(
    names: list[str], data_root: str, on_cpu: bool, num_steps: int | None
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield what identifies each measurement of a round, and its command."""
    for name in names:
        case = CASES[name]
        slow = on_cpu and case.num_cpu_steps is not None
        steps = (case.num_warmup_steps, case.num_cpu_steps) if slow else (NUM_WARMUP_STEPS, None)
        workload = limited(workload_of(case.overrides, data_root, *steps), num_steps)
        facts = facts_of(workload) | {"case": name}
        argument = json.dumps(dataclasses.asdict(workload))
        for program, (script, *arguments) in OTHERS.items():
            yield facts | {"program": program}, [sys.executable, str(HERE / script), *arguments, argument]
        yield facts | {"program": THIS_PROGRAM}, program_command([*case.overrides, "data.val_size=0"], workload)


def limited(workload: Workload, num_steps: int | None) -> Workload:
    """Return the workload with this number of steps, of which the first is the warm-up."""
    return workload if num_steps is None else dataclasses.replace(workload, num_warmup_steps=1, num_steps=num_steps)


def facts_of(workload: Workload) -> dict[str, Any]:
    """Return what a table needs to know of a workload."""
    return {"batch_size": workload.batch_size, "batches_per_epoch": workload.batches_per_epoch}


def program_command(overrides: list[str], workload: Workload) -> list[str]:
    """Return the command that trains with this program, and tests one batch of the images, which is not measured.

    The training is as long as by default, because for a short one no memory format is timed; the timer ends it.
    """
    timer = [f"callbacks.step_timer.{key}={getattr(workload, key)}" for key in ("num_warmup_steps", "num_steps")]
    command = [sys.executable, "-m", "cnn_experiments", "--config-dir", str(HERE / "conf")]
    return [*command, *overrides, "trainer.limit_test_batches=1", "callbacks=step_timer", *timer]


def measure(command: list[str], seconds_left: float) -> dict[str, Any]:
    """Run a command in an empty directory, and return what it prints and the peak memory of its processes.

    Raises:
        MeasurementError: it fails, or needs more than the time that is left.
    """
    modules = os.pathsep.join([str(HERE), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile("w+") as output:
        own = {"PYTHONPATH": modules, "CNN_EXPERIMENTS_DATA": str(DATA_ROOT), "XDG_CACHE_HOME": f"{directory}/cache"}
        started = time.monotonic()
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=directory,
            env=os.environ | own,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        worker_memory = 0
        try:
            while process.poll() is None and time.monotonic() - started < seconds_left:
                worker_memory = max(worker_memory, memory_below(process.pid))
                time.sleep(SECONDS_BETWEEN_SAMPLES)
        finally:
            was_running = process.poll() is None
            if was_running:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        lines = output.read().splitlines()
    printed = [line for line in lines if line.startswith("{")]
    if process.returncode or not printed:
        problem = "no time left" if was_running else (lines[-1:] or ["no output"])[0]
        raise MeasurementError(problem)
    measurement: dict[str, Any] = json.loads(printed[0])
    measurement["memory_bytes"] += worker_memory
    return measurement


def memory_below(process: int) -> int:
    """Return the memory that the processes below one have for themselves, in bytes, and do not share with it."""
    memory = 0
    try:
        children = [
            child for file in Path(f"/proc/{process}/task").glob("*/children") for child in file.read_text().split()
        ]
        for child in map(int, children):
            rollup = Path(f"/proc/{child}/smaps_rollup").read_text()
            private = [line for line in rollup.splitlines() if line.startswith("Private_")]
            memory += sum(int(line.split()[1]) * 1024 for line in private) + memory_below(child)
    except OSError:  # a process has ended
        return memory
    return memory


def unpack_data(directory: Path) -> None:
    """Unpack the files of Fashion-MNIST where torchvision looks for them, which then neither downloads nor unpacks."""
    raw = directory / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in sorted((DATA_ROOT / "FashionMNIST" / "raw").glob("*.gz")):
        with gzip.open(archive) as packed, (raw / archive.stem).open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)


def header(device: torch.device) -> dict[str, Any]:
    """Return what the measurements were made with."""
    return {
        "command": shlex.join(["python", "benchmarks/against_others", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": device_name(device),
        "num_processors": len(os.sched_getaffinity(0)),
        "num_threads": torch.get_num_threads(),
        "commit": git_commit(),
        "versions": versions(),
    }


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASES", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--book", action="store_true", help="measure the book's networks first")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="when to end; no limit by default")
    parser.add_argument("--steps", type=int, help="steps of every measurement, to try the command")
    parser.add_argument("--to", type=Path, default=Path("against_others.jsonl"), help="the file")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - CASES.keys():
        parser.error(f"unknown cases: {', '.join(sorted(unknown))}; choose from {', '.join(CASES)}")
    if arguments.to.exists():
        parser.error(f"{arguments.to} exists: move it away, or name another file")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ends_at = time.monotonic() + 60 * arguments.minutes
    arguments.to.write_text(json.dumps(header(device)) + "\n")

    def run(facts: dict[str, Any], command: list[str]) -> None:
        if time.monotonic() >= ends_at:
            return
        try:
            measurement = facts | measure(command, ends_at - time.monotonic())
        except MeasurementError as error:
            measurement = facts | {"error": str(error)}
        with arguments.to.open("a") as file:
            file.write(json.dumps(measurement) + "\n")
        print(json.dumps(measurement), flush=True)

    if arguments.book:
        for facts, command in measurements_of_book(arguments.steps):
            run(facts, command)
    with tempfile.TemporaryDirectory() as data_root:
        unpack_data(Path(data_root))
        for number in range(1, arguments.rounds + 1):
            names = arguments.cases or list(CASES)
            for facts, command in measurements_of_round(names, data_root, device.type == "cpu", arguments.steps):
                run({"round": number} | facts, command)
    subprocess.run([sys.executable, str(TABLES), str(arguments.to)], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
