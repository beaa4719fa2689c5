"""DenseNet (Huang et al., 2017, https://arxiv.org/abs/1608.06993), the paper's DenseNet-BC and the course's version.

The course leaves out the 1 x 1 bottlenecks and keeps the biases of the convolutions; neither has the paper's dropout.
The paper's are torchvision's networks, but for images that do not halve evenly: there the pools between blocks keep the
odd row and column, so that any image is large enough.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cnn_experiments.models.layers import at_least, linear_head


def conv_block(in_channels: int, out_channels: int, kernel_size: int, bias: bool) -> nn.Sequential:
    """Normalisation, ReLU and a convolution that keeps the resolution, in the paper's order."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias),
    )


class DenseBlock(nn.Module):
    """Layers that each see the outputs of all before them: (N, C, H, W) to (N, C + depth * growth_rate, H, W)."""

    def __init__(self, in_channels: int, growth_rate: int, depth: int, bottleneck: bool, bias: bool) -> None:
        super().__init__()

        def layer(channels: int) -> nn.Sequential:
            if not bottleneck:
                return conv_block(channels, growth_rate, 3, bias)
            reduced = 4 * growth_rate
            return nn.Sequential(conv_block(channels, reduced, 1, bias), conv_block(reduced, growth_rate, 3, bias))

        self.layers = nn.ModuleList(layer(in_channels + i * growth_rate) for i in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """The input with every layer's output appended along the channels."""
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)
        return x


class DenseNet(nn.Module):
    """A stem, dense blocks joined by transitions that halve channels and resolution, and a linear head.

    Shapes: (N, in_channels, H, W) to (N, num_classes), with any H and W.

    Args:
        in_channels: channels of the images.
        num_classes: scores for each image.
        stem_channels: channels in front of the first block.
        growth_rate: channels that each layer of a block adds.
        depths: layers of each block.
        bottleneck: whether a 1 x 1 convolution to 4 * growth_rate channels precedes each 3 x 3 convolution.
        bias: whether the convolutions have one.

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        stem_channels: int,
        growth_rate: int,
        depths: Sequence[int],
        bottleneck: bool,
        bias: bool,
    ) -> None:
        super().__init__()
        at_least(1, stem_channels=stem_channels, growth_rate=growth_rate, depths=depths)
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, stem_channels, 7, stride=2, padding=3, bias=bias),
            nn.BatchNorm2d(stem_channels),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        ]
        channels = stem_channels
        for i, depth in enumerate(depths):
            if i > 0:
                transition = conv_block(channels, channels // 2, 1, bias)
                layers.append(transition.append(nn.AvgPool2d(2, ceil_mode=True)))
                channels //= 2
            layers.append(DenseBlock(channels, growth_rate, depth, bottleneck, bias))
            channels += depth * growth_rate
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU())
        self.head = linear_head(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of every class."""
        return self.head(self.features(x))
