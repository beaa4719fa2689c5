"""AlexNet (Krizhevsky et al., 2012, "ImageNet classification with deep convolutional neural networks").

The course's version: the paper's widths without their split over two GPUs, no local response normalisation, and a first
layer without padding, which leaves 5 x 5 features of a 224-pixel image where the paper has 6 x 6. torchvision's is
another network again: the narrower one of Krizhevsky (2014, https://arxiv.org/abs/1404.5997).
"""

from torch import Tensor, nn

from cnn_experiments.models.layers import at_least, hidden_head


class AlexNet(nn.Module):
    """Five ReLU convolutions, three overlapping max-pools, two hidden layers with dropout.

    Shapes: (N, in_channels, H, W) to (N, num_classes), with H and W of 67 - 2 * padding or more. At 224 the head's
    pooling is the identity.

    Args:
        in_channels: channels of the images.
        num_classes: scores for each image.
        padding: pixels around the image for the first convolution: 0 or 1 in the course's editions.
        dropout: share of hidden units left out in training.

    Raises:
        ValueError: `padding` is below 0 or `dropout` no share.
    """

    def __init__(self, in_channels: int, num_classes: int, padding: int, dropout: float) -> None:
        super().__init__()
        at_least(0, padding=padding)
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
        self.head = hidden_head(256, grid=5, hidden=4096, num_classes=num_classes, dropped=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of every class."""
        return self.head(self.features(x))
