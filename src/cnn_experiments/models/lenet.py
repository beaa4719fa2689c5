"""LeNet-5 (LeCun et al., 1998, "Gradient-based learning applied to document recognition").

The course's version: sigmoids instead of scaled tanh, max- or average-pooling instead of trained subsampling, every map
connected to every map, a softmax classifier instead of radial basis functions, and 28 pixels, padded or not, instead of
32. Batch normalisation (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167) stands in front of every sigmoid.
"""

from torch import Tensor, nn

from cnn_experiments.models.layers import at_least, norm1d, norm2d, one_of

_POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


class LeNet(nn.Module):
    """Two sigmoid convolutions and three linear layers.

    Shapes: (N, in_channels, H, W) to (N, num_classes), with H and W of 16 - 2 * padding or more. At 28 the head's
    pooling is the identity.

    Args:
        in_channels: channels of the images.
        num_classes: scores for each image.
        norm: `none`, `batch` (torch's) or `scratch` (the one written out), in front of every sigmoid.
        pool: `max` or `avg`.
        padding: pixels around the image for the first convolution; 2 keeps its size.

    Raises:
        ValueError: `norm` or `pool` is none of these, or `padding` is below 0.
    """

    def __init__(self, in_channels: int, num_classes: int, norm: str, pool: str, padding: int) -> None:
        super().__init__()
        at_least(0, padding=padding)
        halve = _POOLS[one_of("pool", pool, _POOLS)]

        def linear(features: int, out_features: int) -> list[nn.Module]:
            return [nn.Linear(features, out_features), *norm1d(norm, out_features), nn.Sigmoid()]

        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=padding), *norm2d(norm, 6), nn.Sigmoid(), halve(2),
            nn.Conv2d(6, 16, 5), *norm2d(norm, 16), nn.Sigmoid(), halve(2),
        )  # fmt: skip
        grid = ((28 + 2 * padding - 4) // 2 - 4) // 2
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(grid),
            nn.Flatten(),
            *linear(16 * grid**2, 120),
            *linear(120, 84),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores of every class."""
        return self.head(self.features(x))
