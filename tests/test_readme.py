"""What the README shows is what there is."""

import os
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import ROOT, results_of

README = (ROOT / "README.md").read_text()


def test_the_table_of_networks_is_up_to_date() -> None:
    networks = runpy.run_path(str(ROOT / "scripts" / "update_model_table.py"))
    assert networks["TABLE"].search(README)[0] == networks["model_table"]()
    options = {f"model={path.stem}" for path in (ROOT / "conf" / "model").glob("*.yaml")}
    assert options == {command.partition(" ")[0] for command in networks["COMMANDS"]}


@pytest.mark.parametrize(
    "arguments",
    ["task=inspect model=vgg11 data.resize=224", "-m task=inspect model=lenet,resnet18,densenet121 data.resize=96"],
)
def test_networks_are_printed_as_shown(arguments: str) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "cnn_experiments", *arguments.split()], capture_output=True, text=True, check=True
    ).stdout
    shown = "\n".join(f"    {line}".rstrip() for line in printed.splitlines())
    assert f"python -m cnn_experiments {arguments}\n" in README
    assert shown in README


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this package alone, from its wheel."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", folder / "wheel", ROOT], check=True)
    (wheel,) = (folder / "wheel").iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", folder / "packages", wheel], check=True)
    return folder / "packages"


def shortened(installed: Path, folder: Path, arguments: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
    """As typed, but for a moment and on data that needs no download."""
    moment = ["data=digits", "trainer=smoke", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
    return python(installed, folder, ["cnn_experiments", *shlex.split(arguments), *moment], status)


def python(installed: Path, folder: Path, words: list[str], status: int = 0) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done


def test_recipes_as_shown(installed: Path, tmp_path: Path) -> None:
    section = README.partition("## Recipes")[2].partition("\n## ")[0]
    one, sweep, better = re.findall(r"^    python -m cnn_experiments (.*?)(?: +#.*)?$", section, re.MULTILINE)
    for command in (one, sweep, better):
        shortened(installed, tmp_path, command)
    found = [results_of(path.parent) for path in (tmp_path / "outputs").rglob("results.json")]
    assert sorted(
        (run["options"]["experiment"], run["protocol"], run["seed"], run["status"]) for run in found
    ) == sorted(
        [
            ("best/lenet_bn", "holdout", 0, "completed"),
            ("book/sgd/lenet_bn", "book", 0, "completed"),
            *((f"book/{name}/lenet", "book", seed, "completed") for name in ("sgd", "adam") for seed in range(5)),
        ]
    )
    (report,) = re.findall(r"^    python -m (cnn_experiments.report .*)$", section, re.MULTILINE)
    said = python(installed, tmp_path, report.split()).stdout.splitlines()
    assert len(said) == 13
    assert sum(line.endswith("with data=digits trainer=smoke trainer.max_epochs=1") for line in said) == 12
    assert said[-1] == "recipes with reported results but without runs: 41"


def test_a_recipe_of_ones_own_as_shown(installed: Path, tmp_path: Path) -> None:
    section = README.partition("## Recipes")[2].partition("\n## ")[0]
    block = re.search(r"^    # @package _global_\n(?:    .*\n)+", section, re.MULTILINE)
    (path,) = re.findall(r"`(myconf/experiment/\S+)`", section)
    (command,) = re.findall(r"`(--config-dir \S+ experiment=\S+)`", section)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(textwrap.dedent(block[0]))
    shortened(installed, tmp_path, f"{command} hydra.run.dir=run")
    results = results_of(tmp_path / "run")
    assert (results["protocol"], results["parameters"]) == ("book", 61_706)
    assert "lr: 0.5\n" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_network_of_ones_own_in_three_steps(installed: Path, tmp_path: Path) -> None:
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

    def run(arguments: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
        return shortened(installed, tmp_path, f"{arguments} hydra.run.dir=run hydra.sweep.dir=sweep", status)

    one, sweep, inspect = commands
    run(one)
    assert results_of(tmp_path / "run")["parameters"] == 64 * 9 + 64 + 64 * 10 + 10
    run(sweep)
    swept = [results_of(folder) for folder in sorted((tmp_path / "sweep").glob("*-*"))]
    assert {(run["model"], run["options"]["optimizer"], run["status"]) for run in swept} == {
        (model, optimizer, "completed") for model in ("mynet", "lenet") for optimizer in ("adam", "sgd")
    }
    assert "features.0" in run(inspect).stdout
    assert run(one.replace("width", "widht"), status=2).stderr == (
        "model.widht=64: there is no such setting; allowed in model: in_channels, num_classes, width; "
        "the nearest is model.width\n"
    )
    origin = subprocess.run(
        [sys.executable, "-c", "import cnn_experiments; print(cnn_experiments.__file__)"],
        env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(origin.stdout.strip()).is_relative_to(installed)


def test_a_search_and_its_report_as_shown(installed: Path, tmp_path: Path) -> None:
    section = README.partition("## Search")[2].partition("\n## ")[0]
    (search,) = re.findall(r"^    python -m cnn_experiments (-m .*)$", section, re.MULTILINE)[:1]
    said = shortened(installed, tmp_path, f"{search} hydra.sweeper.n_trials=1 sweep=four").stdout
    assert "1 of 1 trials: 1 completed" in said
    section = README.partition("## From a sweep to an answer")[2].partition("\n## ")[0]
    reports = re.findall(r"^    python -m (cnn_experiments.report outputs/four.*?)(?: +#.*)?$", section, re.MULTILINE)
    assert len(reports) == 3
    (tmp_path / "outputs" / "four" / "leaderboard.html").unlink()
    for report in reports[:2]:
        said = python(installed, tmp_path, report.split()).stdout
        assert "digits at 28 pixels, holdout of 180, limit_val_batches 2 of 16" in said
    page = (tmp_path / "outputs" / "four" / "leaderboard.html").read_text()
    assert page.count("<svg") == 2  # the curves of a single run
