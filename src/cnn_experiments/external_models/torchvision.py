"""Networks of torchvision, https://docs.pytorch.org/vision/stable/models.html."""

from torch import nn
from torchvision import models

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.errors import suggest
from cnn_experiments.external_models.channels import (
    COLOR_CHANNELS,
    check_repeat_channels,
    repeat_gray_channel,
    set_in_channels,
)
from cnn_experiments.external_models.weights import are_loaded, loading_weights

_AUXILIARY_HEADS = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


def torchvision_network(
    name: str, in_channels: int, num_classes: int, repeat_channels: bool, pretrained: bool
) -> nn.Module:
    """Return a classification network of torchvision, without auxiliary heads.

    Args:
        name: one of `torchvision.models.list_models(module=torchvision.models)`.
        in_channels: channels of the images.
        num_classes: number of logits per image.
        repeat_channels: whether the channel of gray images is repeated; otherwise the first convolution takes one.
        pretrained: whether it has the weights that torchvision trained on ImageNet; its last layer is a new one.

    Raises:
        ArgumentError: there is no such network, or there is nothing to repeat.
        RunFailedError: the weights could not be downloaded.
    """
    names = models.list_models(module=models)
    if name not in names:
        raise ArgumentError("name", name, "must be a classification network of torchvision", suggest(str(name), names))
    check_repeat_channels(repeat_channels, in_channels)
    options = {"init_weights": not pretrained, "transform_input": False} if name in _AUXILIARY_HEADS else {}
    if are_loaded(pretrained):
        with loading_weights(name, "torchvision"):
            network = models.get_model(name, weights="DEFAULT", **options)
        _replace_last_layer(network, num_classes)
    else:
        network = models.get_model(name, num_classes=num_classes, **options)
    if name in _AUXILIARY_HEADS:
        network.aux_logits = False
        for head in _AUXILIARY_HEADS[name]:
            setattr(network, head, None)
    if in_channels != COLOR_CHANNELS:
        if repeat_channels:
            repeat_gray_channel(network)
        else:
            set_in_channels(network, in_channels)
    return network


def _replace_last_layer(network: nn.Module, num_classes: int) -> None:
    """Put a new layer with one output per class in the place of the last one, a linear layer or a 1 x 1 convolution."""
    layers = [item for item in network.named_modules() if isinstance(item[1], nn.Linear | nn.Conv2d)]
    name, last = layers[-1]
    if isinstance(last, nn.Linear):
        network.set_submodule(name, nn.Linear(last.in_features, num_classes))
    else:
        network.set_submodule(name, nn.Conv2d(last.in_channels, num_classes, 1))
