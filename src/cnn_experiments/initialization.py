"""Initial values of a network's weights. Each function changes the network in place, once, before it is trained."""

from collections.abc import Iterator

from torch import Tensor, nn


def default(model: nn.Module) -> None:
    """Leaves what each layer's own constructor drew."""


def xavier(model: nn.Module) -> None:
    """Xavier-uniform weights of convolutions and linear layers, variance 2 / (fan_in + fan_out).

    Glorot and Bengio, 2010; as in the course, biases stay what they are.
    """
    for weight, _ in _layers(model):
        nn.init.xavier_uniform_(weight)


def kaiming(model: nn.Module) -> None:
    """Normal weights of convolutions and linear layers, variance 2 / fan_in, and zero biases, as made for ReLU.

    He et al., 2015, arXiv 1502.01852.
    """
    for weight, bias in _layers(model):
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
        if bias is not None:
            nn.init.zeros_(bias)


def _layers(model: nn.Module) -> Iterator[tuple[Tensor, Tensor | None]]:
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield module.weight, module.bias
