"""VGG (Simonyan and Zisserman, 2014, https://arxiv.org/abs/1409.1556), configurations A, B, D and E.

The course divides the widths for small images. These are torchvision's networks, but for images that do not halve
evenly: there the pools keep the odd row and column, so that any image is large enough.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from cnn_experiments.models.layers import at_least, hidden_head, norm2d

_WIDTHS = (64, 128, 256, 512, 512)
_HIDDEN = 4096


def vgg_block(in_channels: int, out_channels: int, depth: int, norm: str) -> nn.Sequential:
    """`depth` times convolution, normalisation and ReLU, and one pool that halves the resolution."""
    layers: list[nn.Module] = []
    for i in range(depth):
        conv = nn.Conv2d(out_channels if i else in_channels, out_channels, 3, padding=1)
        layers += [conv, *norm2d(norm, out_channels), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2, ceil_mode=True))


class VGG(nn.Module):
    """Five blocks of 3 x 3 convolutions, two hidden layers with dropout.

    Shapes: (N, in_channels, H, W) to (N, num_classes), with any H and W. At 224 the head's pooling is the identity.

    Args:
        in_channels: channels of the images.
        num_classes: scores for each image.
        depths: convolutions in each of the blocks.
        norm: `none`, `batch` (torch's) or `scratch` (the one written out), behind every convolution.
        channel_divisor: divides the blocks' 64, 128, 256, 512 and 512 channels.
        hidden_divisor: divides the 4096 units of the hidden layers.
        dropout: share of hidden units left out in training.

    Raises:
        ValueError: a divisor leaves a remainder, `depths` are not five of 1 or more, `norm` is none of
            these, or `dropout` no share.
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
        for name, divisor, divided in (
            ("channel_divisor", channel_divisor, _WIDTHS[0]),
            ("hidden_divisor", hidden_divisor, _HIDDEN),
        ):
            if divisor < 1 or divided % divisor:
                raise ValueError(f"{name}={divisor}: must divide {divided}")
        at_least(1, depths=depths)
        if len(depths) != len(_WIDTHS):
            raise ValueError(f"depths={list(depths)}: must be {len(_WIDTHS)} numbers, one for each block")
        widths = [width // channel_divisor for width in _WIDTHS]
        self.features = nn.Sequential(
            *(
                vgg_block(before, width, depth, norm)
                for before, width, depth in zip([in_channels, *widths], widths, depths, strict=False)
            )
        )
        self.head = hidden_head(widths[-1], 7, _HIDDEN // hidden_divisor, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of every class."""
        return self.head(self.features(x))
