"""GoogLeNet (Szegedy et al., 2014, https://arxiv.org/abs/1409.4842), the course's version.

It has no local response normalization, no auxiliary classifiers and no dropout, and its pools are padded instead of
rounding sizes up. Batch normalization, which came with the paper's successor (Ioffe and Szegedy, 2015,
https://arxiv.org/abs/1502.03167), replaces the biases. torchvision's network differs: it always has batch
normalization, with an epsilon of 0.001, has auxiliary classifiers and dropout, its pools round sizes up, and the
branch of the paper's 5 x 5 convolution has a 3 x 3 one.
"""

import torch
from torch import Tensor, nn

from cnn_experiments.models.layers import linear_head, norm2d


def conv_block(in_channels: int, out_channels: int, kernel_size: int, stride: int, norm: str) -> nn.Sequential:
    """Return a convolution, its normalization and ReLU.

    Shapes: (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride).
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=norm == "none"),
        *norm2d(norm, out_channels),
        nn.ReLU(),
    )


def downsample() -> nn.MaxPool2d:
    """Return the max-pool that halves the resolution: (N, C, H, W) to (N, C, H / 2, W / 2)."""
    return nn.MaxPool2d(3, stride=2, padding=1)


class Inception(nn.Module):
    """Four parallel branches: a 1 x 1 convolution, 3 x 3 and 5 x 5 ones after 1 x 1 reductions, and a max-pool.

    Shapes: (N, in_channels, H, W) to (N, out_1x1 + out_3x3 + out_5x5 + pool_proj, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        out_1x1: int,
        reduce_3x3: int,
        out_3x3: int,
        reduce_5x5: int,
        out_5x5: int,
        pool_proj: int,
        norm: str,
    ) -> None:
        super().__init__()
        self.branch1 = conv_block(in_channels, out_1x1, 1, 1, norm)
        self.branch2 = nn.Sequential(
            conv_block(in_channels, reduce_3x3, 1, 1, norm),
            conv_block(reduce_3x3, out_3x3, 3, 1, norm),
        )
        self.branch3 = nn.Sequential(
            conv_block(in_channels, reduce_5x5, 1, 1, norm),
            conv_block(reduce_5x5, out_5x5, 5, 1, norm),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1),
            conv_block(in_channels, pool_proj, 1, 1, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the branches, concatenated along the channels."""
        return torch.cat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), dim=1)


class GoogLeNet(nn.Module):
    """A stem, nine Inception blocks in three stages, and a linear head.

    Shapes: (N, in_channels, H, W) to (N, num_classes), for any H and W.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        norm: normalization after every convolution: a choice of `norm2d`.

    Raises:
        ArgumentError: `norm` is none of these.
    """

    def __init__(self, in_channels: int, num_classes: int, norm: str) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(conv_block(in_channels, 64, 7, 2, norm), downsample()),
            nn.Sequential(conv_block(64, 64, 1, 1, norm), conv_block(64, 192, 3, 1, norm), downsample()),
            # The columns of the paper's table 1: in_channels, #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
            nn.Sequential(
                Inception(192, 64, 96, 128, 16, 32, 32, norm),
                Inception(256, 128, 128, 192, 32, 96, 64, norm),
                downsample(),
            ),
            nn.Sequential(
                Inception(480, 192, 96, 208, 16, 48, 64, norm),
                Inception(512, 160, 112, 224, 24, 64, 64, norm),
                Inception(512, 128, 128, 256, 24, 64, 64, norm),
                Inception(512, 112, 144, 288, 32, 64, 64, norm),
                Inception(528, 256, 160, 320, 32, 128, 128, norm),
                downsample(),
            ),
            nn.Sequential(
                Inception(832, 256, 160, 320, 32, 128, 128, norm),
                Inception(832, 384, 192, 384, 48, 128, 128, norm),
            ),
        )
        self.head = linear_head(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
