"""Tests of costs, compared with costs counted by hand."""

import pytest
import torch
from torch import nn

from cnn_experiments.analysis.cost import (
    StageCost,
    activation_bytes,
    all_stage_costs,
    count_multiply_adds,
    count_parameters,
    parameter_bytes,
    stage_costs,
)
from cnn_experiments.analysis.probe import ImageSpec
from tests.analysis.networks import MULTIPLY_ADDS, NUM_PARAMETERS, SmallNetwork, assert_unchanged


def test_parameters_and_multiply_adds() -> None:
    network = SmallNetwork()
    assert count_parameters(network) == NUM_PARAMETERS
    assert count_multiply_adds(network, ImageSpec(3, 10, "cpu")) == MULTIPLY_ADDS


def test_what_no_stage_counts_is_between_the_stages() -> None:
    class NetworkWithScale(SmallNetwork):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Parameter(torch.ones(5, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) @ self.mix

    image = ImageSpec(3, 10, "cpu")
    assert all_stage_costs(SmallNetwork(), image) == stage_costs(SmallNetwork(), image)
    network = NetworkWithScale()
    *stages, rest = all_stage_costs(network, image)
    assert stages == stage_costs(network, image)
    assert rest == StageCost("between stages", "", (), parameters=25, multiply_adds=25)


def test_frozen_parameters_are_not_counted() -> None:
    network = SmallNetwork()
    network.features.requires_grad_(requires_grad=False)
    assert count_parameters(network) == 8 * 5 + 5


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_measuring_does_not_change_network(device: str) -> None:
    network = SmallNetwork()
    network.features[1].eval()  # as users do to freeze a batch norm
    with assert_unchanged(network):
        count_multiply_adds(network, ImageSpec(3, 10, device))
        activation_bytes(network, ImageSpec(3, 10, device), batch_size=4)
        stage_costs(network, ImageSpec(3, 10, device))


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_activation_bytes(device: str) -> None:
    image = 3 * 10 * 10
    conv_output = 8 * 8 * 8
    norm_output = 8 * 8 * 8
    max_pool_indices = 8 * 4 * 4 * 2  # int64, twice as large as a float
    avg_pool_output = 8
    statistics = 2 * 8  # once, for the whole batch
    for batch_size in (1, 2, 10):
        num_floats = batch_size * (image + conv_output + norm_output + max_pool_indices + avg_pool_output) + statistics
        assert activation_bytes(SmallNetwork(), ImageSpec(3, 10, device), batch_size) == 4 * num_floats


def test_parameter_bytes() -> None:
    assert parameter_bytes(SmallNetwork().double()) == 8 * NUM_PARAMETERS


def test_stage_costs() -> None:
    costs = stage_costs(SmallNetwork(), ImageSpec(3, 10, "meta"))
    assert [(stage.name, stage.layers, stage.shape) for stage in costs] == [
        ("features.0", "Conv2d", (8, 8, 8)),
        ("features.1", "BatchNorm2d", (8, 8, 8)),
        ("features.2", "MaxPool2d", (8, 4, 4)),
        ("head.0", "AdaptiveAvgPool2d", (8, 1, 1)),
        ("head.1", "Flatten", (8,)),
        ("head.2", "Linear", (5,)),
    ]
    assert [stage.parameters for stage in costs] == [3 * 8 * 9, 2 * 8, 0, 0, 0, 8 * 5 + 5]
    assert [stage.multiply_adds for stage in costs] == [8 * 8 * 3 * 8 * 9, 0, 0, 0, 0, 8 * 5]


class ReusedStageNetwork(nn.Module):
    """A network that uses a stage twice, and has a Sequential within a Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.ReLU()))
        self.reused = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.reused(self.reused(self.block(x))).mean()


def test_stage_that_is_used_twice_costs_twice() -> None:
    network = ReusedStageNetwork()
    costs = stage_costs(network, ImageSpec(2, 3, "meta"))
    assert [(stage.name, stage.layers, stage.multiply_adds) for stage in costs] == [
        ("block.0", "Conv2d, ReLU x 2", 36),
        ("reused", "Conv2d", 72),
    ]
    assert sum(stage.multiply_adds for stage in costs) == count_multiply_adds(network, ImageSpec(2, 3, "meta"))


class SharedStagesNetwork(nn.Module):
    """A network with a ModuleList, a layer in two stages, tied weights, an LSTM and a product between the stages."""

    def __init__(self) -> None:
        super().__init__()
        relu = nn.ReLU()
        self.convs = nn.ModuleList([nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)])
        self.convs[1].weight = self.convs[0].weight
        self.one = nn.Sequential(relu, nn.Flatten(2))
        self.two = nn.Sequential(nn.LSTM(9, 4, batch_first=True), relu)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = conv(x)
        y, _ = self.two[0](self.one(x))
        return self.two[1](y) @ torch.ones(4, 3, device=x.device)


def test_shared_layers_and_weights_are_counted_once() -> None:
    network = SharedStagesNetwork()
    costs = stage_costs(network, ImageSpec(2, 3, "cpu"))
    assert [(stage.name, stage.layers, stage.shape) for stage in costs] == [
        ("convs.0", "Conv2d", (2, 3, 3)),
        ("convs.1", "Conv2d", (2, 3, 3)),
        ("one.0", "ReLU", (2, 4)),
        ("one.1", "Flatten", (2, 9)),
        ("two.0", "LSTM", (2, 4)),
    ]
    lstm_parameters = 4 * 4 * (9 + 4 + 2)
    assert [stage.parameters for stage in costs] == [2 * 2 + 2, 2, 0, 0, lstm_parameters]
    assert sum(stage.parameters for stage in costs) == count_parameters(network)
    assert [stage.multiply_adds for stage in costs[:4]] == [36, 36, 0, 0]
    product = 2 * 4 * 3
    assert sum(stage.multiply_adds for stage in costs) + product == count_multiply_adds(network, ImageSpec(2, 3, "cpu"))
