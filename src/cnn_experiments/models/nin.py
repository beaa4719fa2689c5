"""Network in network (Lin et al., 2013, https://arxiv.org/abs/1312.4400), the course's version.

It has four blocks with AlexNet's kernels and strides; the paper's network has three, for images of 32 pixels.

A ReLU precedes the average that gives the logits, so that no logit is negative, and it can die: in the course, with
plain SGD and a learning rate of 0.1, a few runs in a hundred stay at chance.
"""

import math

from torch import Tensor, nn

from cnn_experiments.models.layers import check_at_least, check_divisor, check_fraction

_WIDTHS = (96, 256, 384)


def nin_block(
    in_channels: int, out_channels: int, num_1x1_convs: int, kernel_size: int, stride: int, padding: int
) -> nn.Sequential:
    """Return a convolution and 1 x 1 convolutions, the network in the network, each followed by a ReLU."""
    layers = [nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding), nn.ReLU()]
    for _ in range(num_1x1_convs):
        layers += [nn.Conv2d(out_channels, out_channels, 1), nn.ReLU()]
    return nn.Sequential(*layers)


class NiN(nn.Module):
    """Four NiN blocks, of which the last has one channel per class; global average pooling makes it the logits.

    Shapes: (N, in_channels, H, W) to (N, num_classes), where H and W are at least 67.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        num_1x1_convs: number of 1 x 1 convolutions of each block.
        channel_divisor: divisor of the first three blocks' 96, 256 and 384 channels.
        dropout: probability that an input of the last block is dropped in training.

    Raises:
        ArgumentError: `num_1x1_convs` is negative, the divisor leaves a remainder, or `dropout` is not in [0, 1].
    """

    def __init__(
        self, in_channels: int, num_classes: int, num_1x1_convs: int, channel_divisor: int, dropout: float
    ) -> None:
        super().__init__()
        check_at_least(0, num_1x1_convs=num_1x1_convs)
        check_divisor(math.gcd(*_WIDTHS), channel_divisor=channel_divisor)
        check_fraction(dropout=dropout)
        width1, width2, width3 = (width // channel_divisor for width in _WIDTHS)
        self.features = nn.Sequential(
            nin_block(in_channels, width1, num_1x1_convs, 11, stride=4, padding=0),
            nn.MaxPool2d(3, stride=2),
            nin_block(width1, width2, num_1x1_convs, 5, stride=1, padding=2),
            nn.MaxPool2d(3, stride=2),
            nin_block(width2, width3, num_1x1_convs, 3, stride=1, padding=1),
            nn.MaxPool2d(3, stride=2),
            nn.Dropout(dropout),
        )
        self.head = nn.Sequential(
            nin_block(width3, num_classes, num_1x1_convs, 3, stride=1, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
