"""DenseNet (Huang et al., 2017, https://arxiv.org/abs/1608.06993): the paper's DenseNet-BC and the course's version.

The course's version has no 1 x 1 bottlenecks, and its convolutions have biases. Neither version has dropout, which the
paper has. DenseNet-BC is torchvision's network, except that the pools between the blocks round sizes up (`ceil_mode`):
images of any size are large enough, and sizes that halve evenly give the same outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cnn_experiments.models.layers import check_at_least, check_each_at_least, linear_head


def conv_block(in_channels: int, out_channels: int, kernel_size: int, bias: bool) -> nn.Sequential:
    """Return batch normalization, ReLU and a convolution: (N, in_channels, H, W) to (N, out_channels, H, W)."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias),
    )


def dense_layer(in_channels: int, growth_rate: int, bottleneck: bool, bias: bool) -> nn.Sequential:
    """Return one layer of a dense block: (N, in_channels, H, W) to (N, growth_rate, H, W)."""
    if not bottleneck:
        return conv_block(in_channels, growth_rate, 3, bias)
    return nn.Sequential(
        conv_block(in_channels, 4 * growth_rate, 1, bias),
        conv_block(4 * growth_rate, growth_rate, 3, bias),
    )


class DenseBlock(nn.Module):
    """Layers that each take the block's input and the outputs of all layers before.

    Shapes: (N, in_channels, H, W) to (N, in_channels + depth * growth_rate, H, W).
    """

    def __init__(self, in_channels: int, growth_rate: int, depth: int, bottleneck: bool, bias: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            dense_layer(in_channels + i * growth_rate, growth_rate, bottleneck, bias) for i in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input and the output of every layer, concatenated along the channels."""
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)
        return x


class DenseNet(nn.Module):
    """A stem, dense blocks joined by transitions that halve channels and resolution, and a linear head.

    Shapes: (N, in_channels, H, W) to (N, num_classes), for any H and W.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        stem_channels: output channels of the stem.
        growth_rate: channels that each layer of a block adds.
        depths: number of layers of each block.
        bottleneck: whether a 1 x 1 convolution to 4 * growth_rate channels precedes each 3 x 3 convolution.
        bias: whether the convolutions have biases.

    Raises:
        ArgumentError: `stem_channels`, `growth_rate` or one of `depths` is below 1.
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
        check_at_least(1, stem_channels=stem_channels, growth_rate=growth_rate)
        check_each_at_least(1, depths=depths)
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
        """Return the logits."""
        return self.head(self.features(x))
