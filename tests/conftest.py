"""Fixtures and helpers that the tests share: composed settings, trained runs, commands and the real Fashion-MNIST."""

import csv
import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.sources import CONF, find_options
from tests import commands

pytest_plugins = ["tests.stored_runs"]

ROOT = Path(__file__).parents[1]

PUBLISHED_DATA = [option for option in find_options("data", [CONF]) if option not in ("arrays", "folder")]
"""The options of `data` that need no images of the user."""


DATA_ROOT = Path(os.environ.get("CNN_EXPERIMENTS_DATA", ROOT / "data")).absolute()
HAS_FASHION_MNIST = (DATA_ROOT / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz").exists()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let all commands of the tests share a cache, which is not that of the user."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def default_hangup() -> Iterator[None]:
    """Let SIGHUP arrive, which is ignored if nohup has started the tests."""
    handler = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, handler)


@pytest.fixture(scope="session")
def fashion_mnist_root() -> Path:
    """Return the directory of the real Fashion-MNIST; tests that need it are skipped if it is missing."""
    if not HAS_FASHION_MNIST:
        pytest.skip(f"the real Fashion-MNIST is not in {DATA_ROOT}")
    return DATA_ROOT


def compose_settings(*overrides: str) -> dict[str, Any]:
    """Return all settings of a command with these overrides, nested."""
    return ComposedConfig.from_overrides(*overrides).settings


def train_in(directory: Path, *overrides: str) -> Path:
    """Train on the digits in this process, on one CPU, and return the run directory."""
    from cnn_experiments.runs.directory import RunDirectory
    from cnn_experiments.tasks.train import train

    directory.mkdir(exist_ok=True)
    train([ComposedConfig.from_overrides("data=digits", "trainer=cpu", *overrides)], RunDirectory(directory))
    return directory


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that trains in a directory with the given name, and returns its path."""

    def run(name: str, *overrides: str) -> Path:
        return train_in(tmp_path / name, *overrides)

    return run


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python -m cnn_experiments` in an empty directory, forked from the command server."""
    return functools.partial(commands.run, tmp_path)


@pytest.fixture
def cold_command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python -m cnn_experiments` in an empty directory, in a new interpreter."""

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


def read_results(run: Path) -> dict[str, Any]:
    """Return the content of results.json of a run."""
    results: dict[str, Any] = json.loads((run / "results.json").read_text())
    return results


def read_epochs(run: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv of a run, one per epoch."""
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def runs_in(sweep: Path) -> list[Path]:
    """Return the run directories of a sweep, sorted by name."""
    return [path for path in sorted(sweep.iterdir()) if path.is_dir()]
