"""LeNet-5 (LeCun et al., 1998, "Gradient-based learning applied to document recognition"), the course's version.

It has sigmoids instead of scaled tanh, max or average pooling instead of trained subsampling, connects every map to
every map, has a softmax classifier instead of radial basis functions, and takes images of 28 pixels, padded or not,
instead of 32. With batch normalization (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167), the course has it
before every activation. A convolution with a stride of 2 can be in the place of one with a pool (Springenberg et al.,
2015, https://arxiv.org/abs/1412.6806), for a quarter of its multiply-adds.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.models.layers import check_at_least, check_choice, check_each_at_least, norm1d, norm2d

_POOLS: dict[str, Callable[[int], nn.Module] | None] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d, "stride": None}
_ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}
_NORM_POSITIONS = ("before_activation", "after_activation")
_IMAGE_SIZE = 28


class LeNet(nn.Module):
    """Convolutions, each with an activation and a pool, and linear layers: two and three in the course.

    Shapes: (N, in_channels, H, W) to (N, num_classes). At 28 pixels the head's pooling is the identity. With the
    course's layers, H and W are at least 16 - 2 * padding.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        channels: output channels of each convolution.
        kernel_size: of every convolution.
        hidden_units: units of each hidden layer.
        activation: `sigmoid`, `relu` or `tanh`.
        norm: normalization of layers: a choice of `norm2d`.
        norm_layers: numbers of the layers that are normalized, increasing from 1: the convolutions are the first, the
            hidden layers follow. None normalizes all of them.
        norm_position: `before_activation`, or `after_activation`, which is before the pool of a convolution.
        pool: `max` or `avg` after each convolution, or `stride`: none, and convolutions with a stride of 2.
        padding: padding of the first convolution; with 2 and a kernel of 5 its output is as large as the image.

    Raises:
        ArgumentError: `activation`, `norm`, `norm_position` or `pool` is none of these, `norm_layers` are no layers of
            this network, one of these two is set without a `norm`, `padding` is negative, another number is not
            positive, or the convolutions leave nothing of an image of 28 pixels.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: Sequence[int],
        kernel_size: int,
        hidden_units: Sequence[int],
        activation: str,
        norm: str,
        norm_layers: Sequence[int] | None,
        norm_position: str,
        pool: str,
        padding: int,
    ) -> None:
        super().__init__()
        check_at_least(0, padding=padding)
        check_each_at_least(1, channels=channels)
        check_at_least(1, kernel_size=kernel_size)
        if hidden_units:
            check_each_at_least(1, hidden_units=hidden_units)
        check_choice("norm_position", norm_position, _NORM_POSITIONS)
        if norm == "none":
            _check_nothing_is_normalized(norm_layers, norm_position)
        normalized = _normalized_layers(norm_layers, len(channels), len(hidden_units))
        pool2d = _POOLS[check_choice("pool", pool, _POOLS)]
        activate = _ACTIVATIONS[check_choice("activation", activation, _ACTIVATIONS)]
        features: list[nn.Module] = []
        stride = 2 if pool2d is None else 1
        size = _IMAGE_SIZE + 2 * padding
        for i, (previous, width) in enumerate(zip([in_channels, *channels], channels, strict=False)):
            size = (size - kernel_size) // stride + 1
            if pool2d is not None:
                size //= 2
            if size < 1:
                layers = f"convolution {i + 1} leaves" if pool2d is None else f"convolution {i + 1} and its pool leave"
                cause = f"{layers} nothing of an image of {_IMAGE_SIZE} pixels"
                raise ArgumentError("kernel_size", kernel_size, f"must be smaller, or channels fewer: {cause}")
            conv = nn.Conv2d(previous, width, kernel_size, stride, padding=0 if i else padding)
            norms = norm2d(norm, width) if i + 1 in normalized else []
            pools = [] if pool2d is None else [pool2d(2)]
            features += [conv, *_in_order(norms, activate(), norm_position), *pools]
        head: list[nn.Module] = [nn.AdaptiveAvgPool2d(size), nn.Flatten()]
        num_features = channels[-1] * size**2
        for i, units in enumerate(hidden_units, start=len(channels)):
            norms = norm1d(norm, units) if i + 1 in normalized else []
            head += [nn.Linear(num_features, units), *_in_order(norms, activate(), norm_position)]
            num_features = units
        self.features = nn.Sequential(*features)
        self.head = nn.Sequential(*head, nn.Linear(num_features, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))


def _check_nothing_is_normalized(norm_layers: Sequence[int] | None, norm_position: str) -> None:
    """Check that the settings of the normalization are not set where there is none."""
    problem = "with norm=none, which normalizes nothing"
    if norm_layers is not None:
        raise ArgumentError("norm_layers", norm_layers, f"must be null {problem}")
    if norm_position != _NORM_POSITIONS[0]:
        raise ArgumentError("norm_position", norm_position, f"must be {_NORM_POSITIONS[0]} {problem}")


def _normalized_layers(norm_layers: Sequence[int] | None, num_convs: int, num_hidden: int) -> Sequence[int]:
    """Return the numbers of the layers that are normalized."""
    layers = range(1, num_convs + num_hidden + 1)
    if norm_layers is None:
        return layers
    is_list = isinstance(norm_layers, list | tuple) and all(type(layer) is int for layer in norm_layers)  # no bool
    if not is_list or not norm_layers or list(norm_layers) != [layer for layer in layers if layer in norm_layers]:
        problem = (
            f"must be null or a list of increasing numbers from 1 to {layers[-1]}: "
            f"first the convolutions ({num_convs}), then the hidden layers ({num_hidden})"
        )
        raise ArgumentError("norm_layers", norm_layers, problem)
    return norm_layers


def _in_order(norms: list[nn.Module], activation: nn.Module, norm_position: str) -> list[nn.Module]:
    return [*norms, activation] if norm_position == "before_activation" else [activation, *norms]
