"""Tests of a user's own parts: one Python file and a directory of options, in an otherwise empty directory."""

import csv
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import read_epochs, read_results, runs_in

OWN_PARTS = Path(__file__).with_name("own_parts")
OWN = (
    "--config-dir", "conf", "data=stripes", "augment=[noise,flip]", "loss=margin", "metrics=[confidence]",
    "callbacks=[shrink]", "logger=[tensorboard,lines]", "optimizer=sign", "scheduler=staircase", "trainer=cpu",
    "trainer.max_epochs=2",
)  # fmt: skip
SWEPT = {
    "data": "data.contrast=50,150",
    "augment": "augment=[noise],[flip,noise]",
    "loss": "loss.margin=0.5,1",
    "metrics": "metrics.confidence.power=1,2",
    "callbacks": "callbacks.shrink.factor=0.9,0.99",
    "logger": "logger.lines.digits=2,6",
    "optimizer": "optimizer.momentum=0.5,0.9",
    "scheduler": "scheduler.num_stairs=1,4",
}

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def own_parts(tmp_path: Path) -> None:
    shutil.copytree(OWN_PARTS, tmp_path, dirs_exist_ok=True)


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return weights


def test_run_of_own_parts_resumes_exactly_after_sigterm(command: Command, tmp_path: Path) -> None:
    assert command(*OWN, "hydra.run.dir=whole").returncode == 0
    interrupted = command(*OWN, "hydra.run.dir=stopped", SIGTERM_AFTER_STEP="13")
    assert interrupted.returncode == 143, interrupted.stderr
    assert read_results(tmp_path / "stopped")["status"] == "interrupted"
    assert command(*OWN, "hydra.run.dir=stopped").returncode == 0

    weights, resumed = (weights_of(tmp_path / name) for name in ("whole", "stopped"))
    assert weights.keys() == resumed.keys()
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)
    results, resumed_results = (read_results(tmp_path / name) for name in ("whole", "stopped"))
    assert results["metrics"] == resumed_results["metrics"]
    assert 0 < results["metrics"]["test/confidence"] <= 1
    assert (
        results["options"] | {"data": "stripes", "augment": "noise,flip", "callbacks": "shrink"} == results["options"]
    )
    assert [row["val/confidence"] for row in read_epochs(tmp_path / "whole")] == [
        row["val/confidence"] for row in read_epochs(tmp_path / "stopped")
    ]
    lines = (tmp_path / "whole" / "lines.txt").read_text().splitlines()
    assert f"8 val/confidence {float(read_epochs(tmp_path / 'whole')[0]['val/confidence']):.4f}" in lines


@pytest.mark.parametrize("group", SWEPT)
def test_own_part_is_swept_and_shown_in_the_leaderboard(command: Command, tmp_path: Path, group: str) -> None:
    sweep = (*OWN, "-m", SWEPT[group], "sweep=own")
    completed = command(*sweep)
    assert completed.returncode == 0, completed.stderr
    runs = runs_in(tmp_path / "outputs" / "own")
    identities = {read_results(run)["identity"] for run in runs}
    assert len(runs) == len(identities) == 2
    key, _, values = SWEPT[group].partition("=")
    expected = ["noise", "flip,noise"] if group == "augment" else values.split(",")
    with (tmp_path / "outputs" / "own" / "leaderboard.csv").open(newline="") as file:
        assert sorted(row[key] for row in csv.DictReader(file)) == sorted(expected)

    repeated = command(*sweep)
    assert repeated.returncode == 0
    assert "2 runs: 2 completed" in repeated.stdout
    assert "epoch 1/2" not in repeated.stdout
