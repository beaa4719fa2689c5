"""Initial values of a network's weights. Each function changes the network in place, once, before it is trained."""

from collections.abc import Iterator

from torch import Tensor, nn

from cnn_experiments.models import scratch

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, scratch.Conv2d)


def default(model: nn.Module) -> None:
    """Leaves what each layer's own constructor drew."""


def xavier(model: nn.Module) -> None:
    """Xavier-uniform weights of convolutions and linear layers, variance 2 / (fan_in + fan_out).

    Glorot and Bengio, 2010; as in the course, biases stay what they are.

    Raises:
        ValueError: a weight is computed from others, as by weight normalisation.
    """
    for weight, _ in _layers(model):
        nn.init.xavier_uniform_(weight)


def kaiming(model: nn.Module) -> None:
    """Normal weights of convolutions and linear layers, variance 2 / fan_in, and zero biases, as made for ReLU.

    He et al., 2015, arXiv 1502.01852.

    Raises:
        ValueError: a weight is computed from others, as by weight normalisation.
    """
    for weight, bias in _layers(model):
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
        if bias is not None:
            nn.init.zeros_(bias)


def _layers(model: nn.Module) -> Iterator[tuple[Tensor, Tensor | None]]:
    for name, module in model.named_modules():
        if isinstance(module, _LAYERS):
            if not isinstance(module.weight, nn.Parameter):
                raise ValueError(
                    f"{name}.weight is computed from others and can't be drawn; init=default leaves it alone"
                )
            yield module.weight, module.bias
