"""LeNet-5 (LeCun et al., 1998, "Gradient-based learning applied to document recognition"), the course's version.

It has sigmoids instead of scaled tanh, max or average pooling instead of trained subsampling, connects every map to
every map, has a softmax classifier instead of radial basis functions, and takes images of 28 pixels, padded or not,
instead of 32. Batch normalization (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167) precedes every sigmoid.
"""

from torch import Tensor, nn

from cnn_experiments.models.layers import check_at_least, check_choice, norm1d, norm2d

_POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


def linear_block(in_features: int, out_features: int, norm: str) -> list[nn.Module]:
    """Return a linear layer, its normalization and a sigmoid: (N, in_features) to (N, out_features)."""
    return [nn.Linear(in_features, out_features), *norm1d(norm, out_features), nn.Sigmoid()]


class LeNet(nn.Module):
    """Two convolutions with sigmoids and pools, and three linear layers.

    Shapes: (N, in_channels, H, W) to (N, num_classes), where H and W are at least 16 - 2 * padding. At 28 pixels the
    head's pooling is the identity.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        norm: normalization before every sigmoid: `none`, `batch` (torch's) or `scratch` (the one in scratch.py).
        pool: `max` or `avg`.
        padding: padding of the first convolution; with 2 its output is as large as the image.

    Raises:
        ArgumentError: `norm` or `pool` is none of these, or `padding` is negative.
    """

    def __init__(self, in_channels: int, num_classes: int, norm: str, pool: str, padding: int) -> None:
        super().__init__()
        check_at_least(0, padding=padding)
        pool2d = _POOLS[check_choice("pool", pool, _POOLS)]
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=padding), *norm2d(norm, 6), nn.Sigmoid(), pool2d(2),
            nn.Conv2d(6, 16, 5), *norm2d(norm, 16), nn.Sigmoid(), pool2d(2),
        )  # fmt: skip
        grid = ((28 + 2 * padding - 4) // 2 - 4) // 2
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(grid),
            nn.Flatten(),
            *linear_block(16 * grid**2, 120, norm),
            *linear_block(120, 84, norm),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
