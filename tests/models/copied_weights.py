"""Comparing a network with another implementation that has the same weights."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cnn_experiments.analysis.cost import count_parameters
from tests.models.networks import Network, build

LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)


def randomize_norms(network: nn.Module) -> None:
    """Give each channel of every batch normalization a scale, a shift and statistics of its own."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)


def run_and_list_layers(network: nn.Module, images: Tensor) -> tuple[Tensor, list[nn.Module]]:
    """Return the network's output, and its layers with parameters in the order in which they were used."""
    layers: list[nn.Module] = []
    hooks = [
        module.register_forward_pre_hook(lambda layer, _: layers.append(layer))
        for module in network.modules()
        if isinstance(module, LAYERS)
    ]
    with torch.no_grad():
        output = network(images)
    for hook in hooks:
        hook.remove()
    return output, layers


def build_with_weights_of(overrides: str, reference: nn.Module, size: int) -> Network:
    """Return our network, whose layers share the weights of the reference's layers that are used at the same time.

    Both networks are in evaluation mode.
    """
    _, reference_layers = run_and_list_layers(reference.eval(), torch.zeros(1, 1, size, size))
    network = build(overrides, device="meta").eval()  # initial weights would only be replaced
    assert count_parameters(network) == count_parameters(reference)
    _, layers = run_and_list_layers(network, torch.zeros(1, 1, size, size, device="meta"))
    for layer, reference_layer in zip(layers, reference_layers, strict=True):
        layer.load_state_dict(reference_layer.state_dict(), assign=True)
    return network


def assert_same_logits(overrides: str, reference: nn.Module, sizes: Sequence[int] = (96,)) -> None:
    """Check that our network and the reference return the same logits for images of these sizes."""
    network = build_with_weights_of(overrides, reference, sizes[0])
    for size in sizes:
        images = torch.rand(2, 1, size, size)
        with torch.no_grad():
            expected, logits = reference(images), network(images)
        assert expected.std() > 1e-3
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def assert_same_training_step(overrides: str, reference: nn.Module, size: int) -> None:
    """Check that both networks, without dropout, have the same logits, gradients and statistics in training mode."""
    networks = deepcopy(build_with_weights_of(overrides, reference, size)), reference
    images, labels = torch.rand(4, 1, size, size), torch.tensor([0, 3, 6, 9])
    all_logits, all_layers = [], []
    for network in networks:
        all_layers.append(run_and_list_layers(network, images)[1])
        network.train()
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        all_logits.append(network(images))
        cross_entropy(all_logits[-1], labels).backward()
    torch.testing.assert_close(*all_logits)
    for layer, reference_layer in zip(*all_layers, strict=True):
        for name, parameter in layer.named_parameters():
            assert parameter.grad.any()
            expected = reference_layer.get_parameter(name).grad
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
        for name, buffer in layer.named_buffers():
            torch.testing.assert_close(buffer, reference_layer.get_buffer(name))
