"""Measure how long a sweep whose runs are all completed takes to say so, and its dry run.

    python benchmarks/repeat_finished_sweep.py [--runs 1000]

Trains one run on the digits and copies it for every seed, with the settings and the identity of that seed. Prints the
seconds of the same command again, of the dry run, and of the dry run of a sweep with another name beside it.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cnn_experiments.runs.fingerprint import run_id

BASICS = ("data=digits", "trainer=smoke", "trainer.accelerator=cpu")


def run_command(cwd: Path, *arguments: str) -> tuple[float, str]:
    """Run a sweep, and return its seconds and the last line that begins with the number of runs."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "cnn_experiments", "-m", *BASICS, *arguments]
    completed = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)  # noqa: S603
    seconds = time.perf_counter() - started
    summaries = [line for line in completed.stdout.splitlines() if " runs: " in line or " runs, " in line]
    return seconds, summaries[-1] if summaries else completed.stdout.splitlines()[-1]


def copy_run(run: Path, seed: int) -> None:
    """Copy a run beside it as that of another seed."""
    results: dict[str, Any] = json.loads((run / "results.json").read_text())
    results["settings"] |= {"seed": seed, "data.seed": seed}
    results["seed"], results["identity"] = seed, run_id(results["settings"])
    results["overrides"] = [*BASICS, f"seed={seed}"]
    copy = run.with_name(f"lenet-seed{seed}-{results['identity'][:8]}")
    if copy == run:
        return
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("checkpoints"))
    (copy / "results.json").write_text(json.dumps(results, indent=1))


def main() -> None:
    """Print the seconds of three commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="number of completed runs")
    num_runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as directory:
        cwd = Path(directory)
        run_command(cwd, "seed=0")
        (run,) = (path.parent for path in cwd.glob("outputs/*/*/results.json"))
        for seed in range(num_runs):
            copy_run(run, seed)
        for name, arguments in {
            "the same command again": (),
            "once more": (),
            "dry run": ("dry_run=true",),
            "dry run with another name": ("dry_run=true", "loss.label_smoothing=0.0"),
        }.items():
            seconds, summary = run_command(cwd, f"seed=range({num_runs})", *arguments)
            print(f"{name}: {seconds:.1f} s ({summary})", flush=True)


if __name__ == "__main__":
    main()
