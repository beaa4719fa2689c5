"""Tests that networks return the same logits as those of torchvision with the same weights.

AlexNet is left out, because torchvision's has other widths. GoogLeNet's differences are removed before the comparison.
"""

import pytest
import torch
import torchvision
from torch import nn

from cnn_experiments.analysis.cost import count_multiply_adds, count_parameters
from cnn_experiments.analysis.probe import ImageSpec
from tests.models.copied_weights import (
    assert_same_logits,
    assert_same_training_step,
    randomize_norms,
    run_and_list_layers,
)
from tests.models.networks import build

PAIRS = [
    *((f"model=vgg{depth}", f"vgg{depth}") for depth in (11, 13, 16, 19)),
    *((f"model=vgg{depth} model.norm=batch", f"vgg{depth}_bn") for depth in (11, 13, 16, 19)),
    *((f"model=resnet{depth} model.version=v1", f"resnet{depth}") for depth in (18, 34, 50, 101, 152)),
    *((f"model=densenet{depth}", f"densenet{depth}") for depth in (121, 169, 201)),
]


def torchvision_network(name: str) -> nn.Module:
    """Return torchvision's network with one channel and ten classes, and different statistics for each channel."""
    torch.manual_seed(1)
    options = {"init_weights": False} if name.startswith(("vgg", "googlenet", "inception")) else {}
    if name in ("googlenet", "inception_v3"):
        options["aux_logits"] = False
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=10, **options)
    conv_name, conv = next((name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d))
    parent, _, attribute = conv_name.rpartition(".")
    one_channel = nn.Conv2d(
        1,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        bias=conv.bias is not None,
    )
    setattr(network.get_submodule(parent), attribute, one_channel)
    randomize_norms(network)
    return network.eval()


@pytest.mark.parametrize(("overrides", "name"), PAIRS, ids=[name for _, name in PAIRS])
def test_same_logits_with_same_weights(overrides: str, name: str) -> None:
    assert_same_logits(overrides, torchvision_network(name))


def test_inception_v3_has_same_logits_at_every_size() -> None:
    assert_same_logits("model=inception_v3", torchvision_network("inception_v3"), sizes=(75, 131, 299))


def test_inception_v3_trains_as_in_torchvision() -> None:
    assert_same_training_step("model=inception_v3", torchvision_network("inception_v3"), size=96)


def test_inception_v3_has_multiply_adds_of_torchvision_and_parameters_of_paper() -> None:
    network = build("model=inception_v3", channels=3, classes=1000, device="meta")
    weights = torchvision.models.Inception_V3_Weights.IMAGENET1K_V1
    multiply_adds = count_multiply_adds(network, ImageSpec(3, 299, "meta"))
    assert round(multiply_adds / 1e9, 3) == weights.meta["_ops"] == 5.713
    assert count_parameters(network) == 23_834_568 < 25e6


def test_googlenet_differs_from_torchvision_in_epsilon_pools_and_5x5_branch_only() -> None:
    reference = torchvision_network("googlenet")
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5
    for name in ("maxpool1", "maxpool2", "maxpool3", "maxpool4"):
        setattr(reference, name, nn.MaxPool2d(3, stride=2, padding=1))
    for name, module in reference.named_children():
        if name.startswith("inception"):
            reduction, branch = module.branch3
            width = reduction.conv.out_channels
            branch.conv = nn.Conv2d(width, branch.conv.out_channels, 5, padding=2, bias=False)
    assert_same_logits("model=googlenet model.norm=batch", reference)


def test_v2_block_with_zero_weights_is_identity() -> None:
    features = build("model=resnet18 model.version=v2").eval().features
    block = features[4][1]
    for parameter in block.residual.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 64, 5, 5)
    assert torch.equal(block(x), x)


def test_v2_activates_once_before_every_convolution_and_at_the_end() -> None:
    features = build("model=resnet50 model.version=v2").eval().features
    _, layers = run_and_list_layers(features, torch.zeros(1, 1, 64, 64))
    order = [type(layer) for layer in layers]
    # The input of the first block is activated by the stem; its projection is used last, after three convolutions.
    block = [nn.Conv2d, nn.BatchNorm2d, nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]
    assert order[:8] == [nn.Conv2d, nn.BatchNorm2d, *block, nn.Conv2d]
    assert order[8:14] == [nn.BatchNorm2d, *block]
    assert order[-1] is nn.BatchNorm2d
