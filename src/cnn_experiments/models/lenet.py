"""LeNet-5 (LeCun et al., 1998, "Gradient-based learning applied to document recognition"), the course's version.

It has sigmoids instead of scaled tanh, max or average pooling instead of trained subsampling, connects every map to
every map, has a softmax classifier instead of radial basis functions, and takes images of 28 pixels, padded or not,
instead of 32. Batch normalization (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167) precedes every
activation.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.models.layers import check_at_least, check_choice, norm1d, norm2d

_POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
_ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}
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
        norm: normalization before every activation: a choice of `norm2d`.
        pool: `max` or `avg`.
        padding: padding of the first convolution; with 2 and a kernel of 5 its output is as large as the image.

    Raises:
        ArgumentError: `activation`, `norm` or `pool` is none of these, `padding` is negative, another number is not
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
        pool: str,
        padding: int,
    ) -> None:
        super().__init__()
        check_at_least(0, padding=padding)
        check_at_least(1, channels=channels, kernel_size=kernel_size)
        if hidden_units:
            check_at_least(1, hidden_units=hidden_units)
        pool2d = _POOLS[check_choice("pool", pool, _POOLS)]
        activate = _ACTIVATIONS[check_choice("activation", activation, _ACTIVATIONS)]
        features: list[nn.Module] = []
        size = _IMAGE_SIZE + 2 * padding
        for i, (previous, width) in enumerate(zip([in_channels, *channels], channels, strict=False)):
            size = (size - kernel_size + 1) // 2
            if size < 1:
                cause = f"convolution {i + 1} and its pool leave nothing of an image of {_IMAGE_SIZE} pixels"
                raise ArgumentError("kernel_size", kernel_size, f"must be smaller, or channels fewer: {cause}")
            conv = nn.Conv2d(previous, width, kernel_size, padding=0 if i else padding)
            features += [conv, *norm2d(norm, width), activate(), pool2d(2)]
        head: list[nn.Module] = [nn.AdaptiveAvgPool2d(size), nn.Flatten()]
        num_features = channels[-1] * size**2
        for units in hidden_units:
            head += [nn.Linear(num_features, units), *norm1d(norm, units), activate()]
            num_features = units
        self.features = nn.Sequential(*features)
        self.head = nn.Sequential(*head, nn.Linear(num_features, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
