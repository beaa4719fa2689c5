"""Facts of the papers and the course that every network has to match."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from cnn_experiments.complexity import multiply_adds, parameters, smallest_size
from tests.conftest import configured

ARCHITECTURES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "architectures.json").read_text())

# overrides, name in architectures.json, multiply-adds at its input, smallest input
NETWORKS = [
    (("model=lenet",), "lenet", 281_640, 16),
    (("model=lenet", "model.batch_norm=true"), "lenet_bn", 281_640, 16),
    (("model=densenet",), "densenet", 129_077_168, 1),
]
NAMES = [name for _, name, _, _ in NETWORKS]


def build(overrides: tuple[str, ...], channels: int = 1, classes: int = 10) -> nn.Module:
    """The network that a command with these overrides trains, the same at every call."""
    torch.manual_seed(0)
    config = configured(*overrides).model
    network: nn.Module = instantiate(config, in_channels=channels, num_classes=classes, _convert_="all")
    return network


def stage_shapes(network: nn.Module, image: Tensor) -> list[list[int]]:
    """The output shape of every stage of features and head, in order."""
    shapes = []
    x = image
    for stage in [*network.features, *network.head]:  # type: ignore[misc]
        x = stage(x)
        shapes.append(list(x.shape))
    return shapes


@pytest.mark.parametrize(("overrides", "name", "cost", "smallest"), NETWORKS, ids=NAMES)
def test_counts_and_shapes_of_parameters(overrides: tuple[str, ...], name: str, cost: int, smallest: int) -> None:
    network = build(overrides)
    expected = ARCHITECTURES[name]
    assert parameters(network) == expected["parameters"]
    assert [list(parameter.shape) for parameter in network.parameters()] == expected["parameter_shapes"]


@pytest.mark.parametrize(("overrides", "name", "cost", "smallest"), NETWORKS, ids=NAMES)
def test_output_of_every_stage(overrides: tuple[str, ...], name: str, cost: int, smallest: int) -> None:
    network = build(overrides).eval()
    expected = ARCHITECTURES[name]
    shapes = stage_shapes(network, torch.zeros(expected["input"]))
    remaining = iter(shapes)
    # Every stage of the reference, in order; ours adds the pooling to the head's grid and a flattening.
    assert all(shape in remaining for shape in expected["stage_output_shapes"])
    assert len(shapes) <= len(expected["stage_output_shapes"]) + 2


@pytest.mark.parametrize(("overrides", "name", "cost", "smallest"), NETWORKS, ids=NAMES)
def test_multiply_adds(overrides: tuple[str, ...], name: str, cost: int, smallest: int) -> None:
    assert multiply_adds(build(overrides), 1, ARCHITECTURES[name]["input"][-1]) == cost


@pytest.mark.parametrize(("overrides", "name", "cost", "smallest"), NETWORKS, ids=NAMES)
def test_smallest_input(overrides: tuple[str, ...], name: str, cost: int, smallest: int) -> None:
    network = build(overrides).eval()
    assert smallest_size(network, 1, largest=256, device="meta") == smallest
    assert network(torch.zeros(2, 1, smallest, smallest)).shape == (2, 10)
    if smallest > 1:
        with pytest.raises(RuntimeError, match=r"[Kk]ernel size|[Oo]utput size"):
            network(torch.zeros(2, 1, smallest - 1, smallest - 1))


@pytest.mark.parametrize(("overrides", "name", "cost", "smallest"), NETWORKS, ids=NAMES)
def test_gradients_reach_every_parameter(overrides: tuple[str, ...], name: str, cost: int, smallest: int) -> None:
    network = build(overrides, channels=3, classes=7)
    scores = network(torch.randn(4, 3, 48, 48))
    assert scores.shape == (4, 7)
    torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2, 6])).backward()
    gradients = {key: parameter.grad for key, parameter in network.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None] == []
    # A bias in front of a batch norm has no effect, and its gradient is zero but for rounding.
    weights = {key: gradient for key, gradient in gradients.items() if key.endswith("weight")}
    assert [key for key, gradient in weights.items() if not gradient.any()] == []


@pytest.mark.parametrize(("overrides", "name", "cost", "smallest"), NETWORKS, ids=NAMES)
def test_forward_is_head_of_features(overrides: tuple[str, ...], name: str, cost: int, smallest: int) -> None:
    network = build(overrides).eval()
    image = torch.rand(ARCHITECTURES[name]["input"])
    assert torch.equal(network(image), network.head(network.features(image)))  # type: ignore[operator]


def test_lenet_is_the_courses_at_28_pixels() -> None:
    network = build(("model=lenet",))
    head = network.head
    assert isinstance(head, nn.Sequential)
    image = torch.rand(5, 1, 28, 28)
    assert torch.equal(network(image), head[1:](network.features(image)))  # type: ignore[operator]


@pytest.mark.parametrize("size", [96, 224])
def test_ceil_mode_leaves_densenet_as_it_is_at_the_courses_sizes(size: int) -> None:
    network = build(("model=densenet",)).eval()
    image = torch.rand(1, 1, size, size)
    expected = network(image)
    for module in network.modules():
        if isinstance(module, nn.AvgPool2d):
            module.ceil_mode = False
    assert torch.equal(network(image), expected)


def test_dense_block_keeps_its_input_in_front() -> None:
    network = build(("model=densenet",)).eval()
    features = network.features
    assert isinstance(features, nn.Sequential)
    x = torch.rand(1, 64, 6, 6)
    assert torch.equal(features[4](x)[:, :64], x)
