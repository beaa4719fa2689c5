"""Tests that the network of README.md works with the package as it is installed: from its wheel, in another directory."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import run
from tests.conftest import ROOT, read_results
from tests.docs.pages import blocks_of
from tests.docs.test_commands import SHORT_RUN

README = ROOT / "README.md"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with this package alone, installed from its wheel."""
    directory = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", directory / "wheel", ROOT], check=True)
    (wheel,) = (directory / "wheel").iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", directory / "packages", wheel], check=True)
    return directory / "packages"


@pytest.fixture
def user_directory(tmp_path: Path) -> Path:
    """Return a directory with the files of the README, in which its commands are typed."""
    for block in blocks_of(README):
        if block.file_name:
            (tmp_path / block.file_name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file_name).write_text(block.text)
    return tmp_path


def run_installed(installed: Path, directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the installed program on the digits, shortened."""
    return run(directory, *arguments, "data=digits", *SHORT_RUN, PYTHONPATH=str(installed))


def test_installed_package_is_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    program = "import cnn_experiments; print(cnn_experiments.__file__)"
    environment = {"PYTHONPATH": str(installed)}
    origin = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert Path(origin.stdout.strip()).is_relative_to(installed)


def test_network_of_the_user_trains_in_a_sweep(installed: Path, user_directory: Path) -> None:
    (command,) = [
        command.text
        for block in blocks_of(README)
        if block.is_run
        for command in block.commands
        if "model=mynet" in command.text
    ]
    arguments = command.removeprefix("python -m cnn_experiments ").split()
    completed = run_installed(installed, user_directory, *arguments, "hydra.sweep.dir=sweep")
    assert completed.returncode == 0, completed.stderr
    runs = [read_results(directory) for directory in sorted((user_directory / "sweep").glob("*-*"))]
    assert {(run["model"], run["options"]["optimizer"], run["status"]) for run in runs} == {
        (model, optimizer, "completed") for model in ("mynet", "lenet") for optimizer in ("adam", "sgd")
    }
    parameters = {run["parameters"] for run in runs if run["model"] == "mynet"}
    assert parameters == {32 * 9 + 32 + 32 * 10 + 10}


def test_misspelled_setting_of_the_network_is_rejected(installed: Path, user_directory: Path) -> None:
    arguments = ("--config-dir", "myconf", "model=mynet", "model.widht=64")
    completed = run_installed(installed, user_directory, *arguments)
    assert (completed.returncode, completed.stderr) == (
        2,
        "model.widht=64: unknown key; keys of model: in_channels, num_classes, width; did you mean model.width?\n",
    )
