"""ResNet (He et al., 2015, https://arxiv.org/abs/1512.03385, and 2016, https://arxiv.org/abs/1603.05027).

There are three versions. The convolutions of `course` have biases, and its shortcuts no normalization. `v1` is the
first paper's network as torchvision has it: the stride of a bottleneck is in its 3 x 3 convolution, not in the first
1 x 1 one. `v2` is the second paper's, which normalizes and activates before every convolution.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu

from cnn_experiments.models.layers import check_choice, check_each_at_least, linear_head

EXPANSION = 4  # output channels of a bottleneck per channel of its 3 x 3 convolution


def projection(in_channels: int, out_channels: int, stride: int, bias: bool, norm: bool) -> nn.Sequential:
    """Return the 1 x 1 convolution of a shortcut, or an empty Sequential if input and output have the same shape."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels)) if norm else nn.Sequential(conv)


class BasicBlock(nn.Module):
    """The block of `course` and `v1` with two 3 x 3 convolutions.

    Shapes: (N, in_channels, H, W) to (N, channels, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, channels: int, stride: int, course: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList([
            nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=course),
            nn.Conv2d(channels, channels, 3, padding=1, bias=course),
        ])  # fmt: skip
        self.shortcut = projection(in_channels, channels, stride, bias=course, norm=not course)
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)])

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated sum of the residual and the shortcut."""
        conv1, conv2 = self.convs
        norm1, norm2 = self.norms
        y = relu(norm1(conv1(x)))
        y = norm2(conv2(y))
        return relu(y + self.shortcut(x))


class Bottleneck(nn.Module):
    """The block of `course` and `v1` with a 3 x 3 convolution between two 1 x 1 convolutions.

    Shapes: (N, in_channels, H, W) to (N, 4 * channels, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, channels: int, stride: int, course: bool) -> None:
        super().__init__()
        out_channels = EXPANSION * channels
        self.convs = nn.ModuleList([
            nn.Conv2d(in_channels, channels, 1, bias=course),
            nn.Conv2d(channels, channels, 3, stride, padding=1, bias=course),
            nn.Conv2d(channels, out_channels, 1, bias=course),
        ])  # fmt: skip
        self.shortcut = projection(in_channels, out_channels, stride, bias=course, norm=not course)
        self.norms = nn.ModuleList([
            nn.BatchNorm2d(channels), nn.BatchNorm2d(channels), nn.BatchNorm2d(out_channels)
        ])  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated sum of the residual and the shortcut."""
        conv1, conv2, conv3 = self.convs
        norm1, norm2, norm3 = self.norms
        y = relu(norm1(conv1(x)))
        y = relu(norm2(conv2(y)))
        y = norm3(conv3(y))
        return relu(y + self.shortcut(x))


class PreActivationBlock(nn.Module):
    """The block of `v2`, with two convolutions or, as a bottleneck, three.

    Shapes: (N, in_channels, H, W) to (N, C, H / stride, W / stride), where C is `channels`, or 4 * channels of a
    bottleneck.

    Args:
        in_channels: channels of the input.
        channels: output channels of the 3 x 3 convolutions.
        stride: stride of the first 3 x 3 convolution and of the shortcut.
        bottleneck: whether the 3 x 3 convolution is between two 1 x 1 convolutions.
        activated: whether the input is normalized and activated already, as the stem's output is.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, bottleneck: bool, activated: bool) -> None:
        super().__init__()
        out_channels = EXPANSION * channels if bottleneck else channels
        self.activation = nn.Sequential() if activated else nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU())
        if bottleneck:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels), nn.ReLU(),
                nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(channels), nn.ReLU(),
                nn.Conv2d(channels, out_channels, 1, bias=False),
            )  # fmt: skip
        else:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(channels), nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            )  # fmt: skip
        self.projection = projection(in_channels, out_channels, stride, bias=False, norm=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of the residual and the shortcut, which is the input or a projection of its activation."""
        activated = self.activation(x)
        y = self.residual(activated)
        shortcut = self.projection(activated) if len(self.projection) else x
        return y + shortcut


_STEMS = {"7x7": (7, 2), "3x3": (3, 1)}
_VERSIONS = ("course", "v1", "v2")


class ResNet(nn.Module):
    """A stem, stages of residual blocks that each halve the resolution, except the first, and a linear head.

    Shapes: (N, in_channels, H, W) to (N, num_classes), for any H and W.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits per image.
        depths: number of blocks of each stage.
        bottleneck: whether blocks have a 3 x 3 convolution between two 1 x 1 ones, instead of two 3 x 3 ones.
        version: `course`, `v1` or `v2`.
        stem: `7x7` quarters the resolution, with a stride and a pool; `3x3`, for small images, keeps it.

    Raises:
        ArgumentError: `version` or `stem` is none of these, `depths` is empty, or one of them is below 1.
    """

    def __init__(
        self, in_channels: int, num_classes: int, depths: Sequence[int], bottleneck: bool, version: str, stem: str
    ) -> None:
        super().__init__()
        kernel_size, stride = _STEMS[check_choice("stem", stem, _STEMS)]
        check_each_at_least(1, depths=depths)
        check_choice("version", version, _VERSIONS)
        course = version == "course"

        def block(in_channels: int, channels: int, stride: int, is_first: bool) -> nn.Module:
            if version == "v2":
                return PreActivationBlock(in_channels, channels, stride, bottleneck, activated=is_first)
            if bottleneck:
                return Bottleneck(in_channels, channels, stride, course)
            return BasicBlock(in_channels, channels, stride, course)

        channels = 64
        stages: list[nn.Module] = [
            nn.Conv2d(in_channels, channels, kernel_size, stride, kernel_size // 2, bias=course),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        if stride > 1:
            stages.append(nn.MaxPool2d(3, stride=2, padding=1))
        for i, depth in enumerate(depths):
            width = 64 * 2**i
            blocks = nn.Sequential()
            for j in range(depth):
                blocks.append(block(channels, width, stride=2 if i > 0 and j == 0 else 1, is_first=i == j == 0))
                channels = EXPANSION * width if bottleneck else width
            stages.append(blocks)
        if version == "v2":
            stages += [nn.BatchNorm2d(channels), nn.ReLU()]
        self.features = nn.Sequential(*stages)
        self.head = linear_head(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.features(x))
