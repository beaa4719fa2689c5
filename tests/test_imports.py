"""What commands import, in a process of their own: imports are most of the time that a command needs to start."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = {
    "captum",
    "lightning",
    "matplotlib",
    "onnx",
    "optuna",
    "pandas",
    "scipy",
    "sklearn",
    "timm",
    "torchmetrics",
    "torchvision",
}

RUN = """
import runpy, sys
module, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
print("imported:", *{name.partition(".")[0] for name in sys.modules})
"""

NEW_WITH_RUN = """
import sys
import lightning.pytorch
before = {name.partition(".")[0] for name in sys.modules}
import cnn_experiments.tasks.train
import cnn_experiments.training.preflight
from cnn_experiments.data import Digits
Digits(channels=1, classes=10, batch_size=8, val_size=10, test_every_epoch=False, resize=None, normalize=True, seed=0).load(True)
print("imported:", *{name.partition(".")[0] for name in sys.modules} - before)
"""


def packages_after(directory: Path, code: str, *arguments: str) -> set[str]:
    """Return the packages that a process has imported at its end."""
    command = [sys.executable, "-c", code, *arguments]
    completed = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return set(completed.stdout.splitlines()[-1].removeprefix("imported: ").split())


@pytest.mark.parametrize("argument", ["--help", "--cfg=job"])
def test_what_needs_no_network_imports_no_torch(tmp_path: Path, argument: str) -> None:
    assert not packages_after(tmp_path, RUN, "cnn_experiments", argument) & {*HEAVY, "torch"}


def test_leaderboard_on_the_terminal_imports_nothing_that_draws(tmp_path: Path) -> None:
    runs = ROOT / "docs/example_sweep"
    packages = packages_after(tmp_path, RUN, "cnn_experiments.report", str(runs), str(runs))  # two: none is written to
    assert not packages & {*HEAVY, "torch"}


def test_run_imports_little_beside_lightning(tmp_path: Path) -> None:
    assert not packages_after(tmp_path, NEW_WITH_RUN) & HEAVY
