"""ResNet (He et al., 2015, https://arxiv.org/abs/1512.03385, and 2016, https://arxiv.org/abs/1603.05027).

Three versions. The course's keeps the biases of its convolutions and has no normalisation on its shortcuts. `v1` is the
first paper's as torchvision has it: the stride of a bottleneck is on its 3 x 3 convolution, where the paper has it on
the first 1 x 1. `v2` is the second paper's, which normalises and activates in front of every convolution.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu

from cnn_experiments.models.layers import at_least, linear_head, one_of


def convolutions(in_channels: int, channels: int, stride: int, bottleneck: bool, bias: bool) -> list[nn.Conv2d]:
    """Those of a block: two of 3 x 3, or a 3 x 3 between two of 1 x 1, of which the last widens to 4 * channels."""
    first, second = (1, 3) if bottleneck else (3, 3)
    convs = [
        nn.Conv2d(in_channels, channels, first, 1 if bottleneck else stride, first // 2, bias=bias),
        nn.Conv2d(channels, channels, second, stride if bottleneck else 1, second // 2, bias=bias),
    ]
    return [*convs, nn.Conv2d(channels, 4 * channels, 1, bias=bias)] if bottleneck else convs


def projection(in_channels: int, out_channels: int, stride: int, bias: bool) -> list[nn.Module]:
    """The 1 x 1 convolution of a shortcut whose ends differ in shape."""
    if stride == 1 and in_channels == out_channels:
        return []
    return [nn.Conv2d(in_channels, out_channels, 1, stride, bias=bias)]


class ResidualBlock(nn.Module):
    """Normalisation behind every convolution, and a ReLU behind the sum with the shortcut: `course` and `v1`.

    Shapes: (N, in_channels, H, W) to (N, C, H / stride, W / stride), C being `channels` or four times that.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, bottleneck: bool, course: bool) -> None:
        super().__init__()
        convs = convolutions(in_channels, channels, stride, bottleneck, bias=course)
        out_channels = convs[-1].out_channels
        self.convs = nn.ModuleList(convs)
        self.shortcut = nn.Sequential(*projection(in_channels, out_channels, stride, bias=course))
        if len(self.shortcut) and not course:
            self.shortcut.append(nn.BatchNorm2d(out_channels))
        self.norms = nn.ModuleList(nn.BatchNorm2d(conv.out_channels) for conv in convs)

    def forward(self, x: Tensor) -> Tensor:
        """The activated sum of both ways."""
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(relu(y) if i else y))
        return relu(y + self.shortcut(x))


class PreActivationBlock(nn.Module):
    """Normalisation and ReLU in front of every convolution, and nothing behind the sum: `v2`.

    A shortcut that has a convolution starts behind the first activation. The network's first block takes what is
    activated already.

    Shapes: (N, in_channels, H, W) to (N, C, H / stride, W / stride), C being `channels` or four times that.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, bottleneck: bool, first: bool) -> None:
        super().__init__()
        conv, *others = convolutions(in_channels, channels, stride, bottleneck, bias=False)
        out_channels = others[-1].out_channels
        self.activation = nn.Sequential(*([] if first else [nn.BatchNorm2d(in_channels), nn.ReLU()]))
        self.residual = nn.Sequential(conv)
        for other in others:
            self.residual.extend([nn.BatchNorm2d(other.in_channels), nn.ReLU(), other])
        self.projection = nn.Sequential(*projection(in_channels, out_channels, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways."""
        activated = self.activation(x)
        return self.residual(activated) + (self.projection(activated) if len(self.projection) else x)


_STEMS = {"7x7": (7, 2), "3x3": (3, 1)}
_VERSIONS = ("course", "v1", "v2")


class ResNet(nn.Module):
    """A stem, stages of residual blocks of which all but the first halve the resolution, and a linear head.

    Shapes: (N, in_channels, H, W) to (N, num_classes), with any H and W.

    Args:
        in_channels: channels of the images.
        num_classes: scores for each image.
        depths: blocks in each stage.
        bottleneck: whether blocks have three convolutions, the second narrow, instead of two.
        version: `course`, `v1` or `v2`.
        stem: `7x7` halves the resolution twice, by its stride and by a pool; `3x3` keeps that of small images.

    Raises:
        ValueError: `version` or `stem` is none of these, or a stage has no block.
    """

    def __init__(
        self, in_channels: int, num_classes: int, depths: Sequence[int], bottleneck: bool, version: str, stem: str
    ) -> None:
        super().__init__()
        kernel_size, stride = _STEMS[one_of("stem", stem, _STEMS)]
        at_least(1, depths=depths)
        one_of("version", version, _VERSIONS)
        course = version == "course"

        def block(channels: int, width: int, stride: int, first: bool) -> nn.Module:
            if version == "v2":
                return PreActivationBlock(channels, width, stride, bottleneck, first)
            return ResidualBlock(channels, width, stride, bottleneck, course)

        channels = 64
        stages: list[nn.Module] = [
            nn.Conv2d(in_channels, channels, kernel_size, stride, kernel_size // 2, bias=course),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        if stride > 1:
            stages.append(nn.MaxPool2d(3, stride=2, padding=1))
        for i, depth in enumerate(depths):
            blocks = nn.Sequential()
            for j in range(depth):
                width = 64 * 2**i
                blocks.append(block(channels, width, stride=2 if i > 0 and j == 0 else 1, first=i == j == 0))
                channels = 4 * width if bottleneck else width
            stages.append(blocks)
        if version == "v2":
            stages += [nn.BatchNorm2d(channels), nn.ReLU()]
        self.features = nn.Sequential(*stages)
        self.head = linear_head(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of every class."""
        return self.head(self.features(x))
