"""The table of networks in Markdown: parameters, multiply-adds at several sizes, and the smallest image."""

import torch

from cnn_experiments.analysis.cost import count_multiply_adds, count_parameters
from cnn_experiments.analysis.probe import ImageSpec, smallest_size
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.markdown import markdown_table
from cnn_experiments.training.build import build_data, build_model

SIZES = (28, 96, 224, 299)
COMMANDS = (
    "model=lenet",
    "model=lenet model.padding=2",
    "model=lenet_bn",
    "model=alexnet",
    "model=alexnet model.padding=1",
    "model=vgg11",
    "model=vgg11 model.norm=batch",
    "model=vgg11 model.channel_divisor=4",
    "model=vgg11 model.channel_divisor=4 model.hidden_divisor=4",
    "model=vgg11 model.channel_divisor=8 model.hidden_divisor=8",
    "model=vgg13",
    "model=vgg16",
    "model=vgg19",
    "model=nin",
    "model=googlenet",
    "model=googlenet model.norm=batch",
    "model=inception_v3",
    "model=inception_resnet_v2",
    "model=resnet18",
    "model=resnet18 model.stem=3x3",
    "model=resnet18 model.version=v1",
    "model=resnet18 model.version=v2",
    "model=resnet34",
    "model=resnet50",
    "model=resnet101",
    "model=resnet152",
    "model=densenet",
    "model=densenet121",
    "model=densenet169",
    "model=densenet201",
    "model=densenet264",
)


def model_table() -> str:
    """Return a Markdown table with one row for each command."""
    header = ["network", "parameters", *(f"at {size}" for size in SIZES), "smallest"]
    rows = [model_cells(command) for command in COMMANDS]
    return markdown_table(header, rows, [True, *(False for _ in header[1:])])


def model_cells(command: str) -> list[str]:
    """Return the command, the number of parameters, the multiply-adds at each size and the smallest image size."""
    settings = ComposedConfig.from_overrides(*command.split()).settings
    channels = build_data(settings).channels
    with torch.device("meta"):
        model = build_model(settings)
    smallest = smallest_size(model, channels, max(SIZES), device="meta")
    assert smallest is not None
    multiply_adds = [
        format_millions(count_multiply_adds(model, ImageSpec(channels, size, "meta"))) if size >= smallest else ""
        for size in SIZES
    ]
    return [f"`{command}`", f"{count_parameters(model):,}", *multiply_adds, str(smallest)]


def format_millions(count: int) -> str:
    """Return a count in millions, with two decimals below 1 and one below 30."""
    millions = count / 1e6
    if millions < 1:
        return f"{millions:.2f}"
    return f"{millions:.1f}" if millions < 30 else f"{millions:,.0f}"
