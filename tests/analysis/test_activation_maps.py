"""Tests of class activation maps, compared with maps computed by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnn_experiments.analysis.activation_maps import (
    class_activation_maps,
    default_stage,
    enlarge_maps,
    stage_activations,
)
from cnn_experiments.analysis.cost import stage_costs
from cnn_experiments.analysis.probe import ImageSpec
from tests.analysis.networks import SmallNetwork, assert_unchanged
from tests.models.networks import build, meta_network


class TwoChannels(nn.Module):
    """A 1 x 1 convolution to the channels x and -2 x, global average pooling and a linear layer."""

    def __init__(self, following: nn.Module | None = None) -> None:
        super().__init__()
        conv = nn.Conv2d(1, 2, 1, bias=False)
        conv.weight.data = torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1)
        linear = nn.Linear(2, 3)
        linear.weight.data = torch.tensor([[4.0, 0.0], [0.0, 8.0], [-4.0, 0.0]])
        self.features = nn.Sequential(conv, *([following] if following else []))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


IMAGE = torch.tensor([[1.0, -2.0], [4.0, 0.0]]).reshape(1, 1, 2, 2)


def test_maps_are_weighted_sums_without_negative_values_relative_to_the_largest() -> None:
    # Class 0 sees 4 / 4 positions * x, class 1 sees 8 / 4 * (-2 x), class 2 sees -4 / 4 * x.
    maps = class_activation_maps(TwoChannels(), "features.0", IMAGE.repeat(3, 1, 1, 1), torch.tensor([0, 1, 2]))
    assert maps.tolist() == [[[0.25, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]]


def test_map_is_zero_if_nothing_speaks_for_the_class() -> None:
    maps = class_activation_maps(TwoChannels(), "features.0", IMAGE.abs(), torch.tensor([1]))
    assert maps.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]


def test_in_place_layer_after_the_stage_does_not_change_its_output() -> None:
    network = TwoChannels(nn.ReLU(inplace=True))
    assert stage_activations(network, "features.0", IMAGE).tolist() == [[[[1, -2], [4, 0]], [[-2, 4], [-8, 0]]]]
    # Gradients of class 1 through the ReLU: 8 / 4 where -2 x > 0, so 0.5 on average over four positions.
    maps = class_activation_maps(network, "features.0", IMAGE, torch.tensor([1]))
    assert maps.tolist() == [[[0.0, 1.0], [0.0, 0.0]]]
    maps = class_activation_maps(network, "features.1", IMAGE, torch.tensor([0]))
    assert maps.tolist() == [[[0.25, 0.0], [1.0, 0.0]]]


def test_frozen_network_has_the_same_maps() -> None:
    network = TwoChannels().requires_grad_(requires_grad=False)
    with torch.no_grad():
        maps = class_activation_maps(network, "features.0", IMAGE, torch.tensor([0]))
    assert maps.tolist() == [[[0.25, 0.0], [1.0, 0.0]]]


def test_maps_do_not_change_network() -> None:
    network = SmallNetwork()  # in training mode, with a batch norm
    network.features[1].eval()
    images = torch.rand(2, 3, 10, 10)
    network(images).sum().backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    network(images)
    with assert_unchanged(network):
        maps = class_activation_maps(network, "features.2", images, torch.tensor([0, 1]))
        activations = stage_activations(network, "features.2", images)
    assert not maps.requires_grad
    assert not images.requires_grad
    assert activations.shape == (2, 8, 4, 4)
    assert len(gradients) == len(list(network.parameters()))
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)


def test_maps_are_enlarged_bilinearly() -> None:
    maps = enlarge_maps(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), 4)
    assert maps.tolist() == [[[0.0, 0.25, 0.75, 1.0]] * 4]


def test_trained_network_looks_at_the_corner_that_matters() -> None:
    """A bright patch in a corner is class 1; noise and a bright patch elsewhere are in the images of both classes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    images = torch.rand(64, 1, 16, 16, generator=generator)
    images[:, :, 10:14, 10:14] += 2
    images[labels == 1, :, :4, :4] += 2
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(8 * 8 * 8, 2)),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    assert torch.equal(network(images).argmax(dim=1), labels)
    maps = class_activation_maps(network, "0.4", images[labels == 1], labels[labels == 1])
    rows, columns = (maps.flatten(1).argmax(dim=1) // 8, maps.flatten(1).argmax(dim=1) % 8)
    assert (rows < 2).all()
    assert (columns < 2).all()


STAGES = {  # by network: the size of the image, the default stage and the shape of its output
    "model=lenet": (28, "features.5", (16, 4, 4)),
    "model=lenet_bn model.norm=scratch": (28, "features.7", (16, 4, 4)),
    "model=alexnet": (96, "features.11", (256, 4, 4)),
    "model=vgg11 model.channel_divisor=8 model.hidden_divisor=8": (32, "features.2", (32, 4, 4)),
    "model=nin": (96, "features.4", (384, 4, 4)),
    "model=googlenet": (96, "features.2", (480, 6, 6)),
    "model=googlenet model.norm=batch": (64, "features.2", (480, 4, 4)),
    "model=inception_v3": (107, "features.9", (768, 5, 5)),
    "model=inception_resnet_v2 model.depths=[1,1,2]": (107, "features.10", (1088, 5, 5)),
    "model=resnet18": (28, "features.5", (128, 4, 4)),
    "model=resnet18 model.version=v2": (64, "features.6", (256, 4, 4)),
    "model=resnet50": (64, "features.6", (1024, 4, 4)),
    "model=densenet": (28, "features.6", (224, 4, 4)),
    "model=densenet121": (64, "features.8", (1024, 4, 4)),
}


@pytest.mark.parametrize("overrides", STAGES)
def test_default_stage_and_maps_of_every_family(overrides: str) -> None:
    size, name, shape = STAGES[overrides]
    network = build(overrides).eval()
    stage = default_stage(stage_costs(meta_network(overrides), ImageSpec(1, size, "meta")))
    assert (stage.name, stage.shape) == (name, shape)

    images = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    maps = class_activation_maps(network, name, images.repeat(4, 1, 1, 1), torch.arange(4))
    assert maps.amax() == 1
    position = int(name.removeprefix("features.")) + 1
    activations = network.features[:position](images).detach().requires_grad_()
    logits = network.head(network.features[position:](activations))
    for map_, logit in zip(maps, logits[0, :4], strict=True):
        (gradient,) = torch.autograd.grad(logit, activations, retain_graph=True)
        expected = (gradient.mean(dim=(2, 3), keepdim=True) * activations).sum(dim=1)[0].relu().detach()
        torch.testing.assert_close(map_, expected / (expected.max() or 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "name"), [(32, "features.2"), (16, "features.1"), (4, "features.0"), (3, "features.0")]
)
def test_default_stage_has_four_positions_a_side_if_there_is_one(size: int, name: str) -> None:
    stages = [nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2, ceil_mode=True)) for _ in range(3)]
    network = nn.ModuleDict({"features": nn.Sequential(*stages), "head": nn.Sequential(nn.Upsample(8))})
    network.forward = lambda x: network["head"](network["features"](x))  # type: ignore[method-assign]
    assert default_stage(stage_costs(network, ImageSpec(1, size, "cpu"))).name == name


def test_stage_of_any_name_is_the_default_of_a_network_without_features() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4 * 4, 2))
    assert default_stage(stage_costs(network, ImageSpec(1, 6, "cpu"))).name == "1"
