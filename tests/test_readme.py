"""Tests of the commands and the output shown in README.md."""

import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.commands import run
from tests.conftest import ROOT, read_results

README = (ROOT / "README.md").read_text()

# Overrides that make a command short, on data that needs no download.
SHORT_RUN = ("data=digits", "trainer=smoke", "trainer.max_epochs=1", "trainer.accelerator=cpu")


@pytest.mark.parametrize(
    "arguments",
    ["task=inspect model=vgg11 data.resize=224", "-m task=inspect model=lenet,resnet18,densenet121 data.resize=96"],
)
def test_inspect_prints_the_tables_of_the_readme(tmp_path: Path, arguments: str) -> None:
    completed = run(tmp_path, *arguments.split())
    assert completed.returncode == 0, completed.stderr
    table = "\n".join(f"    {line}".rstrip() for line in completed.stdout.splitlines())
    assert f"python -m cnn_experiments {arguments}\n" in README
    assert table in README


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


def run_shortened(
    installed: Path, directory: Path, arguments: str, status: int = 0
) -> "subprocess.CompletedProcess[str]":
    """Run a command of the README with overrides that make it short."""
    return run_installed(installed, directory, ["cnn_experiments", *shlex.split(arguments), *SHORT_RUN], status)


def run_installed(
    installed: Path, directory: Path, module_and_arguments: list[str], status: int = 0
) -> "subprocess.CompletedProcess[str]":
    """Run a module of the installed package with arguments, and check its exit status."""
    module, *arguments = module_and_arguments
    completed = run(directory, *arguments, module=module, PYTHONPATH=str(installed))
    assert completed.returncode == status, completed.stderr
    return completed


def test_recipe_commands_of_the_readme_train_and_are_reported(installed: Path, tmp_path: Path) -> None:
    section = README.partition("## Recipes")[2].partition("\n## ")[0]
    one, sweep, better = re.findall(r"^    python -m cnn_experiments (.*?)(?: +#.*)?$", section, re.MULTILINE)
    for command in (one, sweep, better):
        run_shortened(installed, tmp_path, command)
    runs = [read_results(path.parent) for path in (tmp_path / "outputs").rglob("results.json")]
    assert sorted(
        (run["options"]["experiment"], run["protocol"], run["seed"], run["status"]) for run in runs
    ) == sorted(
        [
            ("best/lenet_bn", "holdout", 0, "completed"),
            ("book/sgd/lenet_bn", "book", 0, "completed"),
            *((f"book/{name}/lenet", "book", seed, "completed") for name in ("sgd", "adam") for seed in range(5)),
        ]
    )
    (report,) = re.findall(r"^    python -m (cnn_experiments.report .*)$", section, re.MULTILINE)
    output = run_installed(installed, tmp_path, report.split()).stdout.splitlines()
    assert len(output) == 13
    assert sum(line.endswith("with data=digits trainer=smoke trainer.max_epochs=1") for line in output) == 12
    assert output[-1] == "recipes with reported results but without runs: 41"


def test_recipe_of_the_user_in_the_readme_trains(installed: Path, tmp_path: Path) -> None:
    section = README.partition("## Recipes")[2].partition("\n## ")[0]
    block = re.search(r"^    # @package _global_\n(?:    .*\n)+", section, re.MULTILINE)
    (path,) = re.findall(r"`(myconf/experiment/\S+)`", section)
    (command,) = re.findall(r"`(--config-dir \S+ experiment=\S+)`", section)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(textwrap.dedent(block[0]))
    # Uses a new interpreter; the other commands are forked from a process that has imported `installed`.
    completed = subprocess.run(
        [sys.executable, "-m", "cnn_experiments", *shlex.split(command), "hydra.run.dir=run", *SHORT_RUN],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    results = read_results(tmp_path / "run")
    assert (results["protocol"], results["parameters"]) == ("book", 61_706)
    assert "lr: 0.5\n" in (tmp_path / "run" / "config.yaml").read_text()


def test_network_of_the_user_in_the_readme_trains_in_a_run_and_in_a_sweep(installed: Path, tmp_path: Path) -> None:
    section = README.partition("## Your own network, in three steps")[2].partition("\n## ")[0]
    module, option = (
        re.sub("^   ", "", block, flags=re.MULTILINE)
        for block in re.findall(r"```\w+\n(.*?)   ```", section, re.DOTALL)
    )
    (tmp_path / "mynet.py").write_text(module)
    (tmp_path / "myconf" / "model").mkdir(parents=True)
    (tmp_path / "myconf" / "model" / "mynet.yaml").write_text(option)
    commands = re.findall(r"^ +python -m cnn_experiments (.*)$", section, re.MULTILINE)
    assert len(commands) == 3

    one, sweep, inspect = commands
    run_shortened(installed, tmp_path, f"{one} hydra.run.dir=run")
    assert read_results(tmp_path / "run")["parameters"] == 64 * 9 + 64 + 64 * 10 + 10
    run_shortened(installed, tmp_path, f"{sweep} hydra.sweep.dir=sweep")
    runs = [read_results(directory) for directory in sorted((tmp_path / "sweep").glob("*-*"))]
    assert {(run["model"], run["options"]["optimizer"], run["status"]) for run in runs} == {
        (model, optimizer, "completed") for model in ("mynet", "lenet") for optimizer in ("adam", "sgd")
    }
    assert "features.0" in run_shortened(installed, tmp_path, inspect).stdout
    assert run_shortened(installed, tmp_path, one.replace("width", "widht"), status=2).stderr == (
        "model.widht=64: unknown key; keys of model: in_channels, num_classes, width; did you mean model.width?\n"
    )
    origin = subprocess.run(
        [sys.executable, "-c", "import cnn_experiments; print(cnn_experiments.__file__)"],
        env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(origin.stdout.strip()).is_relative_to(installed)


def test_search_of_the_readme_runs_and_is_reported(installed: Path, tmp_path: Path) -> None:
    section = README.partition("## Search")[2].partition("\n## ")[0]
    (search,) = re.findall(r"^    python -m cnn_experiments (-m .*)$", section, re.MULTILINE)[:1]
    output = run_shortened(installed, tmp_path, f"{search} hydra.sweeper.n_trials=1 sweep=four").stdout
    assert "1 of 1 trials: 1 completed" in output
    section = README.partition("## From a sweep to an answer")[2].partition("\n## ")[0]
    reports = re.findall(r"^    python -m (cnn_experiments.report outputs/four.*?)(?: +#.*)?$", section, re.MULTILINE)
    assert len(reports) == 3
    (tmp_path / "outputs" / "four" / "leaderboard.html").unlink()
    for report in reports[:2]:
        output = run_installed(installed, tmp_path, report.split()).stdout
        assert "digits at 28 pixels, holdout of 180, limit_val_batches 2 of 16" in output
    page = (tmp_path / "outputs" / "four" / "leaderboard.html").read_text()
    assert page.count("<svg") == 2  # the curves of a single run
