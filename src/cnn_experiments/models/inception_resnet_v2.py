"""Inception-ResNet v2 (Szegedy et al., 2016, https://arxiv.org/abs/1602.07261), as in timm.

timm's network is the one that the authors released. It differs from the paper's figures: its stem is that of Inception
v3 and one Inception block, its stages have other widths and twice as many blocks, and its last residual block is
neither scaled nor activated.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import relu

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.models.layers import (
    Branches,
    KernelSize,
    check_each_at_least,
    conv_chain,
    conv_norm_relu,
    dropout_head,
    inception_stem,
)


class Inception(Branches):
    """The block that completes the stem: (N, 192, H, W) to (N, 320, H, W)."""

    def __init__(self) -> None:
        super().__init__(
            conv_chain(192, (96, 1)),
            conv_chain(192, (48, 1), (64, 5)),
            conv_chain(192, (64, 1), (96, 3), (96, 3)),
            nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False), conv_chain(192, (64, 1))),
        )


class Stage(NamedTuple):
    """What the residual blocks of a stage have in common."""

    channels: int
    scale: float
    """Factor of the residuals, which keeps the training of wide blocks stable."""
    branches: tuple[tuple[tuple[int, KernelSize], ...], ...]
    """The convolutions of each branch: output channels and kernel size."""


STAGE_A = Stage(320, 0.17, (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))))
STAGE_B = Stage(1088, 0.10, (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))))
STAGE_C = Stage(2080, 0.20, (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))))


class ResidualBlock(nn.Module):
    """The input plus a residual, which is a scaled 1 x 1 convolution of parallel branches.

    Shapes: (N, channels, H, W) to (N, channels, H, W).
    """

    def __init__(self, stage: Stage, scale: float, activated: bool) -> None:
        super().__init__()
        self.branches = Branches(*(conv_chain(stage.channels, *convs) for convs in stage.branches))
        self.projection = nn.Conv2d(sum(convs[-1][0] for convs in stage.branches), stage.channels, 1)
        self.scale = scale
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of the input and the scaled residual, and activate it unless the block is the last one."""
        y = x + self.scale * self.projection(self.branches(x))
        return relu(y) if self.activated else y


def residual_blocks(stage: Stage, depth: int) -> nn.Sequential:
    """Return `depth` blocks of a stage: (N, channels, H, W) to (N, channels, H, W)."""
    return nn.Sequential(*(ResidualBlock(stage, stage.scale, activated=True) for _ in range(depth)))


class ReductionA(Branches):
    """The block between A and B, which halves the resolution: (N, 320, H, W) to (N, 1088, H / 2, W / 2)."""

    def __init__(self) -> None:
        super().__init__(
            conv_norm_relu(320, 384, 3, stride=2, padding=0),
            conv_chain(320, (256, 1), (256, 3)).append(conv_norm_relu(256, 384, 3, stride=2, padding=0)),
            nn.MaxPool2d(3, stride=2),
        )


class ReductionB(Branches):
    """The block between B and C, which halves the resolution: (N, 1088, H, W) to (N, 2080, H / 2, W / 2)."""

    def __init__(self) -> None:
        super().__init__(
            conv_chain(1088, (256, 1)).append(conv_norm_relu(256, 384, 3, stride=2, padding=0)),
            conv_chain(1088, (256, 1)).append(conv_norm_relu(256, 288, 3, stride=2, padding=0)),
            conv_chain(1088, (256, 1), (288, 3)).append(conv_norm_relu(288, 320, 3, stride=2, padding=0)),
            nn.MaxPool2d(3, stride=2),
        )


class InceptionResNetV2(nn.Module):
    """A stem, three stages of residual Inception blocks with reductions between them, and a linear head with dropout.

    Shapes: (N, in_channels, H, W) to (N, num_classes), for H and W of at least 75.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        depths: number of residual blocks of each of the three stages.
        dropout: probability that a pooled feature is dropped in training.

    Raises:
        ArgumentError: `depths` has not three numbers, one of them is below 1, or `dropout` is not in [0, 1].
    """

    def __init__(self, in_channels: int, num_classes: int, depths: Sequence[int], dropout: float) -> None:
        super().__init__()
        check_each_at_least(1, depths=depths)
        if len(depths) != 3:
            raise ArgumentError("depths", list(depths), "must be a list of 3 integers, one per stage")
        depth_a, depth_b, depth_c = depths
        last_block = ResidualBlock(STAGE_C, scale=1.0, activated=False)
        self.features = nn.Sequential(
            *inception_stem(in_channels),
            Inception(),
            residual_blocks(STAGE_A, depth_a),
            ReductionA(),
            residual_blocks(STAGE_B, depth_b),
            ReductionB(),
            residual_blocks(STAGE_C, depth_c - 1).append(last_block),
            conv_norm_relu(2080, 1536, 1, stride=1, padding=0),
        )
        self.head = dropout_head(1536, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
