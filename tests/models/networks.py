"""The networks and their facts, from architectures.json, the papers, torchvision and the published table."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from cnn_experiments.training.build import build_model
from tests.conftest import compose_settings

ARCHITECTURES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "architectures.json").read_text())


@dataclass(frozen=True)
class Facts:
    """The facts of a network with one channel and ten classes."""

    overrides: str
    parameters: int
    smallest_size: int
    """Pixels a side of the smallest image that it accepts."""
    stage_shapes: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)
    """Some of the output shapes of its stages, in order, by the size of the image."""
    reference: str | None = None
    """Its name in architectures.json, which has all shapes."""
    mega_multiply_adds: dict[int, str] = field(default_factory=dict)
    """Millions of multiply-adds as printed in the published table, by the size of the image."""
    training_size: int = 32
    """Pixels a side of the smallest image that it can be expected to learn from."""
    training_overrides: str = ""
    """Overrides that make training cheaper, where another network covers the same layers at full width."""


class Network(nn.Module):
    """The interface of every network."""

    features: nn.Sequential
    head: nn.Sequential


@cache
def compose_model(overrides: str) -> dict[str, Any]:
    """Return the settings with these overrides, composed once per test session."""
    return compose_settings(*overrides.split())


def build(overrides: str, channels: int = 1, classes: int = 10, device: str = "cpu") -> Network:
    """Return a new network, with the same weights at every call."""
    settings = compose_model(overrides)
    settings = settings | {"model": settings["model"] | {"in_channels": channels, "num_classes": classes}}
    torch.manual_seed(0)
    with torch.device(device):
        return cast(Network, build_model(settings))


@cache
def meta_network(overrides: str) -> Network:
    """Return the network on `meta` in evaluation mode, built once per test session: tests must not change it."""
    return build(overrides, device="meta").eval()


def network_id(facts: Facts) -> str:
    """Return the overrides of a network as the id of a test."""
    return facts.overrides.replace("model=", "").replace("model.", "").replace(" ", "-")


def densenet_shapes(*channels: int) -> dict[int, list[tuple[int, ...]]]:
    """Return the output shapes of the stem, of the dense blocks, which have these channels, and of the transitions."""
    shapes: list[tuple[int, ...]] = [(64, 112, 112), (64, 56, 56)]
    for size, block_channels in zip((56, 28, 14, 7), channels, strict=True):
        shapes += [(block_channels, size, size), (block_channels // 2, size // 2, size // 2)]
    return {224: shapes[:-1]}


VGG = {224: [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]}
RESNET = {224: [(64, 112, 112), (64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]}
BOTTLENECKS = {224: [(64, 112, 112), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]}
INCEPTION_STEM = [(32, 149, 149), (32, 147, 147), (64, 147, 147), (64, 73, 73), (80, 73, 73), (192, 71, 71), (192, 35, 35)]  # fmt: skip
INCEPTION_RESNET = {299: [*INCEPTION_STEM, (320, 35, 35), (320, 35, 35), (1088, 17, 17), (1088, 17, 17), (2080, 8, 8), (2080, 8, 8), (1536, 8, 8)]}  # fmt: skip

NETWORKS = [
    Facts("model=lenet", 44_426, 16, reference="lenet", mega_multiply_adds={28: "0.28"}, training_size=28),
    Facts("model=lenet model.padding=2", 61_706, 12, {28: [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)]}, mega_multiply_adds={28: "0.42"}, training_size=28),
    Facts("model=lenet model.padding=2 model.pool=avg", 61_706, 12, {28: [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)]}, training_size=28),
    Facts("model=lenet_bn", 44_878, 16, reference="lenet_bn", mega_multiply_adds={28: "0.28"}, training_size=28),
    Facts("model=lenet_bn model.norm=scratch", 44_878, 16, reference="lenet_bn", mega_multiply_adds={28: "0.28"}, training_size=28),
    Facts("model=lenet_bn model.norm=batch_no_affine", 44_426, 16, reference="lenet", mega_multiply_adds={28: "0.28"}, training_size=28),
    Facts("model=lenet_bn model.norm=batch_global_stats", 44_878, 16, reference="lenet_bn", mega_multiply_adds={28: "0.28"}, training_size=28),
    Facts("model=lenet_bn model.norm_position=after_activation", 44_878, 16, reference="lenet_bn", mega_multiply_adds={28: "0.28"}, training_size=28),
    Facts("model=lenet_bn model.norm_layers=[2,3]", 44_698, 16, {28: [(6, 24, 24), (6, 12, 12), (16, 8, 8), (16, 4, 4), (120,), (84,), (10,)]}, training_size=28),
    Facts("model=lenet model.kernel_size=3 model.channels=[8,16,32] model.hidden_units=[64] model.activation=relu", 8_650, 22, {28: [(8, 26, 26), (16, 11, 11), (32, 3, 3), (32, 1, 1), (64,)]}, training_size=28),
    Facts("model=lenet model.hidden_units=[] model.activation=tanh", 5_142, 16, {28: [(6, 24, 24), (16, 4, 4), (256,), (10,)]}, training_size=28),
    Facts("model=lenet_bn model.pool=stride model.kernel_size=3 model.channels=[16,32] model.hidden_units=[128] model.activation=relu", 154_026, 7, {28: [(16, 13, 13), (32, 6, 6), (1152,), (128,), (10,)]}, training_size=28),
    Facts("model=alexnet", 46_764_746, 67, reference="alexnet", mega_multiply_adds={96: "134", 224: "938"}, training_size=67),
    Facts("model=alexnet model.padding=1", 46_764_746, 65, {224: [(96, 54, 54), (96, 26, 26), (256, 12, 12), (256, 5, 5)]}, training_size=65),
    Facts("model=alexnet model.channel_divisor=4 model.hidden_divisor=8", 1_322_682, 67, {224: [(24, 54, 54), (64, 26, 26), (96, 12, 12), (64, 5, 5), (512,)]}, training_size=67),
    Facts("model=vgg11", 128_806_154, 1, reference="vgg11", mega_multiply_adds={96: "1400", 224: "7547"}),
    Facts("model=vgg11 model.channel_divisor=4", 43_093_322, 1, {224: [(16, 112, 112), (128, 7, 7), (6272,), (4096,)]}, mega_multiply_adds={96: "108", 224: "512"}),
    Facts("model=vgg11 model.channel_divisor=4 model.hidden_divisor=4", 8_060_234, 1, reference="vgg11_quarter"),
    Facts("model=vgg11 model.channel_divisor=8 model.hidden_divisor=8", 2_018_346, 1, reference="vgg11_eighth", mega_multiply_adds={96: "22.5", 224: "121"}),
    Facts("model=vgg11 model.norm=batch", 128_811_658, 1, VGG, training_overrides="model.hidden_divisor=16"),
    Facts("model=vgg13", 128_990_666, 1, VGG, training_overrides="model.hidden_divisor=16"),
    Facts("model=vgg16", 134_300_362, 1, VGG, training_overrides="model.hidden_divisor=16"),
    Facts("model=vgg19", 139_610_058, 1, VGG, training_overrides="model.hidden_divisor=16"),
    Facts("model=nin", 1_992_166, 67, reference="nin", mega_multiply_adds={96: "108", 224: "762"}, training_size=67),
    Facts("model=nin model.num_1x1_convs=1 model.channel_divisor=2", 454_280, 67, {224: [(48, 54, 54), (128, 26, 26), (192, 12, 12), (10, 5, 5)]}, training_size=67),
    Facts("model=nin model.num_1x1_convs=0", 1_546_058, 67, {224: [(96, 54, 54), (256, 26, 26), (384, 12, 12), (10, 5, 5)]}, training_size=67),
    Facts("model=googlenet", 5_977_530, 1, reference="googlenet", mega_multiply_adds={28: "28.8", 96: "276", 224: "1503"}),
    Facts("model=googlenet model.norm=batch", 5_984_810, 1, {224: [(64, 56, 56), (192, 28, 28), (480, 14, 14), (832, 7, 7), (1024, 7, 7)]}),
    Facts("model=inception_v3", 21_805_482, 75, {299: [*INCEPTION_STEM, (288, 35, 35), (768, 17, 17), (768, 17, 17), (1280, 8, 8), (2048, 8, 8)]}, training_size=75),
    Facts("model=inception_resnet_v2", 54_321_258, 75, INCEPTION_RESNET, training_size=75),
    Facts("model=inception_resnet_v2 model.depths=[1,1,2]", 15_520_458, 75, INCEPTION_RESNET, training_size=75),
    Facts("model=resnet18", 11_178_378, 1, reference="resnet18", mega_multiply_adds={28: "33", 96: "319", 224: "1735"}),
    Facts("model=resnet18 model.version=v1", 11_175_370, 1, RESNET, mega_multiply_adds={28: "33", 96: "319", 224: "1735"}),
    Facts("model=resnet18 model.version=v2", 11_173_578, 1, RESNET),
    Facts("model=resnet18 model.stem=3x3", 11_175_818, 1, {32: [(64, 32, 32), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]}),
    Facts("model=resnet34", 21_283_530, 1, RESNET),
    Facts("model=resnet50", 23_522_250, 1, BOTTLENECKS),
    Facts("model=resnet50 model.version=v2", 23_514_570, 1, BOTTLENECKS),
    Facts("model=resnet101", 42_514_378, 1, BOTTLENECKS),
    Facts("model=resnet152", 58_158_026, 1, BOTTLENECKS),
    Facts("model=densenet", 758_226, 1, reference="densenet", mega_multiply_adds={96: "129", 224: "703"}),
    Facts("model=densenet121", 6_957_834, 1, densenet_shapes(256, 512, 1024, 1024)),
    Facts("model=densenet169", 12_494_858, 1, densenet_shapes(256, 512, 1280, 1664)),
    Facts("model=densenet201", 18_105_866, 1, densenet_shapes(256, 512, 1792, 1920)),
    Facts("model=densenet264", 30_669_322, 1, densenet_shapes(256, 512, 2304, 2688)),
]  # fmt: skip
