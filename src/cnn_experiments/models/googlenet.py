"""GoogLeNet (Szegedy et al., 2014, https://arxiv.org/abs/1409.4842), the course's version.

It leaves out the paper's local response normalisation, auxiliary classifiers and dropout, and pads its pools instead of
letting them overhang. Batch normalisation came with its successor (Ioffe and Szegedy, 2015,
https://arxiv.org/abs/1502.03167), and takes the place of the biases. torchvision's network has it always, with an
epsilon of 0.001, and has the auxiliary classifiers, dropout, pools that overhang, and 3 x 3 convolutions in the branch
of the paper's 5 x 5.
"""

import torch
from torch import Tensor, nn

from cnn_experiments.models.layers import linear_head, norm2d


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int, norm: str) -> nn.Sequential:
    """A convolution that keeps the resolution but for its stride, normalisation and ReLU."""
    padding = kernel_size // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=norm == "none"),
        *norm2d(norm, out_channels),
        nn.ReLU(),
    )


class Inception(nn.Module):
    """Four branches side by side: 1 x 1, 3 x 3 and 5 x 5 convolutions behind 1 x 1 reductions, and a max-pool.

    Shapes: (N, in_channels, H, W) to (N, ones + threes[1] + fives[1] + pooled, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        ones: int,
        threes: tuple[int, int],
        fives: tuple[int, int],
        pooled: int,
        norm: str,
    ) -> None:
        super().__init__()
        self.branch1 = conv(in_channels, ones, 1, 1, norm)
        self.branch2 = nn.Sequential(conv(in_channels, threes[0], 1, 1, norm), conv(*threes, 3, 1, norm))
        self.branch3 = nn.Sequential(conv(in_channels, fives[0], 1, 1, norm), conv(*fives, 5, 1, norm))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(in_channels, pooled, 1, 1, norm))

    def forward(self, x: Tensor) -> Tensor:
        """The branches' outputs, one behind the other along the channels."""
        return torch.cat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), dim=1)


class GoogLeNet(nn.Module):
    """A stem and nine Inception blocks in three stages.

    Shapes: (N, in_channels, H, W) to (N, num_classes), with any H and W.

    Args:
        in_channels: channels of the images.
        num_classes: scores for each image.
        norm: `none`, `batch` (torch's) or `scratch` (the one written out), behind every convolution.

    Raises:
        ValueError: `norm` is none of these.
    """

    def __init__(self, in_channels: int, num_classes: int, norm: str) -> None:
        super().__init__()

        def halve() -> nn.Module:
            return nn.MaxPool2d(3, stride=2, padding=1)

        self.features = nn.Sequential(
            nn.Sequential(conv(in_channels, 64, 7, 2, norm), halve()),
            nn.Sequential(conv(64, 64, 1, 1, norm), conv(64, 192, 3, 1, norm), halve()),
            nn.Sequential(
                Inception(192, 64, (96, 128), (16, 32), 32, norm),
                Inception(256, 128, (128, 192), (32, 96), 64, norm),
                halve(),
            ),
            nn.Sequential(
                Inception(480, 192, (96, 208), (16, 48), 64, norm),
                Inception(512, 160, (112, 224), (24, 64), 64, norm),
                Inception(512, 128, (128, 256), (24, 64), 64, norm),
                Inception(512, 112, (144, 288), (32, 64), 64, norm),
                Inception(528, 256, (160, 320), (32, 128), 128, norm),
                halve(),
            ),
            nn.Sequential(
                Inception(832, 256, (160, 320), (32, 128), 128, norm),
                Inception(832, 384, (192, 384), (48, 128), 128, norm),
            ),
        )
        self.head = linear_head(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of every class."""
        return self.head(self.features(x))
