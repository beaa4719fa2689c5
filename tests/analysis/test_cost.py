"""Counting and probing networks."""

import pytest
import torch
from torch import nn

from cnn_experiments.analysis.cost import (
    activation_bytes,
    count_multiply_adds,
    count_parameters,
    parameter_bytes,
    stage_costs,
)
from cnn_experiments.analysis.probe import ImageSpec, forward_error, probe_image, smallest_size, training_error


class Network(nn.Module):
    """8 x 3 x 3 x 3 weights and a batch norm, whose statistics must stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.MaxPool2d(2))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def test_counts_by_hand() -> None:
    network = Network()
    assert count_parameters(network) == 3 * 8 * 9 + 2 * 8 + 8 * 5 + 5
    assert count_multiply_adds(network, ImageSpec(3, 10, "cpu")) == 8 * 8 * 3 * 8 * 9 + 8 * 5


def test_frozen_parameters_are_not_counted() -> None:
    network = Network()
    network.features.requires_grad_(requires_grad=False)
    assert count_parameters(network) == 8 * 5 + 5


def test_smallest_size() -> None:
    network = Network()
    for device in ("meta", "cpu"):
        assert smallest_size(network, channels=3, largest=64, device=device) == 4
        assert smallest_size(network, channels=3, largest=3, device=device) is None


class Choosy(Network):
    """Looks at the values of its images, and says no to small ones in its own way."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] < 8:
            raise ValueError("too small for me")
        return super().forward(x / max(1.0, x.max().item()))


def test_a_network_that_looks_at_values_is_tried_for_real() -> None:
    network = Choosy()
    assert "meta" in str(forward_error(network, ImageSpec(3, 10, "meta")))
    assert probe_image(network, channels=3, size=10).device == "cpu"
    assert probe_image(Network(), channels=3, size=10).device == "meta"
    assert forward_error(network, ImageSpec(3, 10, "cpu")) is None
    assert forward_error(network, ImageSpec(3, 7, "cpu")) == "ValueError: too small for me (test_cost.py:53)"
    assert smallest_size(network, channels=3, largest=64, device="cpu") == 8
    assert count_multiply_adds(network, ImageSpec(3, 10, "cpu")) == 8 * 8 * 3 * 8 * 9 + 8 * 5


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_network_is_left_as_it_was(device: str) -> None:
    network = Network()
    network.features[1].eval()  # as those do who freeze a batch norm
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    count_multiply_adds(network, ImageSpec(3, 10, device))
    activation_bytes(network, ImageSpec(3, 10, device), batch_size=4)
    stage_costs(network, ImageSpec(3, 10, device))
    assert training_error(network, ImageSpec(3, 10, device), batch_size=2) is None
    assert [module for module in network.modules() if not module.training] == [network.features[1]]
    assert not network.features[0]._forward_hooks
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert all(tensor.device.type == "cpu" for tensor in network.state_dict().values())


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_activations_by_hand(device: str) -> None:
    image = 3 * 10 * 10
    convolved = 8 * 8 * 8  # what the batch norm normalises
    normalised = 8 * 8 * 8  # what the pool looks at
    places = 8 * 4 * 4 * 2  # int64: where the pool found its maxima
    averaged = 8
    statistics = 2 * 8  # once, for the whole batch
    for batch in (1, 2, 10):
        floats = batch * (image + convolved + normalised + places + averaged) + statistics
        assert activation_bytes(Network(), ImageSpec(3, 10, device), batch_size=batch) == 4 * floats


def test_memory_of_parameters() -> None:
    assert parameter_bytes(Network().double()) == 8 * (3 * 8 * 9 + 2 * 8 + 8 * 5 + 5)


def test_stages_by_hand() -> None:
    found = stage_costs(Network(), ImageSpec(3, 10, "meta"))
    assert [(stage.name, stage.layers, stage.shape) for stage in found] == [
        ("features.0", "Conv2d", (8, 8, 8)),
        ("features.1", "BatchNorm2d", (8, 8, 8)),
        ("features.2", "MaxPool2d", (8, 4, 4)),
        ("head.0", "AdaptiveAvgPool2d", (8, 1, 1)),
        ("head.1", "Flatten", (8,)),
        ("head.2", "Linear", (5,)),
    ]
    assert [stage.parameters for stage in found] == [3 * 8 * 9, 2 * 8, 0, 0, 0, 8 * 5 + 5]
    assert [stage.multiply_adds for stage in found] == [8 * 8 * 3 * 8 * 9, 0, 0, 0, 0, 8 * 5]


class Twice(nn.Module):
    """Uses one part twice, and one that is a sequence of sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.ReLU()))
        self.same = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.same(self.same(self.block(x))).mean()


def test_a_part_that_is_used_twice_costs_twice() -> None:
    network = Twice()
    found = stage_costs(network, ImageSpec(2, 3, "meta"))
    assert [(stage.name, stage.layers, stage.multiply_adds) for stage in found] == [
        ("block.0", "Conv2d, ReLU x 2", 36),
        ("same", "Conv2d", 72),
    ]
    assert sum(stage.multiply_adds for stage in found) == count_multiply_adds(network, ImageSpec(2, 3, "meta"))


class Shared(nn.Module):
    """A list, a layer in two places, tied weights, a recurrent layer and a product between the parts."""

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


def test_stages_that_share_and_lists_of_them() -> None:
    network = Shared()
    found = stage_costs(network, ImageSpec(2, 3, "cpu"))
    assert [(stage.name, stage.layers, stage.shape) for stage in found] == [
        ("convs.0", "Conv2d", (2, 3, 3)),
        ("convs.1", "Conv2d", (2, 3, 3)),
        ("one.0", "ReLU", (2, 4)),
        ("one.1", "Flatten", (2, 9)),
        ("two.0", "LSTM", (2, 4)),
    ]
    recurrent = 4 * 4 * (9 + 4 + 2)
    assert [stage.parameters for stage in found] == [2 * 2 + 2, 2, 0, 0, recurrent]
    assert sum(stage.parameters for stage in found) == count_parameters(network)
    assert [stage.multiply_adds for stage in found[:4]] == [36, 36, 0, 0]
    between = 2 * 4 * 3
    assert sum(stage.multiply_adds for stage in found) + between == count_multiply_adds(network, ImageSpec(2, 3, "cpu"))


def test_what_is_wrong_with_scores_and_with_training() -> None:
    network = Network()
    assert forward_error(network, ImageSpec(3, 10, "meta"), num_classes=5) is None
    assert (
        forward_error(network, ImageSpec(3, 10, "meta"), num_classes=6)
        == "the logits of one image must have the shape (1, 6), not (1, 5)"
    )
    assert training_error(network, ImageSpec(3, 10, "meta"), batch_size=1) is None
    network.head[1] = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(8))
    assert str(training_error(network, ImageSpec(3, 10, "meta"), batch_size=1)).startswith(
        "ValueError: Expected more than 1 value"
    )
