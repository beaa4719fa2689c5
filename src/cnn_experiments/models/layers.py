"""What several papers share."""

from collections.abc import Callable, Collection, Sequence

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


def at_least(least: int, **values: int | Sequence[int]) -> None:
    """Checks whole numbers, or every one of a list of them, which must not be empty.

    Raises:
        ValueError: one is smaller.
    """
    for name, value in values.items():
        if isinstance(value, int):
            if value < least:
                raise ValueError(f"{name}={value}: must be a whole number of {least} or more")
        elif not value or min(value) < least:
            raise ValueError(f"{name}={list(value)}: must be a list of whole numbers of {least} or more")


def dropout(share: float) -> nn.Dropout:
    """Leaves a share of the values out in training.

    Raises:
        ValueError: it is no share.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"dropout={share}: must be a share from 0 to 1")
    return nn.Dropout(share)


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


def hidden_head(channels: int, grid: int, hidden: int, num_classes: int, dropped: float) -> nn.Sequential:
    """Two hidden layers on features pooled to `grid` x `grid`: (N, channels, H, W) to (N, num_classes).

    The pooling is the identity, to the bit, where the features have that size already.
    """
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(grid),
        nn.Flatten(),
        nn.Linear(channels * grid**2, hidden),
        nn.ReLU(),
        dropout(dropped),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        dropout(dropped),
        nn.Linear(hidden, num_classes),
    )
