"""What the README shows is what there is."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, results_of

README = (ROOT / "README.md").read_text()


def test_the_table_of_networks_is_up_to_date() -> None:
    networks = runpy.run_path(str(ROOT / "docs" / "networks.py"))
    assert networks["TABLE"].search(README)[0] == networks["table"]()
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
        """As typed, but for a moment and on data that needs no download."""
        shortened = ["data=digits", "trainer=smoke", "trainer.accelerator=cpu"]
        environment = os.environ | {"PYTHONPATH": str(installed)}
        done = subprocess.run(
            [sys.executable, "-m", "cnn_experiments", *arguments.split(), *shortened, "hydra.run.dir=run", "hydra.sweep.dir=sweep"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done

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
