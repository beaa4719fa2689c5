"""What the tests share: configurations, finished runs, and the real images where they are at hand."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from cnn_experiments.config.hydra_errors import CONF

pytest_plugins = ["tests.stored_runs"]

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def fashion_mnist_root() -> Path:
    """The folder with the real Fashion-MNIST."""
    root = Path(os.environ.get("CNN_EXPERIMENTS_DATA", ROOT / "data")).absolute()
    if not (root / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz").exists():
        pytest.skip(f"the real Fashion-MNIST is not in {root}")
    return root


def configured(*overrides: str) -> DictConfig:
    """The configuration that a command with these overrides runs."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """Trains in this process on the digits, on one CPU; returns the run's folder."""
    from cnn_experiments.runs.directory import RunFolder
    from cnn_experiments.tasks.train import train

    def run(name: str, *overrides: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        config = configured("data=digits", "trainer=cpu", *overrides)
        train(config, RunFolder(folder), {"model": "lenet", "data": "digits"}, list(overrides))
        return folder

    return run


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Types `python -m cnn_experiments ...` in an empty folder."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cnn_experiments", *arguments],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def results_of(folder: Path) -> dict[str, Any]:
    """results.json."""
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def epochs_of(folder: Path) -> list[dict[str, str]]:
    """metrics.csv."""
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def runs_in(sweep: Path) -> list[Path]:
    """The folders of a sweep's runs."""
    return [path for path in sorted(sweep.iterdir()) if path.is_dir()]
