"""AlexNet (Krizhevsky et al., 2012, "ImageNet classification with deep convolutional neural networks").

This is the course's version. It has the paper's widths, but is not split over two GPUs, has no local response
normalization, and does not pad the first convolution: an image of 224 pixels has 5 x 5 features, in the paper 6 x 6.
torchvision's network is the narrower one of Krizhevsky (2014, https://arxiv.org/abs/1404.5997).
"""

from torch import Tensor, nn

from cnn_experiments.models.layers import check_at_least, mlp_head


class AlexNet(nn.Module):
    """Five convolutions with ReLU, three overlapping max-pools, and two hidden layers with dropout.

    Shapes: (N, in_channels, H, W) to (N, num_classes), where H and W are at least 67 - 2 * padding. At 224 pixels the
    head's pooling is the identity.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        padding: padding of the first convolution; editions of the course have 0 or 1.
        dropout: probability that a hidden unit is dropped in training.

    Raises:
        ArgumentError: `padding` is negative, or `dropout` is not in [0, 1].
    """

    def __init__(self, in_channels: int, num_classes: int, padding: int, dropout: float) -> None:
        super().__init__()
        check_at_least(0, padding=padding)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 11, stride=4, padding=padding), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )  # fmt: skip
        self.head = mlp_head(256, grid=5, hidden=4096, num_classes=num_classes, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
