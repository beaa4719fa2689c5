"""Counting and probing networks."""

import torch
from torch import nn

from cnn_experiments.complexity import multiply_adds, parameters, refusal, smallest_size


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
    assert parameters(network) == 3 * 8 * 9 + 2 * 8 + 8 * 5 + 5
    assert multiply_adds(network, channels=3, size=10) == 8 * 8 * 3 * 8 * 9 + 8 * 5


def test_frozen_parameters_are_not_counted() -> None:
    network = Network()
    network.features.requires_grad_(requires_grad=False)
    assert parameters(network) == 8 * 5 + 5


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
    assert "meta" in str(refusal(network, channels=3, size=10, device="meta"))
    assert refusal(network, channels=3, size=10, device="cpu") is None
    assert refusal(network, channels=3, size=7, device="cpu") == "ValueError: too small for me"
    assert smallest_size(network, channels=3, largest=64, device="cpu") == 8
    assert multiply_adds(network, channels=3, size=10) == 8 * 8 * 3 * 8 * 9 + 8 * 5


def test_a_network_is_left_as_it_was() -> None:
    network = Network()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    multiply_adds(network, channels=3, size=10)
    assert network.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert all(tensor.device.type == "cpu" for tensor in network.state_dict().values())
