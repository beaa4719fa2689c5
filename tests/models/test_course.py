"""Tests that the networks equal those of the course, which are written here layer by layer as in its chapter."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.models.networks import build


def lenet_with_norm_after_activations() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Sigmoid(), nn.BatchNorm2d(6), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.BatchNorm2d(16), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120), nn.Sigmoid(), nn.BatchNorm1d(120),
        nn.Linear(120, 84), nn.Sigmoid(), nn.BatchNorm1d(84),
        nn.Linear(84, 10),
    )  # fmt: skip


def lenet_with_norm_of_second_and_third_layer() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Sigmoid(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.BatchNorm2d(16), nn.Sigmoid(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120), nn.BatchNorm1d(120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip


def lenet_with_strided_convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, stride=2, padding=2), nn.Sigmoid(),
        nn.Conv2d(6, 16, 5, stride=2), nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(400, 120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip


def lenet(pool: Callable[[int], nn.Module], padding: int, norm: bool) -> nn.Sequential:
    grid = 5 if padding else 4
    layers = [
        nn.Conv2d(1, 6, 5, padding=padding), nn.BatchNorm2d(6), nn.Sigmoid(), pool(2),
        nn.Conv2d(6, 16, 5), nn.BatchNorm2d(16), nn.Sigmoid(), pool(2),
        nn.Flatten(),
        nn.Linear(16 * grid * grid, 120), nn.BatchNorm1d(120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.BatchNorm1d(84), nn.Sigmoid(),
        nn.Linear(84, 10),
    ]  # fmt: skip
    return nn.Sequential(*(layer for layer in layers if norm or not isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)))


def alexnet(padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 96, 11, stride=4, padding=padding), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Flatten(),
        nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 10),
    )  # fmt: skip


def vgg11_eighth() -> nn.Sequential:
    layers: list[nn.Module] = []
    in_channels = 1
    for depth, channels in ((1, 8), (1, 16), (2, 32), (2, 64), (2, 64)):
        for _ in range(depth):
            layers += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU()]
            in_channels = channels
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(
        *layers, nn.Flatten(),
        nn.Linear(64 * 7 * 7, 512), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(512, 10),
    )  # fmt: skip


def nin() -> nn.Sequential:
    def block(in_channels: int, channels: int, size: int, stride: int, padding: int) -> list[nn.Module]:
        return [
            nn.Conv2d(in_channels, channels, size, stride, padding), nn.ReLU(),
            nn.Conv2d(channels, channels, 1), nn.ReLU(),
            nn.Conv2d(channels, channels, 1), nn.ReLU(),
        ]  # fmt: skip

    return nn.Sequential(
        *block(1, 96, 11, 4, 0), nn.MaxPool2d(3, stride=2),
        *block(96, 256, 5, 1, 2), nn.MaxPool2d(3, stride=2),
        *block(256, 384, 3, 1, 1), nn.MaxPool2d(3, stride=2),
        nn.Dropout(0.5),
        *block(384, 10, 3, 1, 1), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(),
    )  # fmt: skip


class Inception(nn.Module):
    def __init__(self, in_channels: int, c1: int, c2: tuple[int, int], c3: tuple[int, int], c4: int) -> None:
        super().__init__()
        self.p1_1 = nn.Conv2d(in_channels, c1, 1)
        self.p2_1 = nn.Conv2d(in_channels, c2[0], 1)
        self.p2_2 = nn.Conv2d(c2[0], c2[1], 3, padding=1)
        self.p3_1 = nn.Conv2d(in_channels, c3[0], 1)
        self.p3_2 = nn.Conv2d(c3[0], c3[1], 5, padding=2)
        self.p4_1 = nn.MaxPool2d(3, stride=1, padding=1)
        self.p4_2 = nn.Conv2d(in_channels, c4, 1)

    def forward(self, x: Tensor) -> Tensor:
        p1 = torch.relu(self.p1_1(x))
        p2 = torch.relu(self.p2_2(torch.relu(self.p2_1(x))))
        p3 = torch.relu(self.p3_2(torch.relu(self.p3_1(x))))
        p4 = torch.relu(self.p4_2(self.p4_1(x)))
        return torch.cat((p1, p2, p3, p4), dim=1)


def googlenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 64, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Conv2d(64, 192, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1),
        Inception(192, 64, (96, 128), (16, 32), 32), Inception(256, 128, (128, 192), (32, 96), 64),
        nn.MaxPool2d(3, stride=2, padding=1),
        Inception(480, 192, (96, 208), (16, 48), 64), Inception(512, 160, (112, 224), (24, 64), 64),
        Inception(512, 128, (128, 256), (24, 64), 64), Inception(512, 112, (144, 288), (32, 64), 64),
        Inception(528, 256, (160, 320), (32, 128), 128),
        nn.MaxPool2d(3, stride=2, padding=1),
        Inception(832, 256, (160, 320), (32, 128), 128), Inception(832, 384, (192, 384), (48, 128), 128),
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(1024, 10),
    )  # fmt: skip


class ResidualBlock(nn.Module):
    def __init__(self, in_channels: int, channels: int, use_1x1conv: bool = False, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, stride=stride)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv3 = nn.Conv2d(in_channels, channels, 1, stride=stride) if use_1x1conv else None
        self.bn1 = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (self.conv3(x) if self.conv3 else x))


def resnet18() -> nn.Sequential:
    blocks = [ResidualBlock(64, 64), ResidualBlock(64, 64)]
    for channels in (128, 256, 512):
        blocks += [
            ResidualBlock(channels // 2, channels, use_1x1conv=True, stride=2),
            ResidualBlock(channels, channels),
        ]
    return nn.Sequential(
        nn.Conv2d(1, 64, 7, stride=2, padding=3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1),
        *blocks,
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


class DenseBlock(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.net = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, 32, 3, padding=1))
            for c in range(in_channels, in_channels + 128, 32)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = torch.cat((x, layer(x)), dim=1)
        return x


def densenet() -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(1, 64, 7, stride=2, padding=3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)
    ]  # fmt: skip
    for in_channels in (64, 96, 112):
        channels = in_channels + 128
        transition = [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1), nn.AvgPool2d(2)]
        layers += [DenseBlock(in_channels), *transition]
    layers += [DenseBlock(120), nn.BatchNorm2d(248), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(248, 10))


NETWORKS = [
    ("model=lenet", lambda: lenet(nn.MaxPool2d, padding=0, norm=False), 28),
    ("model=lenet model.padding=2 model.pool=avg", lambda: lenet(nn.AvgPool2d, padding=2, norm=False), 28),
    ("model=lenet_bn", lambda: lenet(nn.MaxPool2d, padding=0, norm=True), 28),
    ("model=lenet_bn model.pool=avg", lambda: lenet(nn.AvgPool2d, padding=0, norm=True), 28),
    ("model=lenet_bn model.norm_position=after_activation", lenet_with_norm_after_activations, 28),
    ("model=lenet_bn model.norm_layers=[2,3]", lenet_with_norm_of_second_and_third_layer, 28),
    ("model=lenet model.pool=stride model.padding=2", lenet_with_strided_convolutions, 28),
    ("model=alexnet", lambda: alexnet(padding=0), 224),
    ("model=alexnet model.padding=1", lambda: alexnet(padding=1), 224),
    ("model=vgg11 model.channel_divisor=8 model.hidden_divisor=8", vgg11_eighth, 224),
    ("model=nin", nin, 224),
    ("model=googlenet", googlenet, 96),
    ("model=resnet18", resnet18, 28),
    ("model=resnet18", resnet18, 96),
    ("model=densenet", densenet, 96),
]


@pytest.mark.parametrize(
    ("overrides", "build_reference", "size"),
    NETWORKS,
    ids=[f"{overrides} at {size}" for overrides, _, size in NETWORKS],
)
def test_logits_equal_course_bit_for_bit(overrides: str, build_reference: Callable[[], nn.Module], size: int) -> None:
    network, reference = build(overrides), build_reference()
    state, reference_state = network.state_dict(), reference.state_dict()
    assert [value.shape for value in state.values()] == [value.shape for value in reference_state.values()]
    network.load_state_dict(dict(zip(state, reference_state.values(), strict=True)))
    images = torch.rand(2, 1, size, size)
    for training in (True, False):  # training first, so that the running statistics are those of a batch
        logits = []
        for module in (network, reference):
            torch.manual_seed(0)  # the same units are dropped
            logits.append(module.train(training)(images))
        assert logits[0].std() > 0
        assert torch.equal(*logits)


def test_dropout_layers_have_the_configured_probability() -> None:
    for overrides, num_layers in (("model=alexnet", 2), ("model=vgg11", 2), ("model=nin", 1)):
        network = build(f"{overrides} model.dropout=0.3", device="meta")
        assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == [0.3] * num_layers


@pytest.mark.parametrize("stride", [1, 2])
def test_v2_block_follows_equations_of_paper(stride: int) -> None:
    """Compare with figure 4e and equation 5 of He et al., 2016; a projection shortcut starts after the activation."""
    stage, index = (2, 0) if stride == 2 else (1, 1)
    block = build("model=resnet18 model.version=v2").features[3 + stage][index]
    norm1, norm2 = block.activation[0], block.residual[1]
    for norm in (norm1, norm2):
        for value in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
            value.uniform_(0.5, 1.5)
    block.eval()
    x = torch.randn(2, 64, 8, 8)
    activated = torch.relu(norm1(x))
    residual = block.residual[3](torch.relu(norm2(block.residual[0](activated))))
    shortcut = block.projection[0](activated) if stride == 2 else x
    assert torch.equal(block(x), residual + shortcut)
