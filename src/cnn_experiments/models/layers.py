"""What several papers share."""

from collections.abc import Callable, Collection

from torch import nn

from cnn_experiments.models.scratch import BatchNorm

_NORMS_2D: dict[str, list[Callable[[int], nn.Module]]] = {
    "none": [],
    "batch": [nn.BatchNorm2d],
    "scratch": [BatchNorm],
}
_NORMS_1D = _NORMS_2D | {"batch": [nn.BatchNorm1d]}


def one_of(name: str, value: str, values: Collection[str]) -> str:
    """The value itself.

    Raises:
        ValueError: it is none of those.
    """
    if value not in values:
        raise ValueError(f"{name}={value}: must be one of {', '.join(values)}")
    return value


def norm2d(norm: str, channels: int) -> list[nn.Module]:
    """The normalisation behind a convolution: `none`, torch's (`batch`) or the one written out (`scratch`).

    Raises:
        ValueError: `norm` is none of these.
    """
    return [layer(channels) for layer in _NORMS_2D[one_of("norm", norm, _NORMS_2D)]]


def norm1d(norm: str, features: int) -> list[nn.Module]:
    """The same behind a linear layer."""
    return [layer(features) for layer in _NORMS_1D[one_of("norm", norm, _NORMS_1D)]]


def linear_head(channels: int, num_classes: int) -> nn.Sequential:
    """The average over all positions and one linear layer: (N, channels, H, W) to (N, num_classes)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def hidden_head(channels: int, grid: int, hidden: int, num_classes: int, dropout: float) -> nn.Sequential:
    """Two hidden layers on features pooled to `grid` x `grid`: (N, channels, H, W) to (N, num_classes).

    The pooling is the identity, to the bit, where the features have that size already.
    """
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(grid),
        nn.Flatten(),
        nn.Linear(channels * grid**2, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, num_classes),
    )
