"""Tests of task=find_lr."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.tasks import preflight
from cnn_experiments.tasks.find_lr import find_lr

SMALL = ("task=find_lr", "data=digits", "trainer=cpu", "model=lenet_bn", "data.batch_size=100", "task.num_steps=60")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def find(*overrides: str) -> None:
    find_lr([ComposedConfig.from_overrides(*SMALL, *overrides)], None)


def test_command_prints_an_override_and_writes_a_figure_and_nothing_else(command: Command, tmp_path: Path) -> None:
    completed = command(*SMALL)
    assert completed.returncode == 0, completed.stderr
    lines = [line for line in completed.stdout.splitlines() if not line.startswith("the loss diverged")]
    assert re.fullmatch(r"optimizer\.lr=[\d.e-]+", lines[0])
    assert 1e-4 < float(lines[0].partition("=")[2]) < 1
    assert lines[1:] == ["figure: outputs/find_lr/learning_rate.png"]
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [Path("outputs/find_lr/learning_rate.png")]
    with Image.open(tmp_path / files[0]) as figure:
        assert figure.size == (768, 480)


def test_search_is_repeatable_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    find()
    find()
    lines = capsys.readouterr().out.splitlines()
    half = len(lines) // 2
    assert lines[: half - 1] == lines[half:-1]
    assert lines[half - 1], lines[-1] == (
        "figure: outputs/find_lr/learning_rate.png",
        "figure: outputs/find_lr-2/learning_rate.png",
    )
    figure = tmp_path / "outputs" / "find_lr" / "learning_rate.png"
    before = figure.read_bytes()
    with pytest.raises(
        ConfigError, match=r"^task\.to=.*: it holds learning_rate\.png already, and nothing is overwritt"
    ):
        find(f"task.to={figure.parent}")
    assert figure.read_bytes() == before


def test_several_networks_are_searched_one_after_the_other(command: Command, tmp_path: Path) -> None:
    completed = command("-m", *SMALL, "optimizer=adam,sgd", "task.min_lr=0.001")
    assert completed.returncode == 0, completed.stderr
    assert [line for line in completed.stdout.splitlines() if "optimizer=" in line] == [
        f"data=digits trainer=cpu model=lenet_bn data.batch_size=100 optimizer={name}" for name in ("adam", "sgd")
    ]
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["find_lr", "find_lr-2"]


def test_loss_that_does_not_fall_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunFailedError, match=r"^the loss did not fall; other values of task\.min_lr"):
        find("task.min_lr=1000.0", "task.max_lr=2000.0", "optimizer=sgd", f"task.to={tmp_path / 'figure'}")
    assert "optimizer.lr" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["task.min_lr=1.0", "task.max_lr=0.1"], "task.min_lr=1.0: must be below task.max_lr=0.1"),
        (["ckpt_path=run"], "ckpt_path=run: must be null: the search starts with the initial weights"),
        (["trainer.devices=2"], "trainer.devices=2: must be one device: the search trains in one process"),
        (["data.resize=15"], "data.resize=15: this network needs images of at least 16 pixels, these have 15; did you mean data.resize=16?"),
    ],
)  # fmt: skip
def test_search_that_cannot_work_is_rejected(overrides: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        preflight(ComposedConfig.from_overrides(*SMALL, *overrides))
    assert str(error.value).partition(" (")[0] == line


@pytest.mark.parametrize("override", ["task.num_steps=19", "task.min_lr=0", "task.max_lr=x"])
def test_setting_of_the_search_is_validated(override: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{re.escape(override)}: must be "):
        ComposedConfig.from_overrides(*SMALL[:2], override).validate()


def test_several_networks_need_several_directories() -> None:
    config = ComposedConfig.from_overrides(*SMALL, "task.to=there")
    with pytest.raises(ConfigError, match=r"^task\.to=there: must be null for several networks$"):
        find_lr([config, config], None)
