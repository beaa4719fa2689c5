"""Networks that torchvision has too: with its weights, the same outputs.

AlexNet is left out: torchvision's has other widths. GoogLeNet's differences are put right here before the comparison.
"""

import pytest
import torch
import torchvision
from torch import Tensor, nn

from cnn_experiments.analysis.cost import count_parameters
from tests.models.networks import build

LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)

PAIRS = [
    *((f"model=vgg{depth}", f"vgg{depth}") for depth in (11, 13, 16, 19)),
    *((f"model=vgg{depth} model.norm=batch", f"vgg{depth}_bn") for depth in (11, 13, 16, 19)),
    *((f"model=resnet{depth} model.version=v1", f"resnet{depth}") for depth in (18, 34, 50, 101, 152)),
    *((f"model=densenet{depth}", f"densenet{depth}") for depth in (121, 169, 201)),
]


def theirs(name: str) -> nn.Module:
    """torchvision's network with one input channel and ten classes, and statistics that tell channels apart."""
    torch.manual_seed(1)
    options = {"init_weights": False} if name.startswith(("vgg", "googlenet")) else {}
    if name == "googlenet":
        options["aux_logits"] = False
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=10, **options)
    name_of_first, first = next(
        (key, module) for key, module in network.named_modules() if isinstance(module, nn.Conv2d)
    )
    one_channel = nn.Conv2d(
        1,
        first.out_channels,
        first.kernel_size,
        first.stride,
        first.padding,
        bias=first.bias is not None,
    )
    parent, _, attribute = name_of_first.rpartition(".")
    setattr(network.get_submodule(parent), attribute, one_channel)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
    return network.eval()


def in_order_of_use(network: nn.Module, image: Tensor) -> list[nn.Module]:
    """The layers that hold weights, as one image meets them."""
    used: list[nn.Module] = []
    hooks = [
        module.register_forward_pre_hook(lambda layer, _: used.append(layer))
        for module in network.modules()
        if isinstance(module, LAYERS)
    ]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return used


def with_weights_of(command: str, their_network: nn.Module, size: int) -> nn.Module:
    """Our network, every layer with the values of the one that torchvision's uses at the same time."""
    network = build(command).eval()
    image = torch.zeros(1, 1, size, size)
    pairs = zip(in_order_of_use(network, image), in_order_of_use(their_network, image), strict=True)
    for our_layer, their_layer in pairs:
        our_layer.load_state_dict(their_layer.state_dict())
    return network


@pytest.mark.parametrize(("command", "name"), PAIRS, ids=[name for _, name in PAIRS])
def test_same_outputs_with_the_same_weights(command: str, name: str) -> None:
    their_network = theirs(name)
    network = with_weights_of(command, their_network, 64)
    assert count_parameters(network) == count_parameters(their_network)
    image = torch.rand(2, 1, 96, 96)
    with torch.no_grad():
        expected = their_network(image)
        assert expected.std() > 1e-3
        torch.testing.assert_close(network(image), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def test_googlenet_is_torchvisions_but_for_epsilon_pools_and_the_5x5_branch() -> None:
    their_network = theirs("googlenet")
    for module in their_network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5
    for name in ("maxpool1", "maxpool2", "maxpool3", "maxpool4"):
        setattr(their_network, name, nn.MaxPool2d(3, stride=2, padding=1))
    for name, module in their_network.named_children():
        if name.startswith("inception"):
            reduction, branch = module.branch3
            width = reduction.conv.out_channels
            branch.conv = nn.Conv2d(width, branch.conv.out_channels, 5, padding=2, bias=False)
    network = with_weights_of("model=googlenet model.norm=batch", their_network, 64)
    assert count_parameters(network) == count_parameters(their_network)
    image = torch.rand(2, 1, 96, 96)
    with torch.no_grad():
        expected = their_network(image)
        torch.testing.assert_close(network(image), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def test_v2_block_without_weights_is_the_identity() -> None:
    features = build("model=resnet18 model.version=v2").eval().features
    block = features[4][1]
    for parameter in block.residual.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 64, 5, 5)
    assert torch.equal(block(x), x)


def test_v2_activates_once_in_front_of_every_convolution_and_at_the_end() -> None:
    features = build("model=resnet50 model.version=v2").eval().features
    order = [type(layer) for layer in in_order_of_use(features, torch.zeros(1, 1, 64, 64))]
    # The first block takes what the stem activated: its projection is used last, behind three convolutions.
    block = [nn.Conv2d, nn.BatchNorm2d, nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]
    assert order[:8] == [nn.Conv2d, nn.BatchNorm2d, *block, nn.Conv2d]
    assert order[8:14] == [nn.BatchNorm2d, *block]
    assert order[-1] is nn.BatchNorm2d
