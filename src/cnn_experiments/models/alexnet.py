"""AlexNet (Krizhevsky et al., 2012, "ImageNet classification with deep convolutional neural networks").

This is the course's version. It has the paper's widths, but is not split over two GPUs, has no local response
normalization, and does not pad the first convolution: an image of 224 pixels has 5 x 5 features, in the paper 6 x 6.
torchvision's network is the narrower one of Krizhevsky (2014, https://arxiv.org/abs/1404.5997).
"""

import math

from torch import Tensor, nn

from cnn_experiments.models.layers import check_at_least, check_divisor, mlp_head

_WIDTHS = (96, 256, 384, 384, 256)
_HIDDEN = 4096


class AlexNet(nn.Module):
    """Five convolutions with ReLU, three overlapping max-pools, and two hidden layers with dropout.

    Shapes: (N, in_channels, H, W) to (N, num_classes), where H and W are at least 67 - 2 * padding. At 224 pixels the
    head's pooling is the identity.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        padding: padding of the first convolution; editions of the course have 0 or 1.
        channel_divisor: divisor of the convolutions' 96, 256, 384, 384 and 256 channels.
        hidden_divisor: divisor of the hidden layers' 4096 units.
        dropout: probability that a hidden unit is dropped in training.

    Raises:
        ArgumentError: `padding` is negative, a divisor leaves a remainder, or `dropout` is not in [0, 1].
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        padding: int,
        channel_divisor: int,
        hidden_divisor: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_at_least(0, padding=padding)
        check_divisor(math.gcd(*_WIDTHS), channel_divisor=channel_divisor)
        check_divisor(_HIDDEN, hidden_divisor=hidden_divisor)
        conv1, conv2, conv3, conv4, conv5 = (width // channel_divisor for width in _WIDTHS)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, conv1, 11, stride=4, padding=padding), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(conv1, conv2, 5, padding=2), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(conv2, conv3, 3, padding=1), nn.ReLU(),
            nn.Conv2d(conv3, conv4, 3, padding=1), nn.ReLU(),
            nn.Conv2d(conv4, conv5, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )  # fmt: skip
        self.head = mlp_head(conv5, 5, _HIDDEN // hidden_divisor, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
