"""The tables, as text."""

import re

import pytest
from omegaconf import OmegaConf

from cnn_experiments.tasks.inspect import inspect
from tests.conftest import configured


def rows(printed: str) -> list[list[str]]:
    """The cells of every line of the tables but their headings."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if line.startswith("│")]


def test_the_stages_of_vgg11_are_the_courses(capsys: pytest.CaptureFixture[str]) -> None:
    inspect([("vgg11", configured("model=vgg11", "data.resize=224"))])
    printed = capsys.readouterr().out
    assert "vgg11, one image of 1x224x224" in printed
    stages = {row[0]: row[1:] for row in rows(printed)}
    assert [stages[f"features.{i}"][1] for i in range(5)] == [
        "64x112x112", "128x56x56", "256x28x28", "512x14x14", "512x7x7"
    ]  # fmt: skip
    assert stages["features.2"] == [
        "Conv2d, ReLU, Conv2d, ReLU, MaxPool2d", "256x28x28", "885,248", "0.7%", "2,774,532,096", "36.8%"
    ]  # fmt: skip
    assert stages["head.3"] == ["ReLU", "4096", "0", "-", "0", "-"]
    assert stages["total"] == ["", "", "128,806,154", "", "7,547,232,256", ""]
    assert "parameters  491 MiB\n" in printed
    assert "smallest    data.resize=1\n" in printed


def test_memory_is_that_of_the_configured_batch(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for batch in (100, 200):
        inspect([("lenet", configured("model=lenet", f"data.batch_size={batch}"))])
        line = re.search(rf"activations (\S+) MiB kept for the backward pass, batch {batch}\n", capsys.readouterr().out)
        assert line is not None
        found.append(float(line[1]))
    assert found[1] == pytest.approx(2 * found[0], rel=0.01)


def test_a_network_that_needs_values_in_training_alone(capsys: pytest.CaptureFixture[str]) -> None:
    config = configured()
    OmegaConf.set_struct(config, value=False)
    config.model = {
        "_target_": "tests.training.test_build.LooksInTraining",
        "in_channels": 1,
        "num_classes": 10,
    }
    inspect([("mine", config)])
    assert rows(capsys.readouterr().out)[-1][3] == f"{784 * 10 + 10:,}"


def test_several_networks_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = {"model=lenet": "28", "model=nin": "67", "model=alexnet": "96"}
    inspect([(name, configured(name, f"data.resize={size}", "data.batch_size=8")) for name, size in jobs.items()])
    printed = rows(capsys.readouterr().out)
    assert [row[:4] for row in printed] == [
        ["model=lenet", "1x28x28", "44,426", "281,640"],
        ["model=nin", "1x67x67", "1,992,166", "53,940,520"],
        ["model=alexnet", "1x96x96", "46,764,746", "159,639,936"],
    ]
    assert [row[6:] for row in printed] == [["8", "16"], ["8", "67"], ["8", "67"]]
