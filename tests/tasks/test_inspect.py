"""Tests of the tables that task=inspect prints."""

import re
from pathlib import Path

import pytest

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.tasks.inspect import inspect


def table_rows(output: str) -> list[list[str]]:
    """Return the cells of every line of the tables except their headings."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if line.startswith("│")]


def inspect_overrides(*commands: str) -> None:
    """Inspect the network of each command, all together."""
    inspect([ComposedConfig.from_overrides(*command.split()) for command in commands], None)


def test_stages_of_vgg11_are_those_of_the_course(capsys: pytest.CaptureFixture[str]) -> None:
    inspect_overrides("model=vgg11 data.resize=224")
    output = capsys.readouterr().out
    assert "vgg11, one image of 1x224x224" in output
    stages = {row[0]: row[1:] for row in table_rows(output)}
    assert [stages[f"features.{i}"][1] for i in range(5)] == [
        "64x112x112", "128x56x56", "256x28x28", "512x14x14", "512x7x7"
    ]  # fmt: skip
    assert stages["features.2"] == [
        "Conv2d, ReLU, Conv2d, ReLU, MaxPool2d", "256x28x28", "885,248", "0.7%", "2,774,532,096", "36.8%"
    ]  # fmt: skip
    assert stages["head.3"] == ["ReLU", "4096", "0", "-", "0", "-"]
    assert stages["total"] == ["", "", "128,806,154", "", "7,547,232,256", ""]
    assert "parameters  491 MiB\n" in output
    assert "smallest    data.resize=1\n" in output


def test_activation_memory_is_that_of_the_configured_batch(capsys: pytest.CaptureFixture[str]) -> None:
    memory = []
    for batch_size in (100, 200):
        inspect_overrides(f"model=lenet data.batch_size={batch_size}")
        line = rf"activations (\S+) MiB kept for the backward pass, batch {batch_size}\n"
        match = re.search(line, capsys.readouterr().out)
        assert match is not None
        memory.append(float(match[1]))
    assert memory[1] == pytest.approx(2 * memory[0], rel=0.01)


def test_network_that_needs_values_in_training_is_inspected(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "own.yaml").write_text(
        "_target_: tests.training.user_networks.NeedsValuesInTraining\nin_channels: 1\nnum_classes: 10\n"
    )
    inspect_overrides(f"model=own hydra.searchpath=[file://{tmp_path}]")
    assert table_rows(capsys.readouterr().out)[-1][3] == f"{784 * 10 + 10:,}"


def test_networks_are_compared_in_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"lenet": "28", "nin": "67", "alexnet": "96"}
    inspect_overrides(*(f"model={model} data.resize={size} data.batch_size=8" for model, size in sizes.items()))
    rows = table_rows(capsys.readouterr().out)
    assert [row[:4] for row in rows] == [
        ["lenet data.resize=28", "1x28x28", "44,426", "281,640"],
        ["nin data.resize=67", "1x67x67", "1,992,166", "53,940,520"],
        ["alexnet data.resize=96", "1x96x96", "46,764,746", "159,639,936"],
    ]
    assert [row[6:] for row in rows] == [["8", "16"], ["8", "67"], ["8", "67"]]


def test_name_of_a_network_leaves_out_what_all_share(capsys: pytest.CaptureFixture[str]) -> None:
    inspect_overrides("model=lenet model.norm=none seed=1", "model=lenet model.norm=batch seed=1")
    assert [row[0] for row in table_rows(capsys.readouterr().out)] == [
        "lenet model.norm=none",
        "lenet model.norm=batch",
    ]
