"""A small network for the tests of the analysis."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class SmallNetwork(nn.Module):
    """A convolution of 8 x 3 x 3 x 3 weights, a batch norm with running statistics, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.MaxPool2d(2))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


NUM_PARAMETERS = 3 * 8 * 9 + 2 * 8 + 8 * 5 + 5
MULTIPLY_ADDS = 8 * 8 * 3 * 8 * 9 + 8 * 5  # of an image of 10 pixels


@contextmanager
def assert_unchanged(network: nn.Module) -> Iterator[None]:
    """Check that the block changes neither values nor devices nor modes of the network, and leaves no hooks."""
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    yield
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())
    assert all(tensor.device.type == "cpu" for tensor in network.state_dict().values())
