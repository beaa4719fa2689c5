"""Network in network (Lin et al., 2013, https://arxiv.org/abs/1312.4400), the course's version.

It has four blocks with AlexNet's kernels and strides; the paper's network has three, for images of 32 pixels.

A ReLU precedes the average that gives the logits, so that no logit is negative, and it can die: in the course, with
plain SGD and a learning rate of 0.1, a few runs in a hundred stay at chance.
"""

from torch import Tensor, nn

from cnn_experiments.models.layers import check_fraction


def nin_block(in_channels: int, out_channels: int, kernel_size: int, stride: int, padding: int) -> nn.Sequential:
    """Return a convolution and two 1 x 1 convolutions, the network in the network, each followed by a ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding), nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 1), nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 1), nn.ReLU(),
    )  # fmt: skip


class NiN(nn.Module):
    """Four NiN blocks, of which the last has one channel per class; global average pooling makes it the logits.

    Shapes: (N, in_channels, H, W) to (N, num_classes), where H and W are at least 67.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        dropout: probability that an input of the last block is dropped in training.

    Raises:
        ArgumentError: `dropout` is not in [0, 1].
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        check_fraction(dropout=dropout)
        self.features = nn.Sequential(
            nin_block(in_channels, 96, 11, stride=4, padding=0),
            nn.MaxPool2d(3, stride=2),
            nin_block(96, 256, 5, stride=1, padding=2),
            nn.MaxPool2d(3, stride=2),
            nin_block(256, 384, 3, stride=1, padding=1),
            nn.MaxPool2d(3, stride=2),
            nn.Dropout(dropout),
        )
        self.head = nn.Sequential(
            nin_block(384, num_classes, 3, stride=1, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
