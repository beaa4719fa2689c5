"""Inception v3 (Szegedy et al., 2015, https://arxiv.org/abs/1512.00567), as in torchvision.

The auxiliary classifier, which torchvision uses only in training, is left out. torchvision's network is the one that
the authors released. It differs from the paper: after the first pool of the stem, the paper's table 1 has three 3 x 3
convolutions, and its figure 5 has a 3 x 3 convolution where block A has a 5 x 5 one. As in torchvision, the average
pools of the blocks include the padding in their means. `transform_input`, with which torchvision's pretrained network
maps its images to -1..1, is not part of this network.
"""

from torch import Tensor, nn

from cnn_experiments.models.layers import Branches, conv_chain, conv_norm_relu, dropout_head, inception_stem


def pool_branch(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return an average pool and a 1 x 1 convolution: (N, in_channels, H, W) to (N, out_channels, H, W)."""
    return nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), conv_chain(in_channels, (out_channels, 1)))


def split_3x3(channels: int) -> Branches:
    """Return a 1 x 3 and a 3 x 1 convolution of the same input: (N, channels, H, W) to (N, 2 * channels, H, W)."""
    return Branches(conv_chain(channels, (channels, (1, 3))), conv_chain(channels, (channels, (3, 1))))


class InceptionA(Branches):
    """The block of figure 5, which has two 3 x 3 convolutions in place of a larger one.

    Shapes: (N, in_channels, H, W) to (N, 224 + pool_channels, H, W).
    """

    def __init__(self, in_channels: int, pool_channels: int) -> None:
        super().__init__(
            conv_chain(in_channels, (64, 1)),
            conv_chain(in_channels, (48, 1), (64, 5)),
            conv_chain(in_channels, (64, 1), (96, 3), (96, 3)),
            pool_branch(in_channels, pool_channels),
        )


class InceptionB(Branches):
    """The block of figure 6, which has a 1 x 7 and a 7 x 1 convolution in place of a 7 x 7 one.

    Shapes: (N, 768, H, W) to (N, 768, H, W).

    Args:
        channels: output channels of the convolutions within the branches.
    """

    def __init__(self, channels: int) -> None:
        row, column = (1, 7), (7, 1)
        super().__init__(
            conv_chain(768, (192, 1)),
            conv_chain(768, (channels, 1), (channels, row), (192, column)),
            conv_chain(768, (channels, 1), (channels, column), (channels, row), (channels, column), (192, row)),
            pool_branch(768, 192),
        )


class InceptionC(Branches):
    """The block of figure 7, whose 3 x 3 convolutions are split into a 1 x 3 and a 3 x 1 one, side by side.

    Shapes: (N, in_channels, H, W) to (N, 2048, H, W).
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            conv_chain(in_channels, (320, 1)),
            conv_chain(in_channels, (384, 1)).append(split_3x3(384)),
            conv_chain(in_channels, (448, 1), (384, 3)).append(split_3x3(384)),
            pool_branch(in_channels, 192),
        )


class ReductionA(Branches):
    """The block between A and B, which halves the resolution: (N, 288, H, W) to (N, 768, H / 2, W / 2)."""

    def __init__(self) -> None:
        super().__init__(
            conv_norm_relu(288, 384, 3, stride=2, padding=0),
            conv_chain(288, (64, 1), (96, 3)).append(conv_norm_relu(96, 96, 3, stride=2, padding=0)),
            nn.MaxPool2d(3, stride=2),
        )


class ReductionB(Branches):
    """The block between B and C, which halves the resolution: (N, 768, H, W) to (N, 1280, H / 2, W / 2)."""

    def __init__(self) -> None:
        super().__init__(
            conv_chain(768, (192, 1)).append(conv_norm_relu(192, 320, 3, stride=2, padding=0)),
            conv_chain(768, (192, 1), (192, (1, 7)), (192, (7, 1))).append(
                conv_norm_relu(192, 192, 3, stride=2, padding=0)
            ),
            nn.MaxPool2d(3, stride=2),
        )


class InceptionV3(nn.Module):
    """A stem, three stages of Inception blocks with reductions between them, and a linear head with dropout.

    Shapes: (N, in_channels, H, W) to (N, num_classes), for H and W of at least 75.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        dropout: probability that a pooled feature is dropped in training.

    Raises:
        ArgumentError: `dropout` is not in [0, 1].
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *inception_stem(in_channels),
            nn.Sequential(InceptionA(192, 32), InceptionA(256, 64), InceptionA(288, 64)),
            ReductionA(),
            nn.Sequential(InceptionB(128), InceptionB(160), InceptionB(160), InceptionB(192)),
            ReductionB(),
            nn.Sequential(InceptionC(1280), InceptionC(2048)),
        )
        self.head = dropout_head(2048, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
