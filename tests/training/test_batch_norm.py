"""Tests of statistics that are estimated for the weights of a network."""

import copy

import pytest
import torch
from torch import nn

from cnn_experiments.models.layers import GlobalStatsBatchNorm
from cnn_experiments.models.scratch import BatchNorm
from cnn_experiments.training.batch_norm import estimate_batch_norm


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, BatchNorm, GlobalStatsBatchNorm])
def test_statistics_are_the_means_over_all_batches(norm: type[nn.Module]) -> None:
    torch.manual_seed(0)
    conv, second = nn.Conv2d(1, 3, 3), norm(2)
    network = nn.Sequential(conv, norm(3), nn.Dropout(), nn.Conv2d(3, 2, 3), second)
    network.train()
    network(torch.randn(4, 1, 8, 8))  # statistics of other images, which must not count
    second.eval()
    before = copy.deepcopy(network)
    batches = [torch.randn(size, 1, 8, 8) for size in (4, 4, 2)]
    random_state = torch.get_rng_state()
    estimate_batch_norm(network, batches)
    outputs = [conv(images).detach() for images in batches]
    means = torch.stack([output.mean(dim=(0, 2, 3)) for output in outputs])
    variances = torch.stack([output.var(dim=(0, 2, 3)) for output in outputs])
    torch.testing.assert_close(network[1].running_mean, means.mean(dim=0))
    torch.testing.assert_close(network[1].running_var, variances.mean(dim=0))
    assert not torch.equal(second.running_mean, before[4].running_mean)
    assert [module.training for module in network.modules()] == [module.training for module in before.modules()]
    assert network[1].momentum == second.momentum == 0.1
    assert torch.equal(torch.get_rng_state(), random_state)
    for (name, parameter), old in zip(network.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(parameter, old), name
