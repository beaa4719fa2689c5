"""VGG (Simonyan and Zisserman, 2014, https://arxiv.org/abs/1409.1556), configurations A, B, D and E.

These are torchvision's networks, except that the pools round sizes up (`ceil_mode`): images of any size are large
enough, and sizes that halve evenly give the same outputs. The course divides the widths for small images.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.models.layers import check_divisor, check_each_at_least, mlp_head, norm2d

_WIDTHS = (64, 128, 256, 512, 512)
_HIDDEN = 4096


def vgg_block(in_channels: int, out_channels: int, depth: int, norm: str) -> nn.Sequential:
    """Return `depth` convolutions, each with normalization and ReLU, and a pool that halves the resolution."""
    layers: list[nn.Module] = []
    for i in range(depth):
        conv = nn.Conv2d(out_channels if i else in_channels, out_channels, 3, padding=1)
        layers += [conv, *norm2d(norm, out_channels), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2, ceil_mode=True))


class VGG(nn.Module):
    """Five blocks of 3 x 3 convolutions, and two hidden layers with dropout.

    Shapes: (N, in_channels, H, W) to (N, num_classes), for any H and W. At 224 pixels the head's pooling is the
    identity.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        depths: number of convolutions of each block.
        norm: normalization after every convolution: a choice of `norm2d`.
        channel_divisor: divisor of the blocks' 64, 128, 256, 512 and 512 channels.
        hidden_divisor: divisor of the hidden layers' 4096 units.
        dropout: probability that a hidden unit is dropped in training.

    Raises:
        ArgumentError: a divisor leaves a remainder, `depths` are not five integers >= 1, `norm` is none of these, or
            `dropout` is not in [0, 1].
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depths: Sequence[int],
        norm: str,
        channel_divisor: int,
        hidden_divisor: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_divisor(_WIDTHS[0], channel_divisor=channel_divisor)
        check_divisor(_HIDDEN, hidden_divisor=hidden_divisor)
        check_each_at_least(1, depths=depths)
        if len(depths) != len(_WIDTHS):
            raise ArgumentError("depths", list(depths), f"must be a list of {len(_WIDTHS)} integers, one per block")
        blocks = []
        channels = in_channels
        for width, depth in zip(_WIDTHS, depths, strict=True):
            blocks.append(vgg_block(channels, width // channel_divisor, depth, norm))
            channels = width // channel_divisor
        self.features = nn.Sequential(*blocks)
        self.head = mlp_head(channels, 7, _HIDDEN // hidden_divisor, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
