"""Tests that `benchmarks/against_others` measures every program, and that all of them train alike."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, compose_settings
from tests.data.replicas import idx_file, make_splits

BENCHMARK = ROOT / "benchmarks" / "against_others"
SCRIPTS = [
    ["notebook_loop.py"],
    ["lightning_script.py"],
    ["bare_loop.py", "contiguous"],
    ["bare_loop.py", "channels_last"],
]


@pytest.fixture
def small_data(tmp_path: Path) -> Path:
    """Return a directory with as few images in the unpacked files of Fashion-MNIST."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, (images, labels) in zip(("train", "t10k"), make_splits(1, 28, 10), strict=True):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx_file(images[:, 0].numpy()))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx_file(labels.numpy().astype("uint8")))
    return tmp_path


def measurements_in(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("script", SCRIPTS, ids=" ".join)
def test_script_measures_a_training_that_ends_within_the_second_epoch(script: list[str], small_data: Path) -> None:
    workload = {
        "network": compose_settings("model=lenet")["model"],
        "size": 32,
        "batch_size": 16,  # two batches an epoch
        "num_warmup_steps": 1,
        "num_steps": 3,
        "data_root": str(small_data),
    }
    name, *arguments = script
    command = [sys.executable, str(BENCHMARK / name), *arguments, json.dumps(workload)]
    completed = subprocess.run(command, cwd=small_data, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    (measurement,) = measurements_in(completed.stdout)
    assert measurement["num_timed_steps"] == 2
    assert 0 < measurement["seconds_per_step"] < measurement["first_step_seconds"]
    assert measurement["memory_bytes"] > 100 * 2**20


def test_command_measures_every_program_and_prints_tables(fashion_mnist_root: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARK), "LeNet@28", "--rounds", "1", "--steps", "2"]
    completed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    header, *measurements = map(json.loads, (tmp_path / "against_others.jsonl").read_text().splitlines())
    assert header["command"] == "python benchmarks/against_others LeNet@28 --rounds 1 --steps 2"
    assert measurements == measurements_in(completed.stdout)
    assert [(entry["case"], entry["program"], entry["round"], entry["num_timed_steps"]) for entry in measurements] == [
        ("LeNet@28", program, 1, 1)
        for program in (
            "notebook loop",
            "Lightning script",
            "bare loop, contiguous",
            "bare loop, channels last",
            "this program",
        )
    ]
    assert "| LeNet@28 * |" in completed.stdout


def test_scripts_have_the_optimizer_of_this_program() -> None:
    optimizer = compose_settings("model=lenet")["optimizer"]
    assert (optimizer["_target_"], optimizer["lr"], optimizer["weight_decay"]) == ("torch.optim.Adam", 0.001, 0)
    for script in ("notebook_loop.py", "lightning_script.py", "bare_loop.py"):
        assert "arameters(), lr=0.001)" in (BENCHMARK / script).read_text()


def test_unknown_case_is_rejected_before_anything_is_measured(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARK), "lenet"]
    completed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert completed.returncode == 2
    assert "unknown cases: lenet; choose from LeNet@28, LeNet-BN@28," in completed.stderr
    assert list(tmp_path.iterdir()) == []
