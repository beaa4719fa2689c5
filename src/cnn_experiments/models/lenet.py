"""LeNet-5 (LeCun et al., 1998, "Gradient-based learning applied to document recognition").

The course's version: max-pooling instead of trained subsampling, no padding, every map connected to every map,
a softmax classifier instead of radial basis functions.
"""

from torch import Tensor, nn


class LeNet(nn.Module):
    """Two sigmoid convolutions and three linear layers.

    `batch_norm` normalises the input of every sigmoid (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167).

    Shapes: (N, in_channels, H, W) to (N, num_classes), with H and W of 16 or more. At 28 the features are 4 x 4 and
    the head's pooling is the identity.
    """

    def __init__(self, in_channels: int, num_classes: int, batch_norm: bool) -> None:
        super().__init__()

        def conv(channels: int, out_channels: int) -> list[nn.Module]:
            norm = [nn.BatchNorm2d(out_channels)] if batch_norm else []
            return [nn.Conv2d(channels, out_channels, 5), *norm, nn.Sigmoid(), nn.MaxPool2d(2)]

        def linear(features: int, out_features: int) -> list[nn.Module]:
            norm = [nn.BatchNorm1d(out_features)] if batch_norm else []
            return [nn.Linear(features, out_features), *norm, nn.Sigmoid()]

        self.features = nn.Sequential(*conv(in_channels, 6), *conv(6, 16))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            *linear(16 * 4 * 4, 120),
            *linear(120, 84),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores of every class."""
        return self.head(self.features(x))
