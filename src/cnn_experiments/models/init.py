"""Initialization of a network's weights; each function changes the network in place, once, before it is trained."""

from collections.abc import Iterator

from torch import Tensor, nn

from cnn_experiments.models import scratch

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, scratch.Conv2d)


def default(model: nn.Module) -> None:
    """Keep the values that the layers' constructors have drawn."""


def xavier(model: nn.Module) -> None:
    """Draw the weights of convolutions and linear layers uniformly, with variance 2 / (fan_in + fan_out).

    Glorot and Bengio, 2010, "Understanding the difficulty of training deep feedforward neural networks". As in the
    course, biases keep the values that the layers' constructors have drawn.

    Raises:
        ValueError: a weight is computed from other parameters, as with weight normalization.
    """
    for weight, _ in _weights_and_biases(model):
        nn.init.xavier_uniform_(weight)


def kaiming(model: nn.Module) -> None:
    """Draw the weights of convolutions and linear layers from a normal distribution with variance 2 / fan_in.

    Biases become zero. He et al., 2015, https://arxiv.org/abs/1502.01852, made for ReLU.

    Raises:
        ValueError: a weight is computed from other parameters, as with weight normalization.
    """
    for weight, bias in _weights_and_biases(model):
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
        if bias is not None:
            nn.init.zeros_(bias)


def _weights_and_biases(model: nn.Module) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield the weight and the bias of every convolution and linear layer."""
    for name, module in model.named_modules():
        if isinstance(module, _LAYERS):
            if not isinstance(module.weight, nn.Parameter):
                raise ValueError(
                    f"{name}.weight is computed from other parameters and cannot be initialized; use init=default"
                )
            yield module.weight, module.bias
